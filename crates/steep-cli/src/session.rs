//! What every command works with.

use crate::arguments::{Asked, Globals};
use crate::terminal::{Terminal, Verbosity};
use anyhow::Context as _;
use std::io::Write;
use std::path::{Path, PathBuf};
use steep::config::{self, Ignored, Request};
use steep::model_source::{self, HubOptions};
use steep::progress::{Cancel, Context, Progress};
use steep::stages::ModelFolder;

/// Flags of every command, progress, and the wish to stop.
pub(crate) struct Session {
    globals: Globals,
    progress: Terminal,
    pub(crate) cancel: Cancel,
}

impl Session {
    pub(crate) fn begin(globals: Globals) -> anyhow::Result<Self> {
        if let Some(threads) = globals.threads {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(usize::from(threads));
            pool.build_global().context("cannot start the threads")?;
        }
        let verbosity = if globals.quiet { Verbosity::Quiet } else { Verbosity::Usual };
        Ok(Self { globals, progress: Terminal::new(verbosity), cancel: Cancel::default() })
    }

    /// What the library's long functions are given.
    pub(crate) fn context(&self) -> Context<'_> {
        Context { progress: &self.progress, cancel: &self.cancel }
    }

    /// What was asked: the flags, and the file behind them.
    pub(crate) fn request<R: Request>(&self, asked: Asked<R>) -> anyhow::Result<R> {
        for note in asked.ignored.iter().copied().map(Ignored::note) {
            self.note(&note);
        }
        let Some(path) = &self.globals.config else { return Ok(asked.request) };
        let (file, notes) = config::read_request::<R>(path)?;
        for note in notes {
            self.note(&note);
        }
        Ok(asked.request.or(file))
    }

    /// Opens a model folder, fetched from the hub first if need be.
    pub(crate) fn model(&self, name: &str, revision: Option<&String>) -> anyhow::Result<ModelFolder> {
        Ok(ModelFolder::open(&self.model_path(name, revision)?)?)
    }

    /// The local folder of a model.
    pub(crate) fn model_path(&self, name: &str, revision: Option<&String>) -> anyhow::Result<PathBuf> {
        let mut options = HubOptions::from_environment()?;
        options.revision = revision.cloned();
        options.offline |= self.globals.offline;
        Ok(model_source::resolve(name, &options, &self.context())?)
    }

    /// Where tokenised texts are kept.
    pub(crate) fn cache(&self, output: &Path) -> PathBuf {
        match &self.globals.cache_dir {
            Some(folder) => folder.clone(),
            None => output.parent().unwrap_or_else(|| Path::new("")).join(".steep-cache"),
        }
    }

    /// Whether only the plan is wanted.
    pub(crate) fn is_dry_run(&self) -> bool {
        self.globals.dry_run
    }

    /// A line worth keeping, on the standard error.
    pub(crate) fn note(&self, line: &str) {
        self.progress.line(line);
    }

    /// A result, on the standard output.
    pub(crate) fn say(&self, lines: &[String]) -> anyhow::Result<()> {
        self.progress.clear();
        let mut output = std::io::stdout().lock();
        let written = writeln!(output, "{}", lines.join("\n")).and_then(|()| output.flush());
        match written {
            // Whoever closed the pipe has read enough.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            other => other.context("cannot write to the standard output"),
        }
    }

    /// Shows what a dry run shows: the completed request and what is expected of it.
    pub(crate) fn say_plan<R: Request>(&self, request: &R, lines: &[String]) -> anyhow::Result<()> {
        let mut plan = vec![format!("# steep {}: nothing is done in a dry run", R::COMMAND)];
        plan.push(config::to_toml(request).trim_end().to_owned());
        plan.extend(lines.iter().map(|line| format!("# {line}")));
        self.say(&plan)
    }
}
