//! The product of two row-major matrices on the calling thread, in f32 or f64, for learners that do their own
//! parallel work.

/// How the left factor of a product lies in memory.
#[derive(Clone, Copy, Debug)]
pub enum Order {
    /// `[m, k]`, row-major.
    AsStored,
    /// `[k, m]`, row-major: its transpose is multiplied.
    Transposed,
}

/// `product[m, n] = left[m, k] · right[k, n]` on the calling thread, `shape` being `[m, k, n]`.
pub fn matrix_product<T: Copy + Default + From<u8> + 'static>(
    left: &[T],
    order: Order,
    right: &[T],
    shape: [usize; 3],
    product: &mut [T],
) {
    let [m, k, n] = shape;
    assert!(left.len() == m * k && right.len() == k * n && product.len() == m * n, "lengths fit the shape");
    if k == 0 {
        product.fill(T::default());
        return;
    }
    let (left_column_stride, left_row_stride) = match order {
        Order::AsStored => (1, k as isize),
        Order::Transposed => (m as isize, 1),
    };
    // SAFETY: the assertion above makes every index reached by shape and strides lie inside its slice, and
    // `product` is borrowed mutably, so it overlaps neither factor.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            product.as_mut_ptr(),
            1,
            n as isize,
            false,
            left.as_ptr(),
            left_column_stride,
            left_row_stride,
            right.as_ptr(),
            1,
            n as isize,
            T::from(0),
            T::from(1),
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_orders_give_the_product() {
        let right = [1.0, 0.0, 2.0, 1.0, 0.0, 3.0];
        let expected = [5.0, 11.0, 14.0, 23.0];
        let mut product = [0.0f64; 4];
        matrix_product(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], Order::AsStored, &right, [2, 3, 2], &mut product);
        assert_eq!(product, expected);
        matrix_product(&[1.0, 4.0, 2.0, 5.0, 3.0, 6.0], Order::Transposed, &right, [2, 3, 2], &mut product);
        assert_eq!(product, expected);
    }

    #[test]
    #[should_panic(expected = "lengths fit the shape")]
    fn wrong_lengths_do_not_reach_the_pointers() {
        matrix_product(&[1.0f32; 3], Order::AsStored, &[1.0; 4], [2, 2, 2], &mut [0.0; 4]);
    }
}
