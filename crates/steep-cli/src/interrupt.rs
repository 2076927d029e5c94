//! Ctrl-C: the first asks for a stop at the next safe point, the second quits at once.

use crate::failure::STOPPED;
use crate::session::Session;
use std::io::Write;

/// Listens for the rest of the run. Artefacts are written beside and renamed, so quitting at once leaves none half done.
pub(crate) fn listen(session: &Session) -> anyhow::Result<()> {
    let cancel = session.cancel.clone();
    ctrlc::set_handler(move || {
        if cancel.is_cancelled() {
            std::process::exit(i32::from(STOPPED));
        }
        cancel.cancel();
        let message = b"\nstopping at the next safe point; press again to quit at once\n";
        let _ = std::io::stderr().write_all(message);
    })?;
    Ok(())
}
