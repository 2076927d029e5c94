//! Which scripts is a text written in?

use super::view::TextView;
use unicode_script::{Script, UnicodeScript};

const SCRIPTS: [(Script, &str); 12] = [
    (Script::Latin, "text_share_latin"),
    (Script::Cyrillic, "text_share_cyrillic"),
    (Script::Greek, "text_share_greek"),
    (Script::Han, "text_share_han"),
    (Script::Hiragana, "text_share_hiragana"),
    (Script::Katakana, "text_share_katakana"),
    (Script::Hangul, "text_share_hangul"),
    (Script::Arabic, "text_share_arabic"),
    (Script::Hebrew, "text_share_hebrew"),
    (Script::Devanagari, "text_share_devanagari"),
    (Script::Bengali, "text_share_bengali"),
    (Script::Thai, "text_share_thai"),
];
const OTHER: usize = SCRIPTS.len();
pub(super) const WIDTH: usize = SCRIPTS.len() + 2;

pub(super) fn names() -> Vec<String> {
    let shares = SCRIPTS.iter().map(|(_, name)| *name).chain(["text_share_other_scripts", "text_scripts"]);
    shares.map(str::to_owned).collect()
}

/// The share of each script among the letters (Unicode Standard Annex 24), and how many scripts there are. Letters that
/// belong to no script alone are left out.
pub(super) fn values(view: &TextView<'_>) -> [f32; WIDTH] {
    let mut counts = [0_u32; OTHER + 1];
    for character in view.text.chars() {
        if character.is_ascii() {
            counts[0] += u32::from(character.is_ascii_alphabetic());
        } else if character.is_alphabetic() {
            match character.script() {
                Script::Common | Script::Inherited | Script::Unknown => {}
                script => counts[place(script)] += 1,
            }
        }
    }
    let letters = counts.iter().sum::<u32>().max(1) as f32;
    let mut values = [0.0; WIDTH];
    values.iter_mut().zip(counts).for_each(|(value, count)| *value = count as f32 / letters);
    values[WIDTH - 1] = counts.iter().filter(|&&count| count > 0).count() as f32;
    values
}

fn place(script: Script) -> usize {
    SCRIPTS.iter().position(|(known, _)| *known == script).unwrap_or(OTHER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_of_letters_and_add_up() {
        let shares = values(&TextView::new("ab 12 ёж 漢字 ᚠ!"));
        assert_eq!(shares[0], 2.0 / 7.0);
        assert_eq!((shares[1], shares[3], shares[OTHER]), (2.0 / 7.0, 2.0 / 7.0, 1.0 / 7.0));
        assert_eq!(shares[WIDTH - 1], 4.0);
        assert_eq!(values(&TextView::new("12 !")), [0.0; WIDTH]);
    }
}
