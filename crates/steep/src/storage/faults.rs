//! Where a test makes the k-th file operation fail. Outside tests it does nothing.

use std::io;
use std::path::Path;

/// Is told of every operation before it happens, and may refuse it.
#[cfg(not(test))]
#[inline]
#[expect(clippy::unnecessary_wraps, reason = "the test version refuses")]
pub(super) fn step(_operation: &'static str, _path: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
pub(super) fn step(operation: &'static str, path: &Path) -> io::Result<()> {
    tests::step(operation, path)
}

#[cfg(test)]
pub(super) mod tests {
    use std::cell::RefCell;
    use std::io;
    use std::path::{Path, PathBuf};

    /// Which operations of this thread fail.
    #[derive(Debug, Clone, Copy)]
    pub(crate) enum FaultPlan {
        /// None: the operations are only recorded.
        None,
        /// Only the k-th, counted from zero: a passing error.
        At(usize),
        /// The k-th and all after it: a full or broken disk.
        From(usize),
    }

    /// What happened while a plan was in force.
    #[derive(Debug, Default)]
    pub(crate) struct Record {
        pub(crate) operations: Vec<(&'static str, PathBuf)>,
        pub(crate) refused: usize,
    }

    thread_local! {
        static ACTIVE: RefCell<Option<(FaultPlan, Record)>> = const { RefCell::new(None) };
    }

    pub(super) fn step(operation: &'static str, path: &Path) -> io::Result<()> {
        ACTIVE.with_borrow_mut(|active| {
            let Some((plan, record)) = active else { return Ok(()) };
            let index = record.operations.len();
            record.operations.push((operation, path.to_path_buf()));
            let refuse = match *plan {
                FaultPlan::None => false,
                FaultPlan::At(k) => index == k,
                FaultPlan::From(k) => index >= k,
            };
            if refuse {
                record.refused += 1;
                return Err(io::Error::from(io::ErrorKind::StorageFull));
            }
            Ok(())
        })
    }

    /// Runs `work` under the plan and returns what it returned and what happened.
    pub(crate) fn under<T>(plan: FaultPlan, work: impl FnOnce() -> T) -> (T, Record) {
        ACTIVE.set(Some((plan, Record::default())));
        let result = work();
        let (_, record) = ACTIVE.take().expect("the plan was set above");
        (result, record)
    }
}
