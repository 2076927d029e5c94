//! How hard is a text to read?

use super::view::TextView;

pub(super) const NAMES: [&str; 2] = ["text_lix", "text_rix"];

/// Words of more letters than this are long ones.
const LONG: usize = 6;

/// LIX: words a sentence, plus the percentage of long words (Björnsson 1968, "Läsbarhet"). RIX: long words a sentence
/// (Anderson 1983, "Lix and Rix: variations on a little-known readability index"). Both count letters and not
/// syllables, and so do for any language written in letters.
pub(super) fn values(view: &TextView<'_>) -> [f32; 2] {
    let long = view.words.iter().filter(|word| word.chars().count() > LONG).count();
    let sentences = view.sentences.max(1) as f32;
    [view.words.len() as f32 / sentences + 100.0 * view.per_word(long), long as f32 / sentences]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_indices_are_those_of_their_formulas() {
        // 10 words, 2 sentences; government, published, regulation and Citizens have more than 6 letters.
        let view = TextView::new("The government published a regulation. Citizens read it on paper.");
        assert_eq!(values(&view), [10.0 / 2.0 + 100.0 * 4.0 / 10.0, 4.0 / 2.0]);
        assert_eq!(values(&TextView::new("")), [0.0, 0.0]);
    }
}
