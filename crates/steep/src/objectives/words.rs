//! Where words begin in a sequence of tokens, told from the tokens alone, whatever the tokenizer.
//!
//! WordPiece marks tokens that go on. Other tokenizers mark the space before a token; between tokens without one a word
//! goes on where a letter or digit meets another. Scripts that are written without spaces have no such marks: there
//! each token is a word of its own, so that never a whole sentence is taken for one.

use crate::text::{Tokenizer, TokenizerKind};
use std::collections::BTreeSet;
use unicode_script::{Script, UnicodeScript};

/// How the tokens of a vocabulary join.
#[derive(Debug, Clone)]
pub struct Words {
    /// By id.
    tokens: Vec<TokenEdges>,
}

/// The ends of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct TokenEdges {
    first: Edge,
    last: Edge,
}

/// What a token may join to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Edge {
    /// To nothing: a space, a punctuation mark, a sign of a script without spaces.
    Apart,
    /// To another letter or digit.
    Letter,
    /// To whatever is there: a continuing piece, a part of a character, a space that stands for itself.
    Open,
}

impl TokenEdges {
    const APART: Self = Self { first: Edge::Apart, last: Edge::Apart };
}

impl Words {
    /// Reads the vocabulary.
    pub fn of(tokenizer: &Tokenizer) -> Self {
        let spelling = Spelling::of(tokenizer);
        let edges = |id: u32| match tokenizer.token(id) {
            Some(token) if !tokenizer.is_special(id) => spelling.edges(&token),
            _ => TokenEdges::APART,
        };
        Self { tokens: (0..=tokenizer.largest_id()).map(edges).collect() }
    }

    /// Whether a token belongs to the same word as the one before it.
    pub fn continues(&self, previous: u32, token: u32) -> bool {
        let edges = |id: u32| self.tokens.get(id as usize).copied().unwrap_or(TokenEdges::APART);
        let (before, after) = (edges(previous).last, edges(token).first);
        before == Edge::Open || after == Edge::Open || (before, after) == (Edge::Letter, Edge::Letter)
    }
}

/// The tokens whose text ends in a full stop, of whatever script.
pub fn full_stops(tokenizer: &Tokenizer) -> BTreeSet<u32> {
    const SIGNS: [char; 6] = ['.', '。', '．', '｡', '।', '۔'];
    let spelling = Spelling::of(tokenizer);
    let is_stop = |id: &u32| {
        let token = tokenizer.token(*id).filter(|_| !tokenizer.is_special(*id));
        token.is_some_and(|token| spelling.text(&token).ends_with(SIGNS))
    };
    (0..=tokenizer.largest_id()).filter(is_stop).collect()
}

/// How a tokenizer spells spaces and bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spelling {
    /// `##` before a piece that goes on.
    Pieces,
    /// Bytes as characters of their own, a space as `Ġ`.
    Bytes,
    /// A space as `▁`.
    Spaces,
}

impl Spelling {
    fn of(tokenizer: &Tokenizer) -> Self {
        match tokenizer.facts().kind {
            TokenizerKind::WordPiece | TokenizerKind::WordLevel => Self::Pieces,
            TokenizerKind::Unigram => Self::Spaces,
            TokenizerKind::Bpe => {
                let spells = |mark: char| {
                    (0..=tokenizer.largest_id())
                        .any(|id| tokenizer.token(id).is_some_and(|token| token.starts_with(mark)))
                };
                if spells('\u{120}') { Self::Bytes } else { Self::Spaces }
            }
        }
    }

    /// What a token stands for, as far as it is whole characters.
    fn text(self, token: &str) -> String {
        match self {
            Self::Pieces => token.trim_start_matches("##").to_owned(),
            Self::Bytes => {
                let bytes: Vec<u8> = token.chars().filter_map(byte_of).collect();
                String::from_utf8_lossy(&bytes).into_owned()
            }
            Self::Spaces => token.replace('\u{2581}', " "),
        }
    }

    fn edges(self, token: &str) -> TokenEdges {
        match self {
            Self::Pieces if token.starts_with("##") => {
                // Whole sentences of these scripts come as one word in pieces.
                let parts = token[2..].chars().next().is_some_and(is_written_without_any_spaces);
                TokenEdges { first: if parts { Edge::Apart } else { Edge::Open }, last: Edge::Letter }
            }
            Self::Pieces => TokenEdges { first: Edge::Apart, last: Edge::Letter },
            Self::Bytes => bytes_edges(&token.chars().map(byte_of).collect::<Vec<_>>()),
            Self::Spaces => match byte_token(token) {
                Some(byte) => bytes_edges(&[Some(byte)]),
                None => text_edges(&token.replace('\u{2581}', " ")),
            },
        }
    }
}

/// The byte of a token such as `<0xE6>`.
fn byte_token(token: &str) -> Option<u8> {
    u8::from_str_radix(token.strip_prefix("<0x")?.strip_suffix('>')?, 16).ok()
}

/// The byte that a character of a byte-level vocabulary stands for (Radford et al. 2019): printable ones for
/// themselves, the others by their rank from 256 on.
fn byte_of(character: char) -> Option<u8> {
    let is_printable = |byte: &u8| matches!(byte, 33..=126 | 161..=172 | 174..=255);
    match u32::from(character) {
        code @ 0..=255 => u8::try_from(code).ok().filter(is_printable),
        code => (0..=u8::MAX).filter(|byte| !is_printable(byte)).nth(code as usize - 256),
    }
}

/// Edges of bytes that may begin or end within a character.
fn bytes_edges(bytes: &[Option<u8>]) -> TokenEdges {
    let bytes: Vec<u8> = bytes.iter().flatten().copied().collect();
    let begins_within = bytes.first().is_some_and(|byte| byte & 0xc0 == 0x80);
    let text = String::from_utf8_lossy(&bytes);
    let mut edges = text_edges(text.trim_matches(char::REPLACEMENT_CHARACTER));
    if begins_within {
        edges.first = Edge::Open;
    }
    if text.ends_with(char::REPLACEMENT_CHARACTER) {
        edges.last = Edge::Open;
    }
    edges
}

fn text_edges(text: &str) -> TokenEdges {
    let edge = |character: Option<char>| character.map_or(Edge::Apart, edge);
    let only_space = !text.is_empty() && text.trim().is_empty();
    let last = if only_space { Edge::Open } else { edge(text.chars().next_back()) };
    TokenEdges { first: edge(text.chars().next()), last }
}

fn edge(character: char) -> Edge {
    let joins = character.is_alphanumeric() && !is_written_without_spaces(character);
    if joins { Edge::Letter } else { Edge::Apart }
}

fn is_written_without_spaces(character: char) -> bool {
    let is_japanese_or_chinese =
        matches!(character.script(), Script::Han | Script::Hiragana | Script::Katakana);
    is_japanese_or_chinese || is_written_without_any_spaces(character)
}

/// Scripts that tokenizers of words do not part before they cut words into pieces.
fn is_written_without_any_spaces(character: char) -> bool {
    matches!(
        character.script(),
        Script::Thai | Script::Lao | Script::Khmer | Script::Myanmar | Script::Tibetan
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::{EncodeOptions, Truncation};
    use std::path::Path;

    fn golden(name: &str) -> Tokenizer {
        let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../goldens/token_ids");
        Tokenizer::load(&goldens.join(name)).expect("a tokenizer")
    }

    /// The tokens of a text without its frame, put together to words.
    fn words(tokenizer: &Tokenizer, text: &str) -> Vec<Vec<String>> {
        let options = EncodeOptions { max_seq_length: 60, prompt: None, truncation: Truncation::Head };
        let ids = tokenizer.encode(&[text], &options).expect("encodes").input_ids;
        let ids: Vec<u32> = ids.into_iter().filter(|&id| !tokenizer.is_special(id)).collect();
        let table = Words::of(tokenizer);
        let mut words: Vec<Vec<String>> = Vec::new();
        for (at, &id) in ids.iter().enumerate() {
            let token = tokenizer.token(id).expect("a token");
            match words.last_mut() {
                Some(word) if table.continues(ids[at - 1], id) => word.push(token),
                _ => words.push(vec![token]),
            }
        }
        words
    }

    #[test]
    fn a_space_parts_words_and_pieces_stay_together() {
        for name in ["wordpiece_vocab", "byte_level_vocab"] {
            let found = words(&golden(name), "tea tea");
            assert_eq!(found.len(), 2, "{name}: two words in {found:?}");
        }
    }

    #[test]
    fn bytes_of_a_character_stay_together_and_signs_without_spaces_apart() {
        let edges = |text: &[u8]| bytes_edges(&text.iter().map(|&byte| Some(byte)).collect::<Vec<_>>());
        let sign = "東".as_bytes();
        assert_eq!(edges(&sign[..2]).last, Edge::Open);
        assert_eq!(edges(&sign[2..]).first, Edge::Open);
        assert_eq!(edges(sign), TokenEdges::APART);
        assert_eq!(edges(b" tea"), TokenEdges { first: Edge::Apart, last: Edge::Letter });
        assert_eq!(edges(b" "), TokenEdges { first: Edge::Apart, last: Edge::Open });
        assert_eq!(edges("ไทย".as_bytes()), TokenEdges::APART);
        assert_eq!(byte_of('\u{120}'), Some(b' '));
        assert_eq!(byte_of('a'), Some(b'a'));
        assert_eq!(byte_token("<0xE6>"), Some(0xe6));
    }

    #[test]
    fn pieces_of_a_script_without_spaces_are_words_of_their_own() {
        let open = TokenEdges { first: Edge::Open, last: Edge::Letter };
        assert_eq!(Spelling::Pieces.edges("##ing"), open);
        assert_eq!(
            Spelling::Pieces.edges("##都"),
            open,
            "a word of several signs, as its tokenizer found it"
        );
        assert_eq!(Spelling::Pieces.edges("##ไทย").first, Edge::Apart);
    }

    #[test]
    fn full_stops_are_known_in_every_spelling() {
        assert_eq!(Spelling::Pieces.text("##."), ".");
        assert_eq!(Spelling::Spaces.text("\u{2581}end."), " end.");
        let bytes: String = "。"
            .bytes()
            .map(|byte| {
                let code = (0..0x200).filter_map(char::from_u32).find(|&c| byte_of(c) == Some(byte));
                code.expect("every byte has a character")
            })
            .collect();
        assert_eq!(Spelling::Bytes.text(&bytes), "。");
        for name in ["wordpiece_vocab", "byte_level_vocab"] {
            let tokenizer = golden(name);
            let stop = tokenizer.id(".").expect("a full stop");
            assert!(full_stops(&tokenizer).contains(&stop), "{name}");
        }
    }
}
