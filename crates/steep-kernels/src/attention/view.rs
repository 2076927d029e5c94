//! How do matrices that lie side by side in one buffer go in and out?

use std::marker::PhantomData;

/// A matrix `[tokens, num_heads · head_dim]` inside rows of `stride` elements.
#[derive(Clone, Copy, Debug)]
pub struct View<'a, E> {
    /// The buffer from the first element of the matrix on.
    pub values: &'a [E],
    /// Distance between the first elements of two rows.
    pub stride: usize,
}

impl<'a, E> View<'a, E> {
    /// The parts of rows of `widths.iter().sum()` elements: query, key and value of one `[tokens, 3 · hidden]` buffer
    /// are `View::split(&buffer, [hidden; 3])`.
    pub fn split<const N: usize>(values: &'a [E], widths: [usize; N]) -> [Self; N] {
        let stride = widths.iter().sum();
        let mut first = 0;
        widths.map(|width| {
            let part = Self { values: values.get(first..).unwrap_or(&[]), stride };
            first += width;
            part
        })
    }

    /// Panics unless `rows` rows of `width` elements lie in the view.
    pub(super) fn check(&self, name: &str, rows: usize, width: usize) {
        check(name, [self.values.len(), self.stride, self.stride], rows, width);
    }
}

/// A matrix `[tokens, num_heads · head_dim]` inside rows of `stride` elements, to be written.
///
/// Several of them can share a buffer, each with columns of its own ([`ViewMut::split`]); that is why it is no struct
/// with a slice in it.
#[derive(Debug)]
pub struct ViewMut<'a, E> {
    start: *mut E,
    /// Elements from `start` to the end of the buffer.
    length: usize,
    stride: usize,
    /// Elements of each row that are this view's.
    width: usize,
    buffer: PhantomData<&'a mut [E]>,
}

// SAFETY: it stands for a `&mut [E]` of which it touches, by the checks of `rows`, only its own columns.
unsafe impl<E: Send> Send for ViewMut<'_, E> {}
// SAFETY: as above; through a shared view nothing is reached but through pointers.
unsafe impl<E: Send> Sync for ViewMut<'_, E> {}

impl<'a, E> ViewMut<'a, E> {
    /// A matrix alone in its buffer, which begins with the first element.
    pub fn new(values: &'a mut [E], stride: usize) -> Self {
        let [view] = Self::split(values, [stride]);
        view
    }

    /// The parts of rows of `widths.iter().sum()` elements: the gradients of query, key and value in one
    /// `[tokens, 3 · hidden]` buffer are `ViewMut::split(&mut buffer, [hidden; 3])`.
    pub fn split<const N: usize>(values: &'a mut [E], widths: [usize; N]) -> [Self; N] {
        let stride = widths.iter().sum();
        let (start, length) = (values.as_mut_ptr(), values.len());
        let mut first = 0;
        widths.map(|width| {
            let before = length.min(first);
            first += width;
            // SAFETY: at most the end of the buffer.
            Self {
                start: unsafe { start.add(before) },
                length: length - before,
                stride,
                width,
                buffer: PhantomData,
            }
        })
    }

    /// Panics unless `rows` rows of `width` elements lie in the view.
    pub(super) fn check(&self, name: &str, rows: usize, width: usize) {
        check(name, [self.length, self.stride, self.width], rows, width);
    }

    /// The columns `column..column + width` of the rows from `first` on, `rows` of them.
    #[inline(always)]
    pub(super) fn rows(&self, first: usize, rows: usize, column: usize, width: usize) -> RowsMut<E> {
        assert!(column + width <= self.width, "columns outside the view");
        let start = first * self.stride + column;
        assert!(
            rows == 0 || start + (rows - 1) * self.stride + width <= self.length,
            "rows outside the view"
        );
        RowsMut { start: self.start.wrapping_add(start), stride: self.stride, rows, width }
    }
}

/// Some columns of some rows of a [`ViewMut`], which must live meanwhile.
pub(super) struct RowsMut<E> {
    start: *mut E,
    stride: usize,
    pub(super) rows: usize,
    pub(super) width: usize,
}

impl<E> RowsMut<E> {
    /// The first element of a row.
    ///
    /// # Safety
    /// It is one of the rows. Through the pointer `width` elements can be written; it is the callers' promise that nobody
    /// else touches them meanwhile.
    #[inline(always)]
    pub(super) unsafe fn row(&self, row: usize) -> *mut E {
        // SAFETY: inside the view, which was checked when this was made.
        unsafe { self.start.add(row * self.stride) }
    }
}

fn check(name: &str, [length, stride, columns]: [usize; 3], rows: usize, width: usize) {
    assert!(width <= columns, "{name} has rows of {columns} elements where num_heads * head_dim is {width}");
    let needed = if rows == 0 { 0 } else { (rows - 1) * stride + width };
    assert!(
        length >= needed,
        "{name} must be [tokens, num_heads * head_dim]: {needed} elements, not {length}"
    );
}
