//! How is a text written: capitals, digits, punctuation, emphasis?

use super::view::TextView;

pub(super) const NAMES: [&str; 8] = [
    "text_capitals",
    "text_capital_share",
    "text_digits",
    "text_punctuation",
    "text_exclamation_marks",
    "text_question_marks",
    "text_elongated_words",
    "text_all_caps_words",
];

/// Counts of the names' characters and words; the share is that of capitals among all letters.
pub(super) fn values(view: &TextView<'_>) -> [f32; 8] {
    let (mut letters, mut capitals, mut digits, mut marks, mut exclamations, mut questions) =
        (0, 0, 0, 0, 0, 0);
    for character in view.text.chars() {
        letters += u32::from(character.is_alphabetic());
        capitals += u32::from(character.is_uppercase());
        digits += u32::from(character.is_numeric());
        marks += u32::from(is_punctuation(character));
        exclamations += u32::from(matches!(character, '!' | '！' | '¡' | '‼'));
        questions += u32::from(matches!(character, '?' | '？' | '¿' | '؟' | '⁇'));
    }
    let share = if letters == 0 { 0.0 } else { capitals as f32 / letters as f32 };
    let count = |is: fn(&str) -> bool| view.words.iter().filter(|word| is(word)).count() as f32;
    [
        capitals as f32,
        share,
        digits as f32,
        marks as f32,
        exclamations as f32,
        questions as f32,
        count(is_elongated),
        count(is_all_caps),
    ]
}

/// Punctuation and symbols of ASCII as C has it, the common blocks of punctuation beyond.
fn is_punctuation(character: char) -> bool {
    character.is_ascii_punctuation()
        || matches!(
            u32::from(character),
            0xa1 | 0xa7 | 0xab | 0xb6 | 0xb7 | 0xbb | 0xbf | 0x60c | 0x61b | 0x61f | 0x6d4 | 0x964 | 0x965
                | 0x2010..=0x2027
                | 0x2030..=0x205e
                | 0x3001..=0x3003
                | 0x3008..=0x3011
                | 0x3014..=0x301f
                | 0x30fb
                | 0xff01..=0xff0f
                | 0xff1a..=0xff20
                | 0xff3b..=0xff40
                | 0xff5b..=0xff65
        )
}

/// Whether a letter stands three times in a row, as in "sooo". Roman numerals and `www` are no such words.
fn is_elongated(word: &str) -> bool {
    let letter =
        |character: char| character.is_alphabetic().then(|| character.to_lowercase().next()).flatten();
    let (mut last, mut run) = (None, 0);
    let mut found = false;
    for character in word.chars() {
        let this = letter(character);
        run = if this.is_some() && this == last { run + 1 } else { 1 };
        last = this;
        found |= run == 3 && this.is_some();
    }
    found
        && !word.eq_ignore_ascii_case("www")
        && !word.bytes().all(|byte| b"ivxlcdm".contains(&byte.to_ascii_lowercase()))
}

/// Two letters or more, all of them capitals.
fn is_all_caps(word: &str) -> bool {
    let mut letters = word.chars().filter(|character| character.is_alphabetic()).peekable();
    let mut count = 0;
    letters.all(|letter| {
        count += 1;
        letter.is_uppercase()
    }) && count >= 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn emphasis_is_seen_and_numerals_are_not_emphasis() {
        assert!(is_elongated("soooo") && is_elongated("NOOO") && is_elongated("дааа"));
        assert!(
            !is_elongated("book") && !is_elongated("XIII") && !is_elongated("www") && !is_elongated("1000")
        );
        assert!(is_all_caps("WOW") && is_all_caps("MP3") && is_all_caps("ДА"));
        assert!(!is_all_caps("A") && !is_all_caps("Wow") && !is_all_caps("123") && !is_all_caps("你好"));
    }

    #[test]
    fn characters_are_counted_in_any_script() {
        let counts = values(&TextView::new("WOW, it’s 42?! Ünïq ¿Qué？"));
        assert_eq!(counts[0], 5.0);
        assert_eq!(counts[2], 2.0);
        assert_eq!(counts[3], 6.0, ", ’ ? ! ¿ ？");
        assert_eq!((counts[4], counts[5], counts[7]), (1.0, 3.0, 1.0));
    }
}
