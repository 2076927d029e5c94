//! Texts as sets of overlapping pieces, whose overlap (Jaccard index) says how alike they are.

use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

/// Characters in a piece of an ordinary text.
const CHARACTERS: usize = 5;
/// Words in a piece of a long text.
const WORDS: usize = 3;
/// A text is long above this many bytes, if it also has more than [`LONG_WORDS`]: languages written without
/// spaces have too few for pieces of words.
const LONG_BYTES: f64 = 1500.0;
const LONG_WORDS: f64 = 50.0;

/// What the pieces of a text are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    /// Five characters.
    Characters,
    /// Three words.
    Words,
}

/// A text in lower case, each run of white space as one space, none at the ends.
pub(super) fn normal_form(text: &str) -> String {
    let mut form = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !form.is_empty() {
            form.push(' ');
        }
        form.push_str(&word.to_lowercase());
    }
    form
}

/// The key of a normal form; equal keys are taken for equal texts.
pub(super) fn exact_key(form: &str) -> u128 {
    xxh3_128(form.as_bytes())
}

/// The pieces by which a normal form is compared.
pub(super) fn scheme(form: &str) -> Scheme {
    scheme_at(form, 1.0)
}

/// The schemes of all texts that may be as alike to this as the threshold asks: both for a text near the limit of
/// long ones, as its duplicate may lie beyond it.
pub(super) fn schemes_near(form: &str, threshold: f64) -> Vec<Scheme> {
    // A duplicate may be shorter or longer by the threshold; a little more, as sets leave out repeated pieces.
    let slack = 0.8 * threshold;
    let (shorter, longer) = (scheme_at(form, slack), scheme_at(form, 1.0 / slack));
    if shorter == longer { vec![shorter] } else { vec![shorter, longer] }
}

fn scheme_at(form: &str, scale: f64) -> Scheme {
    if form.len() as f64 * scale <= LONG_BYTES {
        return Scheme::Characters;
    }
    let words = form.bytes().filter(|byte| *byte == b' ').count() + 1;
    if words as f64 * scale > LONG_WORDS { Scheme::Words } else { Scheme::Characters }
}

/// The set of a normal form's pieces as ascending hashes; empty where the text is shorter than a piece.
pub(super) fn shingles(form: &str, scheme: Scheme) -> Vec<u32> {
    let mut pieces = match scheme {
        Scheme::Characters => pieces_of_characters(form),
        Scheme::Words => pieces_of_words(form),
    };
    pieces.sort_unstable();
    pieces.dedup();
    pieces
}

fn hash(piece: &str) -> u32 {
    xxh3_64(piece.as_bytes()) as u32
}

fn pieces_of_characters(form: &str) -> Vec<u32> {
    let ends = form.char_indices().map(|(at, _)| at).skip(CHARACTERS).chain([form.len()]);
    let long_enough = form.chars().nth(CHARACTERS - 1).is_some();
    let starts = form.char_indices().map(|(at, _)| at);
    if !long_enough {
        return Vec::new();
    }
    starts.zip(ends).map(|(start, end)| hash(&form[start..end])).collect()
}

fn pieces_of_words(form: &str) -> Vec<u32> {
    let spaces: Vec<usize> =
        form.bytes().enumerate().filter(|(_, byte)| *byte == b' ').map(|(at, _)| at).collect();
    let starts = std::iter::once(0).chain(spaces.iter().map(|at| at + 1));
    let ends = spaces.iter().copied().chain([form.len()]).skip(WORDS - 1);
    starts.zip(ends).map(|(start, end)| hash(&form[start..end])).collect()
}

/// The Jaccard index of two ascending sets: the share of the pieces of either that both have.
pub(super) fn jaccard(left: &[u32], right: &[u32]) -> f64 {
    let (mut i, mut j, mut both) = (0, 0, 0_usize);
    while i < left.len() && j < right.len() {
        let order = left[i].cmp(&right[j]);
        both += usize::from(order.is_eq());
        i += usize::from(order.is_le());
        j += usize::from(order.is_ge());
    }
    both as f64 / (left.len() + right.len() - both).max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_and_white_space_do_not_count() {
        assert_eq!(normal_form("  Über\tDen\u{a0}\n Wolken "), "über den wolken");
        assert_eq!(exact_key(&normal_form("A  b")), exact_key(&normal_form("a B")));
        assert_eq!(normal_form(" \n"), "");
    }

    #[test]
    fn pieces_overlap_by_all_but_one() {
        assert_eq!(shingles("abcd", Scheme::Characters).len(), 0);
        assert_eq!(shingles("abcde", Scheme::Characters), [hash("abcde")]);
        let mut expected = [hash("äbcde"), hash("bcdeß")];
        expected.sort_unstable();
        assert_eq!(shingles("äbcdeß", Scheme::Characters), expected);
        let mut expected = [hash("a b c"), hash("b c dd")];
        expected.sort_unstable();
        assert_eq!(shingles("a b c dd", Scheme::Words), expected);
        assert_eq!(shingles("a b", Scheme::Words).len(), 0);
    }

    #[test]
    fn jaccard_counts_common_pieces() {
        assert_eq!(jaccard(&[1, 2, 3], &[2, 3, 4]), 0.5);
        assert_eq!(jaccard(&[], &[]), 0.0);
        assert_eq!(jaccard(&[1, 2], &[1, 2]), 1.0);
    }

    #[test]
    fn texts_at_the_limit_are_compared_both_ways() {
        let of = |words: usize| "abcd ".repeat(words).trim().to_owned();
        assert_eq!(schemes_near(&of(20), 0.8), [Scheme::Characters]);
        assert_eq!(schemes_near(&of(300), 0.8), [Scheme::Characters, Scheme::Words]);
        assert_eq!(schemes_near(&of(900), 0.8), [Scheme::Words]);
        assert_eq!(scheme(&"長".repeat(900)), Scheme::Characters);
    }
}
