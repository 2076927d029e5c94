//! The recommended route as a folder, and how it is run.

use super::format::shorten;
use super::html::cut;
use super::markup::Markup;
use super::metric;
use serde::{Deserialize, Serialize};

/// The folder that `steep predict` runs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Winner {
    /// Where it is.
    pub folder: String,
    /// The columns that a row to predict for must have.
    pub columns: Vec<String>,
    /// The temperature that is applied to its probabilities; absent where they stay as they are.
    pub temperature: Option<f64>,
}

impl Winner {
    /// The command that runs it on a file of rows.
    pub fn command(&self) -> String {
        let folder = if self.folder.chars().all(|c| c.is_alphanumeric() || "/._-\\:".contains(c)) {
            self.folder.clone()
        } else {
            format!("'{}'", self.folder.replace('\'', r"'\''"))
        };
        format!(
            "steep predict --model_name_or_path {folder} --input_file rows.csv --output_file predictions.csv"
        )
    }
}

/// How the winner is run, and what rows must have, for the page.
pub(super) fn run(winner: &Winner) -> (String, Markup) {
    let columns: Vec<String> = winner.columns.iter().map(|name| format!("`{}`", shorten(name, 60))).collect();
    let rows = format!("The rows need the columns {}.", columns.join(", "));
    let temperature = winner.temperature.map_or_else(String::new, |value| {
        format!(
            " Probabilities are made honest with the temperature {} of the validation rows.",
            metric::number(value, 2)
        )
    });
    (shorten(&winner.command(), 400), Markup::sentence(&cut(&(rows + &temperature))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_can_be_copied_into_a_shell() {
        let of = |folder: &str| Winner { folder: folder.to_owned(), ..Winner::default() }.command();
        assert!(of("out/winner").contains("--model_name_or_path out/winner --input_file"));
        assert!(of("my out/it's").contains(r"'my out/it'\''s' --input_file"));
    }
}
