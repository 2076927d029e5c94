//! Which checks must every change pass?

use crate::step::{Step, clock, has_cargo_command};
use anyhow::{Result, bail};
use std::time::Instant;

/// Runs every check and stops at the first that fails.
pub(crate) fn ci() -> Result<()> {
    require_cargo_commands(&["nextest", "deny"])?;
    let start = Instant::now();
    let mut times = Vec::new();
    for step in steps(nextest_profile()) {
        times.push(format!("{} {}", step.name(), clock(step.run()?)));
    }
    println!("\nAll {} checks passed in {}: {}", times.len(), clock(start.elapsed()), times.join(", "));
    Ok(())
}

/// Asks the RustSec database about the dependencies. It is not part of [`ci`]: its answer changes without a change
/// here, and it needs the network.
pub(crate) fn advisories() -> Result<()> {
    require_cargo_commands(&["deny"])?;
    Step::cargo("advisories", &["deny", "check", "advisories"]).run()?;
    Ok(())
}

/// The kernels' tests with every access to memory checked by AddressSanitizer. The compiler comes with it; that it may be
/// used with a stable one has to be said.
pub(crate) fn sanitize() -> Result<()> {
    require_cargo_commands(&["nextest"])?;
    let arguments = [
        "nextest",
        "run",
        "--package=steep-kernels",
        "--cargo-profile=release",
        "--target=x86_64-unknown-linux-gnu",
        "--target-dir=target/sanitize",
    ];
    Step::cargo("address sanitizer", &arguments)
        .with_environment("RUSTC_BOOTSTRAP", "1")
        .with_environment("RUSTFLAGS", "-Zsanitizer=address")
        .run()?;
    Ok(())
}

/// The kernels' tests compiled for 64-bit Arm and run by an emulator: on such processors all loops are the baseline, which
/// there is NEON. Wants `rustup target add aarch64-unknown-linux-gnu` and Debian's packages qemu-user, gcc-aarch64-linux-gnu.
pub(crate) fn emulate() -> Result<()> {
    let arguments = [
        "test",
        "--package=steep-kernels",
        "--lib",
        "--locked",
        "--target=aarch64-unknown-linux-gnu",
        "--target-dir=target/emulate",
    ];
    Step::cargo("64-bit Arm, emulated", &arguments)
        .with_environment("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", "aarch64-linux-gnu-gcc")
        .with_environment(
            "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER",
            "qemu-aarch64 -L /usr/aarch64-linux-gnu",
        )
        .run()?;
    Ok(())
}

/// The checks, quick ones first. They share their builds: clippy and the docs check, tests and doc tests compile.
fn steps(nextest_profile: &str) -> [Step; 6] {
    [
        Step::cargo("formatting", &["fmt", "--all", "--check"]),
        Step::cargo("dependencies", &["deny", "--workspace", "check", "bans", "licenses", "sources"]),
        Step::cargo("lints", &["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]),
        Step::cargo("tests", &["nextest", "run", "--workspace", "--locked", "--profile", nextest_profile]),
        Step::cargo("doc tests", &["test", "--workspace", "--locked", "--doc", "--quiet"]),
        // The libraries only: the program `steep` would write over the pages of the library of that name.
        Step::cargo("docs", &["doc", "--workspace", "--locked", "--no-deps", "--lib"])
            .with_environment("RUSTDOCFLAGS", "-D warnings"),
    ]
}

/// `ci` where continuous integration says so, which keeps its log short.
fn nextest_profile() -> &'static str {
    if std::env::var_os("CI").is_some() { "ci" } else { "default" }
}

fn require_cargo_commands(names: &[&str]) -> Result<()> {
    let missing: Vec<&str> = names.iter().copied().filter(|name| !has_cargo_command(name)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let install: Vec<String> = missing.iter().map(|name| format!("  {}", install_command(name))).collect();
    bail!("cargo-{} is not installed; install with:\n{}", missing.join(" and cargo-"), install.join("\n"))
}

/// cargo-deny is installed unoptimised: it compiles in a minute instead of several, and checks in seconds either way.
fn install_command(name: &str) -> String {
    let debug = if name == "deny" { " --debug" } else { "" };
    format!("cargo install --locked{debug} cargo-{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_command_is_named_with_its_cure() {
        let error = require_cargo_commands(&["fmt", "no-such-command"]).unwrap_err().to_string();
        assert!(error.contains("cargo-no-such-command is not installed"), "{error}");
        assert!(error.contains("cargo install --locked cargo-no-such-command"), "{error}");
        assert!(!error.contains("cargo-fmt"), "{error}");
    }

    #[test]
    fn tests_run_before_docs_and_after_formatting() {
        let names: Vec<&str> = steps("default").iter().map(Step::name).collect();
        assert_eq!(names, ["formatting", "dependencies", "lints", "tests", "doc tests", "docs"]);
    }
}
