//! How a run ends when it does not end well.

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Mutex;
use steep::Error;

const USERS_FAULT: u8 = 1;
/// `EX_SOFTWARE` of sysexits.h.
const OUR_FAULT: u8 = 70;
/// 128 and the number of SIGINT, as a shell would say it.
pub(crate) const STOPPED: u8 = 130;

/// Where the last panic happened and what it said. The hook cannot hand it on in any other way.
static LAST_PANIC: Mutex<Option<String>> = Mutex::new(None);

/// Panics are noted instead of printed: the library turns those of foreign code into errors, and [`guarded`] reports the
/// others.
pub(crate) fn keep_panics_quiet() {
    std::panic::set_hook(Box::new(|panic| {
        if let Ok(mut last) = LAST_PANIC.lock() {
            *last = Some(panic.to_string());
        }
    }));
}

/// Runs the program and turns its end into an exit code, with a message on the standard error if need be.
pub(crate) fn guarded(program: impl FnOnce() -> anyhow::Result<()>) -> ExitCode {
    let (message, code) = match catch_unwind(AssertUnwindSafe(program)) {
        Ok(Ok(())) => return ExitCode::SUCCESS,
        Ok(Err(error)) => described(&error),
        Err(_) => (internal_error(), OUR_FAULT),
    };
    // Nothing can be done where the standard error is closed.
    let _ = std::io::stderr().write_all(message.as_bytes());
    ExitCode::from(code)
}

fn described(error: &anyhow::Error) -> (String, u8) {
    let known = error.chain().find_map(|cause| cause.downcast_ref::<Error>());
    if matches!(known, Some(Error::Cancelled)) {
        let message = "stopped; what is done is kept: the same command goes on where this one ended\n";
        return (message.to_owned(), STOPPED);
    }
    if matches!(known, Some(Error::Internal { .. })) {
        return (internal_error(), OUR_FAULT);
    }
    let mut lines = vec![format!("error: {error}")];
    lines.extend(error.chain().skip(1).map(|cause| format!("  because: {cause}")));
    lines.extend(
        known.and_then(Error::hint).or_else(|| usual_hint(error)).map(|hint| format!("hint: {hint}")),
    );
    (lines.join("\n") + "\n", USERS_FAULT)
}

/// What helps where the operating system refused.
fn usual_hint(error: &anyhow::Error) -> Option<&'static str> {
    let refusal = error.chain().find_map(|cause| cause.downcast_ref::<std::io::Error>())?;
    match refusal.kind() {
        std::io::ErrorKind::NotFound => Some("check the path"),
        std::io::ErrorKind::PermissionDenied => Some("check the permissions, or choose another place"),
        std::io::ErrorKind::StorageFull => Some("free some space and run the same command again"),
        _ => None,
    }
}

fn internal_error() -> String {
    let panic = LAST_PANIC.lock().ok().and_then(|mut last| last.take());
    let panic = panic.unwrap_or_else(|| "of unknown cause".to_owned());
    format!(
        "error: internal error: {panic}\n\
         hint: this is a fault of steep {}; please report it with the command and, if you can, the data\n",
        env!("CARGO_PKG_VERSION")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn causes_and_hint_follow_the_message() {
        let refusal = std::io::Error::from(std::io::ErrorKind::NotFound);
        let result: Result<(), Error> = Err(Error::io("read", "a.toml")(refusal));
        let (message, code) = described(&result.context("cannot begin").unwrap_err());
        assert_eq!(code, USERS_FAULT);
        assert_eq!(
            message,
            "error: cannot begin\n  because: cannot read a.toml\n  because: entity not found\nhint: check the path\n"
        );
    }

    #[test]
    fn a_panic_beside_the_main_thread_is_our_fault() {
        let (message, code) = described(&Error::Internal { problem: "odd".into() }.into());
        assert_eq!(code, OUR_FAULT);
        assert!(message.contains("please report it"), "{message}");
    }

    #[test]
    fn a_stop_is_no_error() {
        let (message, code) = described(&Error::Cancelled.into());
        assert_eq!(code, STOPPED);
        assert!(!message.contains("error"), "{message}");
    }
}
