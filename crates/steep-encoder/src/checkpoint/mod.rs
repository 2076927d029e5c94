//! How do weights on disk become parameters, and back?
//!
//! A folder is data: sizes are checked before anything is allocated, shard names may not leave the
//! folder, nothing is executed, and loading reports what it did not use.

pub(crate) mod file;
pub(crate) mod load;
pub mod report;
pub(crate) mod save;
