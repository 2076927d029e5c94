//! Spans of random length at random places, which do not overlap.

use crate::random::Stream;

/// Consecutive units of a text; none of them, between two units, in a span of length 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: usize,
    pub(super) length: usize,
}

/// Spans over a share of `units` units, in their order.
///
/// The number of units is rounded at random, so that its mean is the share of even the shortest texts. Lengths are drawn
/// until they are so many, the last one cut to fit, and every way to deal the spans between the units that are left is
/// equally likely.
pub(super) fn draw_spans(
    units: usize,
    share: f64,
    stream: &mut Stream,
    mut length: impl FnMut(&mut Stream) -> usize,
) -> Vec<Span> {
    let wanted = ((share * units as f64 + stream.next_f64()) as usize).min(units);
    let (mut lengths, mut left) = (Vec::new(), wanted);
    while left > 0 {
        let next = length(stream).min(left);
        lengths.push(next);
        left -= next;
    }
    stream.shuffle(&mut lengths);
    // Each span and each unit that is left takes one place; which places are spans is drawn.
    let places = (units - wanted + lengths.len()) as u32;
    let mut chosen = stream.permutation(places);
    chosen.truncate(lengths.len());
    chosen.sort_unstable();
    let mut covered = 0;
    let spans = chosen.iter().zip(lengths).enumerate().map(|(before, (&place, length))| {
        let span = Span { start: place as usize - before + covered, length };
        covered += length;
        span
    });
    spans.collect()
}

/// From Poisson's distribution (Knuth 1969); for means of some tens at most.
pub(super) fn poisson(mean: f64, stream: &mut Stream) -> usize {
    let (limit, mut product, mut count) = ((-mean).exp(), stream.next_f64(), 0);
    while product > limit {
        product *= stream.next_f64();
        count += 1;
    }
    count
}

/// From the geometric distribution over 1, 2, …, `longest`, whose longer values are left out.
pub(super) fn geometric(probability: f64, longest: usize, stream: &mut Stream) -> usize {
    let all = 1.0 - (1.0 - probability).powi(longest as i32);
    let draw = stream.next_f64() * all;
    let length = (1.0 - draw).ln() / (1.0 - probability).ln();
    (length as usize + 1).min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_cover_the_share_and_keep_apart() {
        let mut stream = Stream::new(1, &[]);
        let (mut covered, mut firsts) = (0, 0);
        for _ in 0..4_000 {
            let spans = draw_spans(20, 0.3, &mut stream, |stream| poisson(3.0, stream));
            let mut end = 0;
            for span in &spans {
                assert!(span.start >= end && span.start + span.length <= 20, "{spans:?}");
                end = span.start + span.length;
            }
            covered += spans.iter().map(|span| span.length).sum::<usize>();
            firsts += usize::from(spans.iter().any(|span| span.start == 0 && span.length > 0));
        }
        assert_eq!(covered, 4_000 * 6, "6 of 20 units are 30 per cent");
        assert!(firsts > 400, "the first unit is covered too");
        // Of 3 units 0.9 are wanted: none or one.
        let of_three = |stream: &mut Stream| draw_spans(3, 0.3, stream, |_| 1).len();
        let mean = (0..10_000).map(|_| of_three(&mut stream)).sum::<usize>() as f64 / 10_000.0;
        assert!((mean - 0.9).abs() < 0.01, "{mean}");
    }

    #[test]
    fn lengths_have_their_distributions() {
        const DRAWS: usize = 100_000;
        let mut stream = Stream::new(2, &[]);
        let lengths: Vec<usize> = (0..DRAWS).map(|_| poisson(3.0, &mut stream)).collect();
        let mut expected = (-3f64).exp();
        for count in 0..8 {
            let share = lengths.iter().filter(|length| **length == count).count() as f64 / DRAWS as f64;
            assert!((share - expected).abs() < 0.005, "{count}: {share} against {expected}");
            expected *= 3.0 / (count + 1) as f64;
        }
        let lengths: Vec<usize> = (0..DRAWS).map(|_| geometric(0.2, 10, &mut stream)).collect();
        assert!(lengths.iter().all(|length| (1..=10).contains(length)));
        // SpanBERT's mean length.
        let mean = lengths.iter().sum::<usize>() as f64 / DRAWS as f64;
        assert!((mean - 3.797).abs() < 0.03, "{mean}");
        let share = |length: usize| lengths.iter().filter(|l| **l == length).count() as f64 / DRAWS as f64;
        assert!((share(2) / share(1) - 0.8).abs() < 0.02);
    }
}
