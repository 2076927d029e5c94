//! Addresses, mentions and hashtags.

use super::view::TextView;
use regex::Regex;
use std::sync::LazyLock;

pub(super) const NAMES: [&str; 4] = ["text_urls", "text_emails", "text_mentions", "text_hashtags"];

static URL: LazyLock<Regex> = LazyLock::new(|| pattern(r#"(?i)\b(?:(?:https?|ftp)://|www\.)[^\s<>"]+"#));
static EMAIL: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?i)\b[a-z0-9._%+-]+@(?:[a-z0-9-]+\.)+[a-z]{2,}\b"));
/// What stands before a sign keeps addresses (`a@b.org`, `site.org/@a`) from being mentions.
static MENTION: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?:^|[^\w@＠/.+-])[@＠]\w"));
/// What stands before the sign keeps `C#`, `&#39;` and the parts of addresses from being hashtags.
static HASHTAG: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?:^|[^\w#＃&/])[#＃]([\p{L}\p{Nd}_]\w*)"));

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("the pattern is a constant and valid")
}

/// Counts of web addresses, e-mail addresses, @mentions and #hashtags.
pub(super) fn values(view: &TextView<'_>) -> [f32; 4] {
    let text = view.text;
    let has = |signs: [char; 2]| text.contains(signs);
    let urls = if text.contains("://") || text.contains("www.") || text.contains("WWW.") {
        URL.find_iter(text).count()
    } else {
        0
    };
    let (mut emails, mut mentions, mut tags) = (0, 0, 0);
    if has(['@', '＠']) {
        emails = EMAIL.find_iter(text).count();
        mentions = MENTION.find_iter(text).count();
    }
    for_each_hashtag(text, |_| tags += 1);
    [urls as f32, emails as f32, mentions as f32, tags as f32]
}

/// Visits the hashtags of a text without their sign; a tag needs a letter, so `#1` is none.
pub(super) fn for_each_hashtag(text: &str, mut visit: impl FnMut(&str)) {
    if !text.contains(['#', '＃']) {
        return;
    }
    for captures in HASHTAG.captures_iter(text) {
        let tag = captures.get(1).map_or("", |tag| tag.as_str());
        if tag.chars().any(char::is_alphabetic) {
            visit(tag);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(text: &str) -> [f32; 4] {
        values(&TextView::new(text))
    }

    #[test]
    fn addresses_are_no_mentions_and_signs_no_hashtags() {
        assert_eq!(
            counts("see https://a.org/@b#c, www.d.org or x.y+z@mail.example.org"),
            [2.0, 1.0, 0.0, 0.0]
        );
        assert_eq!(counts("@ana and @bob: C# is not F#, nor &#39; nor #1"), [0.0, 0.0, 2.0, 0.0]);
        assert_eq!(counts("#rust,#Go (#東京) ＃привет_мир #2fast"), [0.0, 0.0, 0.0, 5.0]);
        assert_eq!(counts("press #\u{fe0f}\u{20e3} now"), [0.0; 4]);
    }
}
