//! How long work tells the caller where it is, and how the caller stops it.

use crate::error::{Error, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Receives the progress of long work. The library itself never prints.
pub trait Progress: Sync {
    /// A task begins: its name, the amount of work where known, and the unit (`rows`, `tokens`, `steps`).
    fn start(&self, task: &str, total: Option<u64>, unit: &'static str);
    /// Some work of the running task is done.
    fn advance(&self, amount: u64);
    /// A short figure to show beside the running task, such as the loss.
    fn note(&self, note: &str);
    /// The running task is over.
    fn finish(&self);
    /// A line worth keeping on the screen: a result, a warning.
    fn line(&self, line: &str);
}

/// Discards all progress.
#[derive(Debug, Default, Clone, Copy)]
pub struct Silent;

impl Progress for Silent {
    fn start(&self, _: &str, _: Option<u64>, _: &'static str) {}
    fn advance(&self, _: u64) {}
    fn note(&self, _: &str) {}
    fn finish(&self) {}
    fn line(&self, _: &str) {}
}

/// A flag by which the caller stops long work at its next safe point.
#[derive(Debug, Default, Clone)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Asks the work to stop.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether a stop was asked for.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// An error if a stop was asked for.
    pub fn check(&self) -> Result<()> {
        if self.is_cancelled() { Err(Error::Cancelled) } else { Ok(()) }
    }
}

/// What every long function is given besides its inputs.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// Where progress goes.
    pub progress: &'a dyn Progress,
    /// How the work is stopped.
    pub cancel: &'a Cancel,
}
