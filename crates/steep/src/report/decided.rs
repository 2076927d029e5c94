//! What was decided before the comparison, ready for the template: which encoder, and what the time is spent on.

use super::format::{bytes, count, duration, millions};
use super::html::cut;
use super::markup::Markup;
use super::metric;
use super::planning::{Pilot, PilotOutcome, Plan, RankedModel, Ranking};
use super::results::Results;
use super::sections::Picture;
use super::strips::{self, Axis, Strip};
use super::svg::Marker;

/// The section.
pub(super) struct Decided {
    pub(super) encoders: Option<Encoders>,
    pub(super) pilot: Option<Markup>,
    pub(super) budget: Option<Budget>,
}

impl Decided {
    /// None where one encoder was given, and time did not matter.
    pub(super) fn of(results: &Results) -> Option<Self> {
        let decided = Self {
            encoders: results.ranking.as_ref().map(Encoders::of),
            pilot: results.pilot.as_ref().map(|pilot| Markup::sentence(&cut(&pilot.sentence))),
            budget: results.plan.as_ref().map(Budget::of),
        };
        let is_empty = decided.encoders.is_none() && decided.pilot.is_none() && decided.budget.is_none();
        (!is_empty).then_some(decided)
    }
}

/// A candidate encoder.
pub(super) struct EncoderRow {
    pub(super) name: Markup,
    pub(super) is_kept: bool,
    pub(super) score: String,
    pub(super) interval: String,
    pub(super) difference: String,
    pub(super) speed: String,
    pub(super) parameters: String,
    pub(super) bytes: String,
}

/// The ranking of candidates.
pub(super) struct Encoders {
    pub(super) sentences: Vec<Markup>,
    pub(super) picture: Option<Picture>,
    pub(super) metric: String,
    pub(super) rows: Vec<EncoderRow>,
}

/// Candidates shown at most.
const MOST_ENCODERS: usize = 40;

impl Encoders {
    fn of(ranking: &Ranking) -> Self {
        let shown = || ranking.models.iter().take(MOST_ENCODERS);
        Self {
            sentences: sentences(ranking).iter().map(|text| Markup::sentence(&cut(text))).collect(),
            picture: picture(ranking),
            metric: metric::label(&ranking.metric),
            rows: shown().map(|model| encoder_row(ranking, model)).collect(),
        }
    }
}

/// The ranking in words: who came first, and who could not be told from it and is cheaper.
pub(super) fn sentences(ranking: &Ranking) -> Vec<String> {
    let Some(first) = ranking.models.first() else { return Vec::new() };
    let name = &ranking.metric;
    let kept = ranking.models.iter().filter(|model| model.is_kept).count();
    let with = if kept > 1 { format!("the best {kept}") } else { format!("`{}`", first.name) };
    let mut sentences = vec![format!(
        "{} encoders were ranked by their vectors, as they are, of {} training and {} validation rows; no test row was \
         looked at. `{}` came first with {} {} {}; the comparison was made with {with}.",
        count(ranking.models.len() as u64),
        count(ranking.train_rows),
        count(ranking.validation_rows),
        first.name,
        metric::label(name),
        metric::value(name, first.score),
        metric::interval(name, first.low, first.high)
    )];
    let is_open = |model: &&RankedModel| model.difference_low <= 0.0 && model.difference_high >= 0.0;
    let is_quicker = |model: &&RankedModel| model.tokens_per_second > 1.25 * first.tokens_per_second;
    let quicker = ranking.models[1..].iter().filter(|model| !model.is_kept).filter(is_open).find(is_quicker);
    sentences.extend(quicker.map(|model| {
        format!(
            "This sample cannot tell `{}` from it ({}{} {}), and it is {} times as quick.",
            model.name,
            metric::difference(name, model.difference),
            metric::difference_unit(name),
            metric::difference_interval(name, model.difference_low, model.difference_high),
            metric::number(model.tokens_per_second / first.tokens_per_second, 1)
        )
    }));
    sentences
}

fn encoder_row(ranking: &Ranking, model: &RankedModel) -> EncoderRow {
    let name = &ranking.metric;
    EncoderRow {
        name: Markup::label(&model.name, 48),
        is_kept: model.is_kept,
        score: metric::value(name, model.score),
        interval: metric::interval(name, model.low, model.high),
        difference: if model.difference == 0.0 {
            "–".to_owned()
        } else {
            format!(
                "{} {}",
                metric::difference(name, model.difference),
                metric::difference_interval(name, model.difference_low, model.difference_high)
            )
        },
        speed: count(model.tokens_per_second as u64),
        parameters: millions(model.parameters),
        bytes: bytes(model.bytes),
    }
}

fn picture(ranking: &Ranking) -> Option<Picture> {
    let name = &ranking.metric;
    let strip = |model: &RankedModel| Strip {
        name: model.name.clone(),
        aside: if model.is_kept { "compared".to_owned() } else { String::new() },
        class: if model.is_kept { "c2" } else { "c0" }.to_owned(),
        marker: Marker::Disc,
        low: model.low,
        mid: model.score,
        high: model.high,
        dots: Vec::new(),
        value: format!(
            "{} {}",
            metric::value(name, model.score),
            metric::interval(name, model.low, model.high)
        ),
        note: String::new(),
        tag: String::new(),
        is_chosen: model.is_kept,
    };
    let strips: Vec<Strip> = ranking.models.iter().take(MOST_ENCODERS).map(strip).collect();
    let ends: Vec<_> = strips.iter().map(|strip| (strip.low, strip.mid, strip.high)).collect();
    let domain = strips::spread(&ends)?;
    let better = if metric::is_lower_better(name) { "lower is better" } else { "higher is better" };
    let title = format!("{} on the validation rows of the sample; {better}", metric::label(name));
    let axis = Axis { domain, title, band: None, reference: None, factor: 1.0 };
    Some(Picture::of(|layout| strips::draw(layout, "Scores of the candidate encoders", &strips, &axis)))
}

/// What was decided before the comparison, a sentence each, for a terminal.
pub fn decisions(results: &Results) -> Vec<String> {
    let mut told = results.ranking.as_ref().map_or_else(Vec::new, sentences);
    told.extend(results.pilot.as_ref().map(|pilot| pilot.sentence.clone()));
    if let Some(plan) = &results.plan {
        told.push(budget_sentence(plan));
        told.extend(plan.left_out.iter().map(|left| format!("Left out: {}, since {}.", left.what, left.why)));
    }
    told
}

/// A kind of stage in the plan.
pub(super) struct StageRow {
    pub(super) stage: &'static str,
    pub(super) times: String,
    pub(super) seconds: String,
    pub(super) speed: String,
}

/// How the budget is spent.
pub(super) struct Budget {
    pub(super) sentence: Markup,
    pub(super) left_out: Vec<(Markup, Markup, String)>,
    pub(super) stages: Vec<StageRow>,
}

impl Budget {
    fn of(plan: &Plan) -> Self {
        let left_out = plan.left_out.iter().map(|left| {
            (Markup::sentence(&cut(&left.what)), Markup::sentence(&cut(&left.why)), duration(left.seconds))
        });
        let stages = plan.stages.iter().map(|stage| StageRow {
            stage: stage_words(&stage.stage),
            times: metric::number(stage.times, usize::from(stage.times.fract() != 0.0)),
            seconds: duration(stage.seconds),
            speed: stage.tokens_per_second.map_or_else(|| "–".to_owned(), |speed| count(speed as u64)),
        });
        Self {
            sentence: Markup::sentence(&cut(&budget_sentence(plan))),
            left_out: left_out.collect(),
            stages: stages.collect(),
        }
    }
}

/// The budget in words.
pub(crate) fn budget_sentence(plan: &Plan) -> String {
    let ranked = if plan.spent_seconds >= 0.5 {
        format!(", of which ranking the encoders took {}", duration(plan.spent_seconds))
    } else {
        String::new()
    };
    let fits = if plan.left_out.is_empty() {
        "so nothing is left out".to_owned()
    } else {
        format!("and takes {} without what is left out", duration(plan.planned_seconds))
    };
    let taken = plan
        .taken_seconds
        .map_or_else(String::new, |seconds| format!(" The stages took {}.", duration(seconds)));
    format!(
        "The budget was {}{ranked}. By measurements on this machine, everything that was asked for takes about {}, \
         {fits}.{taken}",
        duration(plan.budget_seconds),
        duration(plan.asked_seconds)
    )
}

/// What a pilot led to, in words.
pub(crate) fn pilot_sentence(pilot: &Pilot, name: &str) -> String {
    let unit = metric::difference_unit(name);
    let tried = format!(
        "Adapting to {} % of the texts, tried first ({} texts, {}): on {} labelled rows, each predicted by a learner that had \
         not seen it, {} went from {} to {}: {}{unit} {}",
        metric::number(100.0 * pilot.fraction, usize::from((100.0 * pilot.fraction).fract() > 1e-9)),
        count(pilot.texts),
        duration(pilot.seconds),
        count(pilot.rows),
        metric::label(name),
        metric::value(name, pilot.frozen),
        metric::value(name, pilot.adapted),
        metric::difference(name, pilot.difference),
        metric::difference_interval(name, pilot.low, pilot.high)
    );
    let error = metric::unsigned_difference(name, pilot.standard_error);
    match pilot.outcome {
        PilotOutcome::GoOn => {
            format!("{tried}, more than one standard error ({error}). So adapting went on.")
        }
        PilotOutcome::Stop => format!(
            "{tried}, not a gain of more than one standard error ({error}). So the routes that adapt were left out. Vectors as \
             they are were judged; what fine-tuning would have made of an adapted encoder was not."
        ),
    }
}

fn stage_words(stage: &str) -> &'static str {
    match stage {
        "adapt" => "adapting an encoder",
        "finetune" => "fine-tuning one",
        "embed" => "vectors of all labelled rows",
        "fit" => "choosing and fitting a learner",
        _ => "n-grams and their learner",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn the_ranking_names_the_first_and_a_quicker_one_that_cannot_be_told_from_it() {
        let ranking = sample::ranking();
        let told = sentences(&ranking);
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(
            told[0].contains("3 encoders") && told[0].contains("`models/bge-small` came first"),
            "{}",
            told[0]
        );
        assert!(told[1].contains("`models/minilm`") && told[1].contains("2.0 times as quick"), "{}", told[1]);
    }

    #[test]
    fn a_budget_says_what_was_asked_and_what_was_left() {
        let plan = sample::plan();
        let told = budget_sentence(&plan);
        assert!(told.contains("The budget was 2 h") && told.contains("about 5 h"), "{told}");
        let roomy = Plan { left_out: Vec::new(), ..plan };
        assert!(budget_sentence(&roomy).contains("nothing is left out"));
    }
}
