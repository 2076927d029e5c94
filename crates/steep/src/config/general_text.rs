//! A sample of general text, to see what a model forgets while it is adapted.

/// The sample that comes with steep, one text an entry.
pub fn general_texts() -> Vec<&'static str> {
    const SAMPLE: &str = include_str!("../../assets/general_text.txt");
    SAMPLE.lines().map(str::trim).filter(|line| !line.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn there_is_enough_to_measure_a_loss() {
        let texts = super::general_texts();
        assert!(texts.len() >= 50, "{} texts", texts.len());
        assert!(texts.iter().all(|text| !text.starts_with('#')));
    }
}
