//! How do several tasks write interleaved parts of one slice?

use std::marker::PhantomData;
use std::ops::Range;

/// A mutable slice of which several tasks each borrow ranges that do not overlap.
pub(crate) struct Disjoint<'a> {
    start: *mut f32,
    length: usize,
    slice: PhantomData<&'a mut [f32]>,
}

// SAFETY: it stands for a `&mut [f32]`, which may be sent and, by the contract of `range`, is never aliased.
unsafe impl Send for Disjoint<'_> {}
// SAFETY: as above.
unsafe impl Sync for Disjoint<'_> {}

impl<'a> Disjoint<'a> {
    pub(crate) fn new(slice: &'a mut [f32]) -> Self {
        Self { start: slice.as_mut_ptr(), length: slice.len(), slice: PhantomData }
    }

    /// # Safety
    /// Ranges borrowed at the same time, from any thread, must not overlap.
    #[expect(clippy::mut_from_ref, reason = "that is the purpose; the caller keeps the ranges apart")]
    pub(crate) unsafe fn range(&self, range: Range<usize>) -> &mut [f32] {
        assert!(range.start <= range.end && range.end <= self.length, "range outside the slice");
        // SAFETY: inside the slice (just checked), not aliased (the caller's promise).
        unsafe { std::slice::from_raw_parts_mut(self.start.add(range.start), range.len()) }
    }

    /// The address of an element, for kernels that take strides.
    pub(crate) fn pointer(&self, index: usize) -> *mut f32 {
        assert!(index < self.length, "index outside the slice");
        // SAFETY: inside the slice (just checked).
        unsafe { self.start.add(index) }
    }
}
