//! Emoticons: faces made of punctuation.

use super::view::TextView;

pub(super) const NAMES: [&str; 3] = ["text_emoticons", "text_positive_emoticons", "text_negative_emoticons"];

const POSITIVE: [&str; 34] = [
    ":)", ":-)", ":))", ":o)", ":]", ":-]", ":3", ":D", ":-D", "=)", "=D", "=]", "8)", "8-)", "8D", "xD",
    "XD", ";)", ";-)", ";D", ":P", ":-P", ":p", ":-p", ";P", "=P", ":*", ":-*", "<3", "^^", "^_^", "(:",
    "\\o/", ":')",
];
const NEGATIVE: [&str; 22] = [
    ":(", ":-(", ":((", ":[", ":-[", ":<", ":c", "=(", ":'(", ";(", "D:", "DX", ":/", ":-/", ":\\", ":-\\",
    "=/", ":@", ">:(", "</3", "T_T", "):",
];
const OTHER: [&str; 16] = [
    ":|",
    ":-|",
    "=|",
    ":O",
    ":-O",
    ":o",
    ":-o",
    "=O",
    "o_O",
    "O_o",
    "o_o",
    "O_O",
    "-_-",
    ":$",
    "¯\\_(ツ)_/¯",
    ":S",
];

/// Counts of all, of the glad and of the sad ones. An emoticon stands alone between spaces, or before a mark that ends
/// a sentence; so `http://`, `(a:)` and `8)` within a word are none.
pub(super) fn values(view: &TextView<'_>) -> [f32; 3] {
    let (mut all, mut positive, mut negative) = (0, 0, 0);
    for token in view.text.split_whitespace() {
        let token = token.trim_end_matches(['.', ',', '!', '?']);
        if !may_be(token) {
            continue;
        }
        let (is_positive, is_negative) = (POSITIVE.contains(&token), NEGATIVE.contains(&token));
        positive += u32::from(is_positive);
        negative += u32::from(is_negative);
        all += u32::from(is_positive || is_negative || OTHER.contains(&token));
    }
    [all as f32, positive as f32, negative as f32]
}

/// A quick no to most words.
fn may_be(token: &str) -> bool {
    let starts = |byte: &u8| b":;=8xX<^(\\DT)oO->".contains(byte) || *byte == "¯".as_bytes()[0];
    (2..=16).contains(&token.len()) && token.as_bytes().first().is_some_and(starts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_emoticon_passes_the_quick_check() {
        let all = POSITIVE.iter().chain(&NEGATIVE).chain(&OTHER);
        assert!(all.clone().all(|face| may_be(face)));
        let different: std::collections::BTreeSet<_> = all.clone().collect();
        assert_eq!(different.len(), all.count(), "none is in two lists");
    }

    #[test]
    fn only_emoticons_that_stand_alone_count() {
        let counts = |text: &str| values(&TextView::new(text));
        assert_eq!(counts("good :) bad :-(. so so :| ¯\\_(ツ)_/¯"), [4.0, 1.0, 1.0]);
        assert_eq!(counts("http://x.org (note:) f(a=) std::D"), [0.0; 3]);
    }
}
