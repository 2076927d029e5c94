//! Which language is a text written in?

/// The confidence of the detector, from 0 to 1; it is low for short texts, and then the language is a guess.
pub(super) const CONFIDENCE: &str = "text_language_confidence";

/// The ISO 639-3 code of the language and the detector's confidence; none where there are no letters.
pub(super) fn detect(text: &str) -> Option<(&'static str, f32)> {
    let info = whatlang::detect(text)?;
    let confidence = info.confidence();
    // A single trigram divides zero by zero.
    Some((info.lang().code(), if confidence.is_finite() { confidence as f32 } else { 0.0 }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn languages_are_told_apart_and_no_letters_are_no_language() {
        let code = |text: &str| detect(text).map(|(code, _)| code);
        assert_eq!(code("The library reads and writes many formats of images"), Some("eng"));
        assert_eq!(code("Die Bibliothek liest und schreibt viele Formate von Bildern"), Some("deu"));
        assert_eq!(code("これは日本語の文章です"), Some("jpn"));
        assert_eq!(code("12345 !!!"), None);
    }
}
