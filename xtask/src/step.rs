//! How is one program run, named, timed, and told about when it fails?

use anyhow::{Context, Result, bail};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// One program run in the root of the repository.
pub(crate) struct Step {
    name: &'static str,
    program: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(&'static str, &'static str)>,
}

impl Step {
    /// A run of `program`; `name` is what the person reads.
    pub(crate) fn new(name: &'static str, program: impl Into<PathBuf>, arguments: &[&str]) -> Self {
        Self {
            name,
            program: program.into(),
            arguments: arguments.iter().map(ToString::to_string).collect(),
            environment: Vec::new(),
        }
    }

    /// A run of the cargo that started this program.
    pub(crate) fn cargo(name: &'static str, arguments: &[&str]) -> Self {
        Self::new(name, "cargo", arguments)
    }

    /// Sets an environment variable for this run.
    pub(crate) fn with_environment(mut self, variable: &'static str, value: &'static str) -> Self {
        self.environment.push((variable, value));
        self
    }

    /// Runs the step, showing its output as it comes, and returns how long it took. An error names the command to
    /// repeat.
    pub(crate) fn run(&self) -> Result<Duration> {
        println!("\n==> {}: {}", self.name, self.command_line());
        let start = Instant::now();
        let status = Command::new(&self.program)
            .args(&self.arguments)
            .envs(self.environment.iter().copied())
            .current_dir(repository_root())
            .status()
            .with_context(|| format!("`{}` cannot be started", self.program.display()))?;
        let seconds = start.elapsed();
        if !status.success() {
            bail!(
                "{} failed after {}; repeat it with:\n  {}",
                self.name,
                clock(seconds),
                self.command_line()
            );
        }
        println!("<== {} done in {}", self.name, clock(seconds));
        Ok(seconds)
    }

    /// The step's name.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// The command as a person would type it in the root of the repository.
    fn command_line(&self) -> String {
        let variables = self.environment.iter().map(|(name, value)| format!("{name}={}", quoted(value)));
        let program = self.program.strip_prefix(repository_root()).unwrap_or(&self.program);
        let words = std::iter::once(quoted(&program.display().to_string()))
            .chain(self.arguments.iter().map(|argument| quoted(argument)));
        variables.chain(words).collect::<Vec<_>>().join(" ")
    }
}

/// The folder that holds the workspace.
pub(crate) fn repository_root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is a folder of the workspace")
}

/// Whether `cargo NAME` is installed.
pub(crate) fn has_cargo_command(name: &str) -> bool {
    runs("cargo", [name, "--version"])
}

/// Whether the program starts and succeeds; its output is thrown away.
pub(crate) fn runs<A: AsRef<OsStr>>(
    program: impl AsRef<OsStr>,
    arguments: impl IntoIterator<Item = A>,
) -> bool {
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// `3.2 s`, `4 min 05 s`.
pub(crate) fn clock(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds < 60 {
        format!("{:.1} s", duration.as_secs_f64())
    } else {
        format!("{} min {:02} s", seconds / 60, seconds % 60)
    }
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |character: char| character.is_ascii_alphanumeric() || "-_./=:,+@".contains(character);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_can_be_pasted_into_a_shell() {
        let step = Step::cargo("docs", &["doc", "--exclude", "it's"])
            .with_environment("RUSTDOCFLAGS", "-D warnings");
        assert_eq!(step.command_line(), r"RUSTDOCFLAGS='-D warnings' cargo doc --exclude 'it'\''s'");
    }

    #[test]
    fn programs_inside_the_repository_are_named_from_its_root() {
        let python = repository_root().join("target").join("venv").join("python");
        assert_eq!(Step::new("x", python, &[]).command_line(), "target/venv/python");
    }

    #[test]
    fn long_times_are_told_in_minutes() {
        assert_eq!(clock(Duration::from_millis(3_240)), "3.2 s");
        assert_eq!(clock(Duration::from_secs(245)), "4 min 05 s");
    }

    #[test]
    fn a_failed_step_names_the_command_to_repeat() {
        let error = Step::cargo("nonsense", &["no-such-command"]).run().unwrap_err().to_string();
        assert!(error.contains("nonsense failed"), "{error}");
        assert!(error.ends_with("cargo no-such-command"), "{error}");
    }
}
