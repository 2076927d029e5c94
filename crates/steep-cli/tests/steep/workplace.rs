//! A workplace for one test: a folder of its own, a tiny encoder, and the program.

use assert_cmd::Command;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// The words that the tiny tokenizer knows besides its five special tokens.
const WORDS: [&str; 43] = [
    "a", "an", "the", "of", "in", "on", "at", "is", "are", "was", "and", "or", "not", "tea", "leaf", "water",
    "cup", "pot", "green", "black", "white", "hot", "cold", "sweet", "bitter", "drink", "pour", "steep",
    "boil", "wait", "minute", "spoon", "milk", "sugar", "lemon", "good", "bad", "very", "too", "long",
    "short", "strong", "weak",
];

/// A folder with the tiny encoder in `model`.
pub(crate) struct Workplace {
    folder: TempDir,
}

impl Workplace {
    pub(crate) fn new() -> Self {
        Self::with_model("encoders/bert/base")
    }

    /// With the golden of this name as `model`.
    pub(crate) fn with_model(golden: &str) -> Self {
        let place = Self { folder: tempfile::tempdir().expect("a temporary folder") };
        place.add_model("model", golden);
        place
    }

    /// Another model folder, with the golden of this name.
    pub(crate) fn add_model(&self, name: &str, golden: &str) {
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../goldens").join(golden);
        std::fs::create_dir(self.path(name)).expect("a folder");
        for file in ["config.json", "model.safetensors"] {
            std::fs::copy(golden.join(file), self.path(name).join(file)).expect("the golden model");
        }
        let mut vocabulary = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n".to_owned();
        for word in WORDS {
            writeln!(vocabulary, "{word}").expect("a string");
        }
        self.write(&format!("{name}/vocab.txt"), &vocabulary);
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: &str) {
        std::fs::write(self.path(name), content).expect("a file");
    }

    /// So many texts of known words, one a line.
    pub(crate) fn write_texts(&self, name: &str, count: usize) {
        let text = |row: usize| {
            (0..6).map(|at| WORDS[(row * 7 + at * (row % 5 + 3)) % WORDS.len()]).collect::<Vec<_>>()
        };
        let lines: Vec<String> = (0..count).map(|row| text(row).join(" ")).collect();
        self.write(name, &(lines.join("\n") + "\n"));
    }

    /// So many labelled rows; the label follows from a word of the text.
    pub(crate) fn write_labelled(&self, name: &str, count: usize) {
        let mut csv = "text,label\n".to_owned();
        for row in 0..count {
            let (mood, label) = if row % 2 == 0 { ("good", "yes") } else { ("bad", "no") };
            let (one, other) = (WORDS[row % WORDS.len()], WORDS[(row * 3 + 1) % WORDS.len()]);
            writeln!(csv, "{one} is {mood} {other} {row},{label}").expect("a string");
        }
        self.write(name, &csv);
    }

    /// The program, in this folder, away from the user's own caches.
    pub(crate) fn steep(&self, arguments: &[&str]) -> Command {
        let mut command = Command::from_std(std::process::Command::new(env!("CARGO_BIN_EXE_steep")));
        command.current_dir(self.folder.path()).env("HF_HOME", self.path("hub")).env("HF_HUB_OFFLINE", "1");
        command.args(arguments);
        command
    }

    /// Runs the program; the exit code, the standard output and the standard error.
    pub(crate) fn run(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let output = self.steep(arguments).output().expect("the program starts");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("the program writes UTF-8");
        (output.status.code(), text(output.stdout), text(output.stderr))
    }

    /// Runs the program, which must end well; the standard output.
    pub(crate) fn succeed(&self, arguments: &[&str]) -> String {
        let (code, output, errors) = self.run(arguments);
        assert_eq!(code, Some(0), "{arguments:?}\n{output}\n{errors}");
        output
    }
}
