//! How is the repository itself checked and kept? `cargo xtask ci`, `advisories`, `sanitize`, `emulate`, `goldens`.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a developer's program, whose whole work is to run others and to tell how they went"
)]

mod ci;
mod goldens;
mod step;

use anyhow::{Result, bail};
use std::process::ExitCode;

const USAGE: &str = "\
Usage: cargo xtask COMMAND

Commands:
  ci                        formatting, dependencies, lints, tests, doc tests, docs; stops at the first failure
  advisories                asks the RustSec database about known faults in dependencies (needs the network)
  sanitize                  the tests of the kernels with every access to memory checked (x86-64 Linux)
  emulate                   the tests of the kernels on an emulated 64-bit Arm processor
  goldens [--python PATH] [NAME ...]
                            makes the reference numbers of goldens/NAME.py again, of all scripts by default,
                            in a Python environment under target/ or with the given interpreter";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<()> {
    let Some((command, rest)) = arguments.split_first() else { bail!("no command given\n\n{USAGE}") };
    match (command.as_str(), rest) {
        ("ci", []) => ci::ci(),
        ("advisories", []) => ci::advisories(),
        ("sanitize", []) => ci::sanitize(),
        ("emulate", []) => ci::emulate(),
        ("goldens", rest) => goldens::goldens(rest),
        ("help" | "--help" | "-h", _) => {
            println!("{USAGE}");
            Ok(())
        }
        ("ci" | "advisories" | "sanitize" | "emulate", rest) => {
            bail!("`{command}` takes no arguments, found `{}`", rest.join(" "))
        }
        _ => bail!("unknown command `{command}`\n\n{USAGE}"),
    }
}
