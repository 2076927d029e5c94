//! What happens with the sums of a product while they are in the first-level cache.

use crate::activation::{Activation, value_and_slope, values};
use crate::dropout::Mask;
use crate::gemm::{Element, Epilogue};

/// `out = sum + bias`.
pub(super) struct AddBias<'a, E> {
    pub(super) out: &'a mut [E],
    pub(super) stride: usize,
    pub(super) bias: &'a [f32],
}

impl<E: Element> Epilogue for AddBias<'_, E> {
    #[inline(always)]
    fn store(&mut self, row: usize, column: usize, sums: &mut [f32]) {
        let out = &mut self.out[row * self.stride + column..][..sums.len()];
        let bias = &self.bias[column..][..sums.len()];
        for index in 0..sums.len() {
            out[index] = E::from_f32(sums[index] + bias[index]);
        }
    }
}

/// `before = sum + bias` and `after = activation(before)`. The activation sees `before` as it is stored, so that the
/// backward pass can compute `after` again from it, to the bit.
pub(super) struct BiasActivation<'a, E> {
    /// Empty when nothing is kept.
    pub(super) before: &'a mut [E],
    pub(super) after: &'a mut [E],
    pub(super) stride: usize,
    pub(super) bias: &'a [f32],
    pub(super) activation: Activation,
}

impl<E: Element> Epilogue for BiasActivation<'_, E> {
    #[inline(always)]
    fn store(&mut self, row: usize, column: usize, sums: &mut [f32]) {
        let start = row * self.stride + column;
        let bias = &self.bias[column..][..sums.len()];
        for index in 0..sums.len() {
            sums[index] = E::from_f32(sums[index] + bias[index]).to_f32();
        }
        if !self.before.is_empty() {
            store(sums, &mut self.before[start..]);
        }
        values(self.activation, sums);
        store(sums, &mut self.after[start..]);
    }
}

#[inline(always)]
fn store<E: Element>(sums: &[f32], out: &mut [E]) {
    let out = &mut out[..sums.len()];
    for index in 0..sums.len() {
        out[index] = E::from_f32(sums[index]);
    }
}

/// `out = dropout(sum + bias) + residual`.
pub(super) struct BiasResidual<'a> {
    pub(super) out: &'a mut [f32],
    pub(super) residual: &'a [f32],
    pub(super) stride: usize,
    pub(super) bias: &'a [f32],
    pub(super) mask: Option<Mask>,
    /// Dropout index of the first element of `out`.
    pub(super) first: u32,
}

impl Epilogue for BiasResidual<'_> {
    #[inline(always)]
    fn store(&mut self, row: usize, column: usize, sums: &mut [f32]) {
        let start = row * self.stride + column;
        let bias = &self.bias[column..][..sums.len()];
        for index in 0..sums.len() {
            sums[index] += bias[index];
        }
        if let Some(mask) = self.mask {
            let first = self.first.wrapping_add(start as u32);
            for index in 0..sums.len() {
                sums[index] = mask.apply(first.wrapping_add(index as u32), sums[index]);
            }
        }
        let (out, residual) = (&mut self.out[start..][..sums.len()], &self.residual[start..][..sums.len()]);
        for index in 0..sums.len() {
            out[index] = sums[index] + residual[index];
        }
    }
}

/// The gradient through an activation: `dbefore = sum · activation'(before)`, and `after` computed again.
pub(super) struct ActivationGradient<'a, E> {
    pub(super) before: &'a [E],
    pub(super) dbefore: &'a mut [E],
    pub(super) after: &'a mut [E],
    pub(super) stride: usize,
    /// Sum of `dbefore` over the rows; it is added to.
    pub(super) dbias: &'a mut [f32],
    pub(super) activation: Activation,
}

impl<E: Element> Epilogue for ActivationGradient<'_, E> {
    #[inline(always)]
    fn store(&mut self, row: usize, column: usize, sums: &mut [f32]) {
        let start = row * self.stride + column;
        let length = sums.len();
        let before = &self.before[start..][..length];
        let after = &mut self.after[start..][..length];
        let dbefore = &mut self.dbefore[start..][..length];
        value_and_slope(
            self.activation,
            length,
            |index| before[index].to_f32(),
            |index, value, slope| {
                after[index] = E::from_f32(value);
                sums[index] *= slope;
            },
        );
        store(sums, dbefore);
        let dbias = &mut self.dbias[column..][..length];
        for index in 0..length {
            dbias[index] += sums[index];
        }
    }
}

/// `out = sum`.
pub(super) struct Store<'a, E> {
    pub(super) out: &'a mut [E],
    pub(super) stride: usize,
}

impl<E: Element> Epilogue for Store<'_, E> {
    #[inline(always)]
    fn store(&mut self, row: usize, column: usize, sums: &mut [f32]) {
        store(sums, &mut self.out[row * self.stride + column..]);
    }
}

/// `out += sum`.
pub(super) struct Add<'a> {
    pub(super) out: &'a mut [f32],
    pub(super) stride: usize,
}

impl Epilogue for Add<'_> {
    #[inline(always)]
    fn store(&mut self, row: usize, column: usize, sums: &mut [f32]) {
        let out = &mut self.out[row * self.stride + column..][..sums.len()];
        for index in 0..sums.len() {
            out[index] += sums[index];
        }
    }
}
