//! Emoji, each whole sequence one.

use super::view::TextView;
use emojis::{Emoji, Group, SkinTone};
use unicode_segmentation::UnicodeSegmentation;

const GROUPS: [(Group, &str); 9] = [
    (Group::SmileysAndEmotion, "text_emoji_group_smileys_and_emotion"),
    (Group::PeopleAndBody, "text_emoji_group_people_and_body"),
    (Group::AnimalsAndNature, "text_emoji_group_animals_and_nature"),
    (Group::FoodAndDrink, "text_emoji_group_food_and_drink"),
    (Group::TravelAndPlaces, "text_emoji_group_travel_and_places"),
    (Group::Activities, "text_emoji_group_activities"),
    (Group::Objects, "text_emoji_group_objects"),
    (Group::Symbols, "text_emoji_group_symbols"),
    (Group::Flags, "text_emoji_group_flags"),
];
pub(super) const WIDTH: usize = GROUPS.len() + 2;

pub(super) fn names() -> Vec<String> {
    let groups = GROUPS.iter().map(|(_, name)| *name);
    ["text_emoji", "text_distinct_emoji"].into_iter().chain(groups).map(str::to_owned).collect()
}

/// How many emoji, how many different ones, and how many of each group of Unicode's.
pub(super) fn values(view: &TextView<'_>) -> [f32; WIDTH] {
    let mut values = [0.0; WIDTH];
    let mut seen: Vec<&str> = Vec::new();
    for_each_emoji(view.text, |emoji| {
        values[0] += 1.0;
        seen.push(emoji.as_str());
        if let Some(group) = GROUPS.iter().position(|(group, _)| *group == emoji.group()) {
            values[2 + group] += 1.0;
        }
    });
    seen.sort_unstable();
    seen.dedup();
    values[1] = seen.len() as f32;
    values
}

/// Whether there is any emoji in a text.
pub(crate) fn has_emoji(text: &str) -> bool {
    let mut found = false;
    for_each_emoji(text, |_| found = true);
    found
}

/// Visits the emoji of a text: grapheme clusters (Unicode Standard Annex 29), so that skin tones, joined sequences,
/// flags and keycaps are one emoji each. A character that is shown as text unless the text asks for an emoji, such as
/// ©, counts only where it does ask (Unicode Technical Standard 51, ED-7). A sequence that Unicode does not list counts
/// as the emoji it begins with.
pub(super) fn for_each_emoji(text: &str, mut visit: impl FnMut(&'static Emoji)) {
    if !text.chars().any(may_be) {
        return;
    }
    for cluster in text.graphemes(true).filter(|cluster| !cluster.is_ascii()) {
        if let Some(emoji) = whole(cluster).or_else(|| beginning(cluster)) {
            visit(emoji);
        }
    }
}

/// An emoji with its skin tone left aside.
pub(super) fn without_skin_tone(emoji: &'static Emoji) -> &'static Emoji {
    emoji.with_skin_tone(SkinTone::Default).unwrap_or(emoji)
}

/// The column that tells whether a text has an emoji.
pub(super) fn indicator_name(emoji: &str) -> String {
    let name = emojis::get(emoji).map_or(emoji, |emoji| emoji.name());
    let mut words = String::new();
    for character in name.chars() {
        match character {
            letter if letter.is_alphanumeric() => words.extend(letter.to_lowercase()),
            // The keycaps of these two would share a name.
            '#' => words.push_str("number_sign"),
            '*' => words.push_str("asterisk"),
            _ if !words.is_empty() && !words.ends_with('_') => words.push('_'),
            _ => {}
        }
    }
    format!("text_has_emoji_{}", words.trim_end_matches('_'))
}

fn whole(cluster: &str) -> Option<&'static Emoji> {
    let emoji = emojis::get(cluster)?;
    let is_single = cluster.chars().nth(1).is_none();
    (!is_single || emoji.as_str() == cluster).then_some(emoji)
}

fn beginning(cluster: &str) -> Option<&'static Emoji> {
    let first = cluster.chars().next()?;
    emojis::get(first.encode_utf8(&mut [0; 4])).filter(|emoji| emoji.as_str().chars().eq([first]))
}

/// Every emoji has a character that passes: of the first blocks of symbols, of the supplementary planes, or the sign
/// that asks for an emoji.
fn may_be(character: char) -> bool {
    matches!(u32::from(character), 0x203c..=0x3299 | 0xfe0f | 0x1f000..)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<&'static str> {
        let mut found = Vec::new();
        for_each_emoji(text, |emoji| found.push(emoji.as_str()));
        found
    }

    #[test]
    fn every_emoji_there_is_counts_as_one() {
        let tones = |emoji: &'static Emoji| emoji.skin_tones().into_iter().flatten().chain([emoji]);
        for emoji in emojis::iter().flat_map(tones) {
            assert_eq!(found(&format!("a{emoji}b")), [emoji.as_str()], "{}", emoji.name());
            assert_eq!(found(&format!("{emoji} {emoji}")).len(), 2, "{}", emoji.name());
        }
    }

    #[test]
    fn sequences_are_one_emoji() {
        assert_eq!(found("👍🏽👨‍👩‍👧🇩🇪🇫🇷1️⃣#️⃣❤️‍🔥").len(), 7);
        let values = values(&TextView::new("😀😀 🐍 🇩🇪"));
        assert_eq!((values[0], values[1]), (4.0, 3.0));
        assert_eq!((values[2], values[4], values[10]), (2.0, 1.0, 1.0));
    }

    #[test]
    fn what_is_shown_as_text_is_none() {
        assert!(found("© ® ™ ↔ 1 # ▪ 🇦 plain Ω 漢字").is_empty());
        assert_eq!(found("©\u{fe0f} ™\u{fe0f}").len(), 2);
    }

    #[test]
    fn a_sequence_unicode_does_not_list_is_its_beginning() {
        assert_eq!(found("🐍\u{200d}🚀"), ["🐍"]);
    }

    #[test]
    fn indicators_are_named_in_words_and_without_tone() {
        assert_eq!(indicator_name("👍"), "text_has_emoji_thumbs_up");
        assert_eq!(without_skin_tone(emojis::get("👍🏽").unwrap()).as_str(), "👍");
        let names: std::collections::BTreeSet<String> =
            emojis::iter().map(|emoji| indicator_name(emoji.as_str())).collect();
        assert_eq!(names.len(), emojis::iter().count(), "each emoji has a name of its own");
    }
}
