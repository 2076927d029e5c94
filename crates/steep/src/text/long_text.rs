//! How much of a very long text has to be read?
//!
//! A sequence keeps some hundred tokens; a text may have megabytes. A piece of the text is tokenised instead,
//! cut where no tokenizer joins what is before and after: in front of white space. Where there is none, the
//! cut falls inside a word, and the caller demands so many tokens beyond those it keeps that the ones near
//! the cut are dropped.

/// A piece has so many bytes per token kept; the tokens of ordinary text have three to six.
pub(super) const BYTES_PER_TOKEN: usize = 16;

/// The beginning of a text of more than `limit` bytes, `limit` bytes at most; `None` for shorter texts.
pub(super) fn head_piece(text: &str, limit: usize) -> Option<&str> {
    if text.len() <= limit {
        return None;
    }
    let end = text.floor_char_boundary(limit);
    let from = text.floor_char_boundary(end - end / 8);
    // Everything before the last run of white space in the window, so that the run is left out whole.
    let in_front = text[from..end].rfind(char::is_whitespace).map(|at| text[..from + at].trim_end().len());
    Some(&text[..in_front.filter(|&at| at >= from).unwrap_or(end)])
}

/// The end of a text of more than `limit` bytes, `limit` bytes at most; `None` for shorter texts.
pub(super) fn tail_piece(text: &str, limit: usize) -> Option<&str> {
    if text.len() <= limit {
        return None;
    }
    let start = text.ceil_char_boundary(text.len() - limit);
    let window = text.ceil_char_boundary(start + (text.len() - start) / 8);
    // The white space stays at the word: byte-level tokens contain the space before them.
    let at = text[start..window].find(char::is_whitespace).map_or(start, |at| start + at);
    Some(&text[at..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_texts_are_not_cut() {
        assert_eq!(head_piece("tea", 3), None);
        assert_eq!(tail_piece("tea", 3), None);
    }

    #[test]
    fn the_cut_is_in_front_of_white_space() {
        let text = "green  tea ".repeat(100);
        let head = head_piece(&text, 1000).unwrap();
        assert!(head.len() > 870 && head.len() <= 1000);
        assert!(text[head.len()..].starts_with(char::is_whitespace) && !head.ends_with(char::is_whitespace));
        let tail = tail_piece(&text, 1000).unwrap();
        assert!(tail.len() > 870 && tail.len() <= 1000);
        assert!(tail.starts_with(char::is_whitespace));
    }

    #[test]
    fn without_white_space_the_cut_is_at_a_character() {
        for unit in ["茶", "👍🏽", "x"] {
            let text = unit.repeat(1000);
            for limit in 900..910 {
                assert!(head_piece(&text, limit).unwrap().len() > limit - 4);
                assert!(tail_piece(&text, limit).unwrap().len() > limit - 4);
            }
        }
    }

    #[test]
    fn white_space_alone_is_cut_too() {
        let text = " ".repeat(1000);
        assert_eq!(head_piece(&text, 100).unwrap().len(), 100);
        assert_eq!(tail_piece(&text, 100).unwrap().len(), 100);
    }
}
