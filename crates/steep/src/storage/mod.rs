//! How does anything reach the disk so that a kill leaves no half file?
//!
//! - A single file: [`atomic_file`] or [`write_json`]. It is written as a hidden sibling, flushed, fsynced,
//!   renamed into place, and the folder is fsynced.
//! - A folder of files, an *artefact*: [`ArtefactWriter`]. It is written as a hidden sibling too; a
//!   `manifest.json` with sizes and digests goes in last; then the folder is renamed into place.
//!   [`Artefact::open`] sees complete artefacts only.
//!
//! Replacing an artefact moves the old one aside, the new one in, and removes the old one. A process killed
//! in between leaves the old one aside, and the next reader or writer of the folder puts it back.
//! What dead processes left behind is removed by the next writer of the same target. Whether a process is
//! dead is told by an advisory lock and not by its number, since numbers are used again.
//!
//! Artefact folders are never changed in place, so they may be memory-mapped. Nothing here writes the time
//! or the host into a file: the same content gives the same bytes.

mod artefact;
mod atomic;
mod digest;
mod faults;
mod json;
mod operations;
#[cfg(test)]
mod sweep;
mod temporary;
mod writer;

pub use artefact::{Artefact, FileRecord, MANIFEST, Manifest};
pub use atomic::atomic_file;
pub use digest::digest_file;
pub use json::{read_json, write_json};
pub use operations::{StoredFile, sync_directory};
pub use writer::{ArtefactWriter, remove_artefact};
