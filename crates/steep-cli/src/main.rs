//! The program `steep`: arguments, progress, messages, exit codes. Everything else is the library.
//!
//! Results go to the standard output, everything else to the standard error. Exit codes: 0 done, 1 the input has a
//! fault, 2 the command line has one, 70 steep has one, 130 stopped on request.

mod allocator;
mod arguments;
mod commands;
mod corpus;
mod failure;
mod figures;
mod interrupt;
mod labelled;
mod session;
mod terminal;

use arguments::Cli;
use clap::Parser;
use session::Session;
use std::process::ExitCode;

fn main() -> ExitCode {
    allocator::keep_freed_memory();
    failure::keep_panics_quiet();
    let Cli { globals, command } = Cli::parse();
    failure::guarded(|| {
        let session = Session::begin(globals)?;
        interrupt::listen(&session)?;
        commands::run(command, &session)
    })
}
