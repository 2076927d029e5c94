//! Does the program do what its commands promise? One file a kind of claim, one binary for all of them.

mod columns;
mod commands;
mod comparison;
mod evaluation;
mod families;
mod generation;
mod messages;
mod near_texts;
mod new_tokens;
mod planning;
mod schema;
mod tuning;
mod vocabulary;
mod workplace;
