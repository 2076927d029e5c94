//! Where do the operands and scores of one head lie meanwhile?

/// Words in a cache line.
const LINE: usize = 16;

#[derive(Clone, Copy)]
#[repr(align(64))]
#[expect(dead_code, reason = "reached through pointers only")]
struct Line([f32; LINE]);

/// Memory that one task after the other uses.
#[derive(Default)]
pub(super) struct Scratch {
    lines: Vec<Line>,
}

impl Scratch {
    /// Memory for `sizes` words each, on cache lines of their own; the words are whatever an earlier task left. The
    /// areas stay valid until the next call.
    pub(super) fn areas<const N: usize>(&mut self, sizes: [usize; N]) -> [*mut f32; N] {
        let lines = sizes.map(|size| size.div_ceil(LINE));
        let total = lines.iter().sum();
        if self.lines.len() < total {
            self.lines.resize(total, Line([0.0; LINE]));
        }
        let mut rest = &mut self.lines[..];
        lines.map(|lines| {
            let (area, after) = std::mem::take(&mut rest).split_at_mut(lines);
            rest = after;
            area.as_mut_ptr().cast::<f32>()
        })
    }
}
