//! Does the program do what its commands promise? One file a kind of claim, one binary for all of them.

mod commands;
mod messages;
mod workplace;
