//! What was found, and how is it told? `results.json` for programs, one HTML file and a table for people.
//!
//! The flow is [`Results`] → [`conclude`] (the verdict in words, stored in the results) → [`html`] and [`table`].
//! Nothing here measures anything: every number shown is a field of [`Results`].

mod browser;
mod charts;
mod decided;
mod details;
mod facts;
mod findings;
mod format;
mod heat;
mod html;
mod learning;
mod map;
mod markup;
mod metric;
mod planning;
mod plots;
mod reliability;
mod results;
mod route;
mod rules;
mod scatter;
mod sections;
mod strips;
mod svg;
mod terminal;
mod texts;
mod verdict;
mod winner;

#[cfg(test)]
mod chromium_tests;
#[cfg(test)]
pub(crate) mod sample;
#[cfg(test)]
mod sample_hostile;
#[cfg(test)]
mod sample_planning;

pub use decided::decisions;
pub(crate) use decided::{budget_sentence, pilot_sentence};
pub use facts::{
    ClassCount, DataFacts, DuplicateKind, DuplicatePair, Duplicates, InputDigest, Machine, Manifest,
    ModelFacts, RowCounts, Truncation,
};
pub use findings::{
    Check, CheckKind, CheckedRow, EmbeddingMap, LabelCurve, LabelPoint, MapPoint, MistakenRow, MistakenRows,
};
pub(crate) use format::duration;
pub use html::html;
pub use planning::{LeftOut, Pilot, PilotOutcome, Plan, PlannedStage, RankedModel, Ranking, TextPoint};
pub use plots::{Fonts, Plot, plots, write_plots};
pub use results::{
    Certainty, Comparison, Curve, CurveKind, Disagreement, Outcome, Results, SCHEMA_VERSION, Task, Verdict,
};
pub use route::{
    Calibration, CalibrationBin, ClassScore, Confusion, LearnerTried, RouteResult, Score, ScoredBy,
    SliceScore, StageSeconds, Status, Threshold, VocabularyChange,
};
pub use rules::rules;
pub use terminal::table;
pub use verdict::conclude;
pub use winner::Winner;
