//! The sections to look things up in: mistakes, classes, data, settings; ready for the template.

use super::format::{bytes, columns_of, count, millions, plural, shorten};
use super::heat::{Cell, MOST_TABLE_CLASSES, Matrix, Pair};
use super::html::cut;
use super::markup::Markup;
use super::metric;
use super::results::Results;
use super::route::{ClassScore, RouteResult, ScoredBy};
use super::sections::{MOST_ROWS, Picture};
use super::strips::Layout;
use super::svg::colour_class;
use std::collections::BTreeMap;

/// Where the recommended route errs.
pub(super) struct Mistakes {
    pub(super) route: Markup,
    pub(super) table: Option<MistakeTable>,
    pub(super) map: Option<Picture>,
    pub(super) pairs: Vec<PairRow>,
}

/// The matrix as a table.
pub(super) struct MistakeTable {
    pub(super) classes: Vec<Markup>,
    pub(super) rows: Vec<(Markup, Vec<Cell>)>,
}

/// Two classes that are confused.
pub(super) struct PairRow {
    pub(super) truth: Markup,
    pub(super) prediction: Markup,
    pub(super) rows: String,
    pub(super) percent: u64,
}

impl Mistakes {
    /// The confusion matrix of the recommended route, or of the best that has one.
    pub(super) fn of(results: &Results) -> Option<Self> {
        let (route, matrix) = in_focus(results)
            .into_iter()
            .find_map(|route| Some((route, Matrix::of(route.confusion.as_ref()?)?)))?;
        let is_small = matrix.classes().len() <= MOST_TABLE_CLASSES;
        let maps = || Some(Picture { wide: matrix.map(Layout::Wide)?, narrow: matrix.map(Layout::Narrow)? });
        let most_pairs = if is_small { 5 } else { 15 };
        Some(Self {
            route: Markup::label(&route.id, 60),
            table: is_small.then(|| mistake_table(&matrix)),
            map: if is_small { None } else { maps() },
            pairs: matrix.pairs(most_pairs).iter().map(pair_row).collect(),
        })
    }
}

/// The recommended route, then all others from the best down.
pub(super) fn in_focus(results: &Results) -> Vec<&RouteResult> {
    let mut routes = results.ranked();
    routes.sort_by_key(|route| results.verdict.recommended.as_ref() != Some(&route.id));
    routes
}

fn mistake_table(matrix: &Matrix) -> MistakeTable {
    let classes: Vec<Markup> = matrix.classes().iter().map(|class| Markup::label(class, 18)).collect();
    MistakeTable { rows: classes.iter().cloned().zip(matrix.cells()).collect(), classes }
}

fn pair_row(pair: &Pair) -> PairRow {
    PairRow {
        truth: Markup::label(&pair.truth, 28),
        prediction: Markup::label(&pair.prediction, 28),
        rows: count(pair.rows),
        percent: pair.percent,
    }
}

/// The main metric of each fold.
pub(super) struct Folds {
    pub(super) metric: String,
    pub(super) names: Vec<String>,
    pub(super) rows: Vec<(Markup, Vec<String>)>,
}

impl Folds {
    /// None where there was one test part.
    pub(super) fn of(results: &Results) -> Option<Self> {
        let name = &results.metric;
        let folded: Vec<&RouteResult> =
            results.ranked().into_iter().filter(|route| !route.folds.is_empty()).take(MOST_ROWS).collect();
        let most = folded.iter().map(|route| route.folds.len()).max()?;
        let values =
            |route: &RouteResult| route.folds.iter().map(|score| metric::value(name, *score)).collect();
        Some(Self {
            metric: capitalised(&metric::label(name)),
            names: (1..=most).map(|fold| format!("fold {fold}")).collect(),
            rows: folded.iter().map(|route| (Markup::label(&route.id, 60), values(route))).collect(),
        })
    }
}

fn capitalised(words: &str) -> String {
    let mut letters = words.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// A row of the table of classes.
pub(super) struct ClassRow {
    pub(super) name: Markup,
    pub(super) train: String,
    pub(super) test: String,
    pub(super) f1: String,
    pub(super) percent: String,
    pub(super) precision: String,
    pub(super) recall: String,
    pub(super) reference: String,
    pub(super) change: String,
    pub(super) change_class: &'static str,
}

/// Scores by class.
pub(super) struct Classes {
    pub(super) route: Markup,
    pub(super) route_class: String,
    pub(super) reference: Option<Markup>,
    pub(super) rows: Vec<ClassRow>,
    pub(super) left_out: usize,
}

impl Classes {
    /// The classes of the recommended route beside the best baseline's, the most frequent first.
    pub(super) fn of(results: &Results) -> Option<Self> {
        let route = in_focus(results).into_iter().find(|route| !route.classes.is_empty())?;
        let reference = results.ranked().into_iter().find(|other| {
            other.scored_by == ScoredBy::Baseline && other.id != route.id && !other.classes.is_empty()
        });
        let by_name: BTreeMap<&str, &ClassScore> = reference
            .iter()
            .flat_map(|other| &other.classes)
            .map(|class| (class.name.as_str(), class))
            .collect();
        let train: BTreeMap<&str, u64> =
            results.data.classes.iter().map(|class| (class.name.as_str(), class.train)).collect();
        let mut classes: Vec<&ClassScore> = route.classes.iter().collect();
        classes.sort_by(|a, b| b.support.cmp(&a.support).then_with(|| a.name.cmp(&b.name)));
        let rows = classes.iter().take(MOST_ROWS).map(|class| {
            let name = class.name.as_str();
            class_row(class, train.get(name).copied(), by_name.get(name).map(|other| other.f1))
        });
        Some(Self {
            route: Markup::label(&route.id, 40),
            route_class: colour_class(&route.name, &results.routes),
            reference: reference.map(|other| Markup::label(&other.id, 28)),
            rows: rows.collect(),
            left_out: classes.len().saturating_sub(MOST_ROWS),
        })
    }
}

fn class_row(class: &ClassScore, train: Option<u64>, reference: Option<f64>) -> ClassRow {
    let share = |value: f64| metric::number(value, 2);
    let change = reference.map(|reference| class.f1 - reference).filter(|change| change.is_finite());
    let sign = |change: f64| if (change * 100.0).round() > 0.0 { "+" } else { "" };
    ClassRow {
        name: Markup::label(&class.name, 32),
        train: train.map_or("–".to_owned(), count),
        test: count(class.support),
        f1: share(class.f1),
        percent: format!("{:.0}", if class.f1.is_finite() { class.f1.clamp(0.0, 1.0) * 100.0 } else { 0.0 }),
        precision: share(class.precision),
        recall: share(class.recall),
        reference: reference.map_or_else(|| "–".to_owned(), share),
        change: change.map_or("–".to_owned(), |change| format!("{}{}", sign(change), share(change))),
        change_class: match change {
            Some(change) if change <= -0.005 => "down",
            Some(change) if change >= 0.005 => "up",
            _ => "",
        },
    }
}

/// A name and its value.
pub(super) struct Fact {
    pub(super) name: &'static str,
    pub(super) value: Markup,
}

fn fact(name: &'static str, value: &str) -> Fact {
    Fact { name, value: Markup::label(value, 200) }
}

/// Duplicates between two parts.
pub(super) struct DuplicateRow {
    pub(super) words: String,
    pub(super) removed: String,
    pub(super) examples: Vec<(Markup, Markup)>,
}

/// The data.
pub(super) struct Data {
    pub(super) facts: Vec<Fact>,
    pub(super) columns: Vec<Markup>,
    pub(super) duplicates: Vec<DuplicateRow>,
}

impl Data {
    /// What is known about the data.
    pub(super) fn of(results: &Results) -> Self {
        let data = &results.data;
        let rows = &data.rows;
        let mut facts = vec![
            fact("Labelled texts", &data.labelled.join(", ")),
            fact("Unlabelled texts", &data.unlabelled.join(", ")),
            Fact { name: "Split", value: Markup::sentence(&cut(&data.split)) },
            fact("Training rows", &count(rows.train)),
            fact("Validation rows", &count(rows.validation)),
            fact("Test rows", &count(rows.test)),
            fact("Unlabelled rows", &count(rows.unlabelled)),
            fact("Mean length", &format!("{} tokens", metric::number(data.mean_tokens, 1))),
            fact("Cut texts", &cut_texts(&data.truncation)),
        ];
        if let (Some(most), Some(least)) = (
            data.classes.iter().max_by_key(|class| class.train),
            data.classes.iter().min_by_key(|class| class.train),
        ) {
            let (most_name, least_name) = (shorten(&most.name, 30), shorten(&least.name, 30));
            let words =
                format!("from {} ({most_name}) to {} ({least_name})", count(most.train), count(least.train));
            facts.push(fact("Training rows a class", &words));
        }
        facts.retain(|fact| !fact.value.is_blank());
        let columns = data.columns.iter().take(200).map(|note| Markup::label(note, 200)).collect();
        Self { facts, columns, duplicates: data.duplicates.iter().take(40).map(duplicate_row).collect() }
    }
}

fn cut_texts(truncation: &super::facts::Truncation) -> String {
    if truncation.texts == 0 {
        return format!("none is longer than {} tokens", count(truncation.max_length));
    }
    let share = 100.0 * truncation.texts as f64 / truncation.of.max(1) as f64;
    let share = if share < 0.05 { "< 0.1".to_owned() } else { metric::number(share, 1) };
    let (cut, of, limit) = (count(truncation.texts), count(truncation.of), count(truncation.max_length));
    format!("{cut} of {of} ({share} %) cut to {limit} tokens")
}

fn duplicate_row(found: &super::facts::Duplicates) -> DuplicateRow {
    use super::facts::DuplicateKind;
    let kind = match found.kind {
        DuplicateKind::Exact => "Exact",
        DuplicateKind::Near => "Near",
    };
    let (kept, from) = (shorten(&found.kept_in, 30), shorten(&found.removed_from, 30));
    let words = if found.kept_in == found.removed_from {
        format!("{kind} duplicates within {from}")
    } else {
        format!("{kind} duplicates of {kept} rows, removed from {from}")
    };
    let text = |text: &str| Markup::label(text, if columns_of(text) > 160 { 150 } else { 160 });
    let examples = found.examples.iter().take(8).map(|pair| (text(&pair.kept), text(&pair.removed)));
    DuplicateRow { words, removed: plural(found.removed, "row"), examples: examples.collect() }
}

/// What is needed to repeat it.
pub(super) struct Settings {
    pub(super) facts: Vec<Fact>,
    pub(super) versions: Vec<(Markup, Markup)>,
    pub(super) inputs: Vec<(Markup, String, Markup)>,
    pub(super) configuration: String,
}

impl Settings {
    /// Model, machine, seeds, versions, hashes and the configuration.
    pub(super) fn of(results: &Results) -> Self {
        let (model, machine, manifest) = (&results.model, &results.machine, &results.manifest);
        let shape = format!(
            "{}, {} weights, {} layers of {}",
            model.model_type,
            millions(model.parameters),
            count(model.layers),
            count(model.hidden_size)
        );
        let seeds: Vec<String> = results.seeds.iter().take(50).map(u64::to_string).collect();
        let facts = vec![
            fact("Encoder", &model.name),
            fact("Architecture", &shape),
            fact("Processor", &machine.cpu),
            fact("Threads", &count(machine.threads)),
            fact("System", &machine.os),
            fact("Seeds", &seeds.join(", ")),
        ];
        let pair =
            |(name, version): (&String, &String)| (Markup::label(name, 40), Markup::label(version, 60));
        let input = |input: &super::facts::InputDigest| {
            (Markup::label(&input.name, 60), bytes(input.bytes), Markup::label(&input.blake3, 64))
        };
        Self {
            facts,
            versions: manifest.versions.iter().take(100).map(pair).collect(),
            inputs: manifest.inputs.iter().take(100).map(input).collect(),
            configuration: manifest.configuration.chars().take(60_000).collect(),
        }
    }
}
