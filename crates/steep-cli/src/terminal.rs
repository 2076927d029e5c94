//! Progress on the standard error: bars on a terminal, only the lines worth keeping elsewhere.

use crate::figures::count;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use std::io::{IsTerminal, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use steep::progress::Progress;

/// What is shown while work goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verbosity {
    /// Bars and lines.
    Usual,
    /// Nothing.
    Quiet,
}

/// Shows progress on the standard error.
pub(crate) struct Terminal {
    bars: MultiProgress,
    verbosity: Verbosity,
    has_bars: bool,
    /// The tasks under way, the innermost last.
    tasks: Mutex<Vec<ProgressBar>>,
}

impl Terminal {
    pub(crate) fn new(verbosity: Verbosity) -> Self {
        let has_bars = verbosity == Verbosity::Usual && std::io::stderr().is_terminal();
        let target = if has_bars { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        Self { bars: MultiProgress::with_draw_target(target), verbosity, has_bars, tasks: Mutex::default() }
    }

    /// Takes all bars away, so that nothing is drawn over what follows.
    pub(crate) fn clear(&self) {
        for bar in self.tasks().drain(..) {
            bar.finish_and_clear();
        }
    }

    fn tasks(&self) -> MutexGuard<'_, Vec<ProgressBar>> {
        // A panic elsewhere leaves the list whole.
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn on_innermost(&self, act: impl FnOnce(&ProgressBar)) {
        if let Some(bar) = self.tasks().last() {
            act(bar);
        }
    }
}

fn style(has_total: bool, unit: &str) -> ProgressStyle {
    let template = if has_total {
        format!(
            "{{prefix:12}} {{bar:24}} {{human_pos}}/{{human_len}} {unit}  {{rate}}  {{eta}} left  {{wide_msg}}"
        )
    } else {
        format!("{{prefix:12}} {{spinner}} {{human_pos}} {unit}  {{rate}}  {{elapsed}}  {{wide_msg}}")
    };
    let style = if has_total { ProgressStyle::default_bar() } else { ProgressStyle::default_spinner() };
    let style = style.template(&template).unwrap_or_else(|_| ProgressStyle::default_bar());
    style.with_key("rate", |state: &ProgressState, out: &mut dyn std::fmt::Write| {
        // A rate that cannot be shown is left out.
        let _ = out.write_str(&rate(state.per_sec()));
    })
}

/// So many a second, with three figures at the most where that is possible.
fn rate(per_second: f64) -> String {
    match per_second {
        ..10.0 => format!("{per_second:.2}/s"),
        ..100.0 => format!("{per_second:.1}/s"),
        _ => format!("{}/s", count(per_second as u64)),
    }
}

impl Progress for Terminal {
    fn start(&self, task: &str, total: Option<u64>, unit: &'static str) {
        let bar = match total {
            Some(total) => ProgressBar::new(total),
            None => ProgressBar::no_length(),
        };
        let bar = self.bars.add(bar.with_prefix(task.to_owned()));
        bar.set_style(style(total.is_some(), unit));
        bar.enable_steady_tick(Duration::from_millis(200));
        self.tasks().push(bar);
    }

    fn advance(&self, amount: u64) {
        self.on_innermost(|bar| bar.inc(amount));
    }

    fn note(&self, note: &str) {
        self.on_innermost(|bar| bar.set_message(note.to_owned()));
    }

    fn finish(&self) {
        if let Some(bar) = self.tasks().pop() {
            bar.finish_and_clear();
        }
    }

    fn line(&self, line: &str) {
        if self.verbosity == Verbosity::Quiet {
            return;
        }
        // What cannot be shown is no reason to stop work.
        if self.has_bars {
            let _ = self.bars.println(line);
        } else {
            let _ = writeln!(std::io::stderr(), "{line}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_have_the_figures_that_matter() {
        assert_eq!([rate(0.528), rate(31.26), rate(12_345.6)], ["0.53/s", "31.3/s", "12,345/s"]);
    }

    #[test]
    fn templates_are_understood_and_tasks_nest() {
        for has_total in [true, false] {
            let _ = style(has_total, "rows");
        }
        let terminal = Terminal::new(Verbosity::Quiet);
        terminal.advance(1);
        terminal.start("outer", Some(10), "steps");
        terminal.start("inner", None, "rows");
        terminal.advance(3);
        assert_eq!(terminal.tasks().iter().map(ProgressBar::position).collect::<Vec<_>>(), [0, 3]);
        terminal.finish();
        terminal.advance(2);
        assert_eq!(terminal.tasks().len(), 1);
        terminal.finish();
        terminal.finish();
    }
}
