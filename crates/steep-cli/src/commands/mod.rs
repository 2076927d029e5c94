//! What does each command do? One file a command: resolve what was asked, run the stage, tell the result.

mod adapt;
mod classify;
mod compare;
mod evaluate;
mod extract;
mod finetune;
mod generate;
mod inspect;
mod merge;
mod predict;
mod search;
mod vocab;
mod zeroshot;

use crate::arguments::Command;
use crate::session::Session;

/// Runs a command.
pub(crate) fn run(command: Command, session: &Session) -> anyhow::Result<()> {
    match command {
        Command::Compare(asked) => compare::run(*asked, session),
        Command::Adapt(asked) => adapt::run(*asked, session),
        Command::Finetune(asked) => finetune::run(*asked, session),
        Command::Extract(asked) => extract::run(asked, session),
        Command::Classify(asked) => classify::run(*asked, session),
        Command::Predict(asked) => predict::run(asked, session),
        Command::Vocab(action) => vocab::run(action, session),
        Command::Search(asked) => search::run(asked, session),
        Command::Generate(asked) => generate::run(asked, session),
        Command::Evaluate(asked) => evaluate::run(*asked, session),
        Command::Zeroshot(asked) => zeroshot::run(asked, session),
        Command::Merge(asked) => merge::run(asked, session),
        Command::Inspect(arguments) => inspect::run(arguments, session),
    }
}
