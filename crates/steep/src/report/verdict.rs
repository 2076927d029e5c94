//! The verdict in words: what the comparisons show, and nothing beyond.

use super::format::{count, duration, extra_duration, plural, probability_sentence};
use super::metric;
use super::results::{Certainty, Comparison, Outcome, Results, Verdict};
use super::route::{RouteResult, ScoredBy, Status};
use std::fmt::Write;

/// A question people ask, and the pair of routes that answers it.
struct Question {
    route: &'static str,
    over: &'static str,
    words: &'static str,
}

const QUESTIONS: [Question; 14] = [
    Question { route: "frozen", over: "tfidf", words: "The encoder as it is, instead of counting words" },
    Question {
        route: "adapted",
        over: "frozen",
        words: "Adapting to the unlabelled texts, without fine-tuning",
    },
    Question { route: "finetuned", over: "frozen", words: "Fine-tuning, without adapting" },
    Question { route: "adapted+finetuned", over: "finetuned", words: "Adapting before fine-tuning" },
    Question { route: "adapted+finetuned", over: "adapted", words: "Fine-tuning after adapting" },
    Question { route: "finetuned+adapted", over: "finetuned", words: "Adapting after fine-tuning" },
    Question { route: "frozen", over: "zeroshot", words: "Your labels, instead of the names of the classes" },
    Question { route: "vocab+adapted", over: "adapted", words: "New tokens before adapting" },
    Question { route: "vocab+adapted+finetuned", over: "adapted+finetuned", words: "New tokens before both" },
    Question { route: "contrastive", over: "frozen", words: "Training the vectors on the labels" },
    Question {
        route: "finetuned",
        over: "contrastive",
        words: "Plain fine-tuning, instead of training the vectors",
    },
    Question {
        route: "joint",
        over: "finetuned",
        words: "One network over text and columns, instead of fine-tuning on the text alone",
    },
    Question { route: "adapted+joint", over: "joint", words: "Adapting before that network" },
    Question {
        route: "joint",
        over: "stacked",
        words: "One network over text and columns, instead of stacking models of each",
    },
];

/// Draws the verdict from the routes and comparisons of `results`; its present verdict is not looked at.
///
/// The best route is the one with the best mean score. Recommended is the cheapest of those that a comparison found
/// practically equal to it, or the best itself. The recommendation is unsettled where a cheaper route could not be
/// told from the best, or where nothing was compared.
pub fn conclude(results: &Results) -> Verdict {
    let measured = Measured { results, routes: results.ranked() };
    let Some(best) = measured.routes.first().copied() else {
        return Verdict {
            headline: "No route was measured, so there is nothing to recommend.".to_owned(),
            sentences: measured.missing_routes(),
            ..Verdict::default()
        };
    };
    let recommended = measured.cheapest_equal(best);
    let doubts = measured.cheaper_undecided(recommended);
    let certainty = measured.certainty(best, recommended, &doubts);
    Verdict {
        best: Some(best.id.clone()),
        recommended: Some(recommended.id.clone()),
        certainty,
        headline: measured.headline(best, recommended, &doubts),
        sentences: measured.sentences(best, recommended),
    }
}

/// The results, with the measured routes from best to worst.
struct Measured<'a> {
    results: &'a Results,
    routes: Vec<&'a RouteResult>,
}

impl<'a> Measured<'a> {
    fn metric(&self) -> &str {
        &self.results.metric
    }

    /// The comparison of two results, whichever way round it was made.
    fn compared(&self, route: &RouteResult, over: &RouteResult) -> Option<Comparison> {
        self.results.comparisons.iter().find_map(|comparison| {
            if comparison.route == route.id && comparison.over == over.id {
                Some(comparison.clone())
            } else if comparison.route == over.id && comparison.over == route.id {
                Some(comparison.flipped())
            } else {
                None
            }
        })
    }

    fn cheapest_equal(&self, best: &'a RouteResult) -> &'a RouteResult {
        let equal = self.routes.iter().copied().filter(|route| {
            self.compared(best, route)
                .is_some_and(|comparison| comparison.verdict == Outcome::PracticallyEqual)
        });
        let cost = |route: &&RouteResult| route.seconds.total();
        equal.chain([best]).min_by(|a, b| cost(a).total_cmp(&cost(b))).unwrap_or(best)
    }

    /// Cheaper routes that the chosen one was compared with and not found better than.
    fn cheaper_undecided(&self, chosen: &RouteResult) -> Vec<(&'a RouteResult, Comparison)> {
        let cheaper =
            self.routes.iter().copied().filter(|route| route.seconds.total() < chosen.seconds.total());
        cheaper
            .filter_map(|route| Some((route, self.compared(chosen, route)?)))
            .filter(|(_, comparison)| comparison.verdict != Outcome::Better)
            .collect()
    }

    fn certainty(
        &self,
        best: &RouteResult,
        chosen: &RouteResult,
        doubts: &[(&RouteResult, Comparison)],
    ) -> Certainty {
        let is_equal = best.id != chosen.id;
        let was_compared = self.routes.iter().any(|route| self.compared(chosen, route).is_some());
        if doubts.is_empty() && (is_equal || was_compared) {
            Certainty::Settled
        } else {
            Certainty::Unsettled
        }
    }

    fn scored(&self, route: &RouteResult) -> String {
        match route.measured(self.metric()) {
            Some(score) => {
                let interval = metric::interval(self.metric(), score.low, score.high);
                format!("{} {interval}", metric::value(self.metric(), score.mean)).trim_end().to_owned()
            }
            None => "–".to_owned(),
        }
    }

    fn headline(
        &self,
        best: &RouteResult,
        chosen: &RouteResult,
        doubts: &[(&RouteResult, Comparison)],
    ) -> String {
        let (id, top) = (&chosen.id, self.is_at_the_top());
        if let [only] = self.routes.as_slice() {
            return format!(
                "`{}` is the only route that was measured; there is nothing to compare it with.",
                only.id
            );
        }
        if best.id != chosen.id {
            let (less, more) = (duration(chosen.seconds.total()), duration(best.seconds.total()));
            return format!(
                "Use `{id}`: it is practically equal to `{}`, which {top}, and takes {less} instead of {more}.",
                best.id
            );
        }
        if let Some((rival, comparison)) = doubts.iter().max_by(|a, b| rank(a.0, b.0, self.metric())) {
            return format!(
                "`{id}` {top}, but this data cannot tell it from `{}`, which takes {} less.",
                rival.id,
                duration(comparison.extra_seconds)
            );
        }
        let beaten = self.beaten_by(chosen);
        if chosen.scored_by == ScoredBy::Baseline {
            return format!(
                "No encoder scored above `{id}`, a baseline that costs {}.",
                duration(chosen.seconds.total())
            );
        }
        if beaten.is_empty() {
            return format!("`{id}` {top}, but it was not compared with a cheaper route.");
        }
        let which = match beaten.as_slice() {
            [one] => format!("`{}`, the cheaper route it was compared with", one.id),
            [_, _] => "both cheaper routes it was compared with".to_owned(),
            _ => format!("each of the {} cheaper routes it was compared with", beaten.len()),
        };
        format!("Use `{id}`: it {top} and is better than {which}.")
    }

    fn is_at_the_top(&self) -> String {
        let end = if metric::is_lower_better(self.metric()) { "lowest" } else { "highest" };
        format!("has the {end} {}", metric::label(self.metric()))
    }

    fn beaten_by(&self, chosen: &RouteResult) -> Vec<&'a RouteResult> {
        let cheaper =
            self.routes.iter().copied().filter(|route| route.seconds.total() < chosen.seconds.total());
        cheaper
            .filter(|route| {
                self.compared(chosen, route).is_some_and(|found| found.verdict == Outcome::Better)
            })
            .collect()
    }

    fn sentences(&self, best: &RouteResult, chosen: &RouteResult) -> Vec<String> {
        let mut sentences = vec![self.score_sentence(best, chosen)];
        sentences.extend(self.baseline_sentence(chosen));
        sentences.extend(QUESTIONS.iter().filter_map(|question| self.answer(question)));
        let new_tokens = self.routes.iter().find_map(|route| route.vocabulary);
        sentences.extend(new_tokens.map(|change| format!("{}.", change.words())));
        sentences.extend(self.features());
        sentences.extend(self.labels_or_text());
        sentences.extend(self.order());
        sentences.extend(self.what_undecided_means());
        sentences.extend(self.missing_routes());
        if self.results.seeds.len() == 1 {
            sentences.push(
                "Each route ran with one seed only: the intervals leave out what another seed would change."
                    .to_owned(),
            );
        }
        sentences
    }

    /// "On 556 test rows, `a` scored 0.946 accuracy [0.925, 0.964]; `b` 0.921 [0.9, 0.94]."
    fn score_sentence(&self, best: &RouteResult, chosen: &RouteResult) -> String {
        let metric = self.metric();
        let rows = plural(self.results.data.rows.test, "test row");
        let seeds = match self.results.seeds.len() {
            0 | 1 => String::new(),
            several => format!(" and {several} seeds"),
        };
        let mut text = match best.measured(metric) {
            Some(score) => format!(
                "On {rows}{seeds}, `{}` scored {} {} {}",
                best.id,
                metric::value(metric, score.mean),
                metric::label(metric),
                metric::interval(metric, score.low, score.high)
            ),
            None => return format!("{rows}."),
        };
        let mut named = vec![&best.id];
        let landmarks = [Some(chosen), self.named("frozen"), self.named("tfidf")];
        for route in landmarks.into_iter().flatten().filter(|route| route.id != best.id) {
            if !named.contains(&&route.id) {
                let _ = write!(text, "; `{}` {}", route.id, self.scored(route));
                named.push(&route.id);
            }
        }
        format!("{}.", text.trim_end())
    }

    /// "Columns beside the text, for `adapted`: +1.20 points …: better.", for the route over an encoder that scored best
    /// with any features.
    fn features(&self) -> Vec<String> {
        let has_variants = |route: &RouteResult| {
            let others = self.routes.iter().filter(|other| other.name == route.name);
            route.features.starts_with("text")
                && others.filter(|other| !other.features.is_empty()).count() > 1
        };
        let Some(best) = self.routes.iter().copied().find(|route| has_variants(route)) else {
            return Vec::new();
        };
        let of = |features: &str| {
            self.routes.iter().copied().find(|route| route.name == best.name && route.features == features)
        };
        let words = [
            ("text+engineered", "text", "Columns engineered from the text"),
            ("text+columns", "text", "Your columns beside the text"),
            ("text+engineered+columns", "text", "Both kinds of columns beside the text"),
        ];
        let told = words.iter().filter_map(|(with, without, words)| {
            let found = self.compared(of(with)?, of(without)?)?;
            Some(format!("{words}, for `{}`: {}", best.name, self.figures(&found)))
        });
        let mut told: Vec<String> = told.collect();
        let text_over_table =
            of("text+columns").and_then(|with| self.compared(with, self.named("table_only")?));
        told.extend(
            text_over_table.map(|found| format!("The text beside your columns: {}", self.figures(&found))),
        );
        told
    }

    fn named(&self, name: &str) -> Option<&'a RouteResult> {
        self.routes.iter().copied().find(|route| route.name == name)
    }

    /// Whether the choice beats the best baseline, which is what people forget to ask.
    fn baseline_sentence(&self, chosen: &RouteResult) -> Option<String> {
        let baseline = self.routes.iter().copied().find(|route| route.scored_by == ScoredBy::Baseline)?;
        if baseline.id == chosen.id || (chosen.name == "frozen" && baseline.name == "tfidf") {
            return None;
        }
        let comparison = self.compared(chosen, baseline)?;
        Some(format!(
            "`{}` over the best baseline, `{}`: {}",
            chosen.id,
            baseline.id,
            self.figures(&comparison)
        ))
    }

    /// "Adapting before fine-tuning: +0.52 points [0.21, 0.83], P = .93, +11 min: better."
    fn answer(&self, question: &Question) -> Option<String> {
        let answers = self.answers(question.route, question.over);
        let (first, by) = answers.first()?;
        let mut text = format!("{}: {}", question.words, self.figures(first));
        if let Some((other, other_by)) = answers.iter().find(|(other, _)| other.verdict != first.verdict) {
            text.pop();
            let words = [(by, ""), (other_by, other.verdict.words())].map(|(route, verdict)| {
                let scorer =
                    if route.scored_by == ScoredBy::OwnHead { "their own heads" } else { "the classifier" };
                format!("{verdict} by {scorer}")
            });
            text.push_str(&words.join(", "));
            text.push('.');
        }
        Some(text)
    }

    /// The comparisons between two routes by name, like with like first, the better scored first.
    fn answers(&self, route: &str, over: &str) -> Vec<(Comparison, &'a RouteResult)> {
        let mut found = Vec::new();
        // Variants with columns have an answer of their own.
        let is_plain = |candidate: &&RouteResult| candidate.label() == candidate.name;
        let plain: Vec<&'a RouteResult> = self.routes.iter().copied().filter(is_plain).collect();
        for first in plain.iter().copied().filter(|candidate| candidate.name == route) {
            for second in plain.iter().copied().filter(|candidate| candidate.name == over) {
                if let Some(comparison) = self.compared(first, second) {
                    found.push((first.scored_by != second.scored_by, comparison, first));
                }
            }
        }
        // Stable: among equals the order of the ranking remains.
        found.sort_by_key(|(is_mixed, ..)| *is_mixed);
        let has_like = found.first().is_some_and(|(is_mixed, ..)| !is_mixed);
        found
            .into_iter()
            .filter(|(is_mixed, ..)| !(has_like && *is_mixed))
            .map(|(_, found, by)| (found, by))
            .collect()
    }

    /// "+0.52 points [0.21, 0.83], P = .93, +11 min: better."
    fn figures(&self, comparison: &Comparison) -> String {
        let metric = self.metric();
        let cost = match comparison.extra_seconds {
            seconds if seconds.is_finite() && seconds.abs() >= 0.5 => {
                format!(", {}", extra_duration(seconds))
            }
            _ => String::new(),
        };
        let interval = metric::difference_interval(metric, comparison.low, comparison.high);
        format!(
            "{}{} {interval}, {}{cost}: {}.",
            metric::difference(metric, comparison.difference),
            metric::difference_unit(metric),
            probability_sentence(comparison.probability_better),
            comparison.verdict.words()
        )
    }

    fn improvement(&self, comparison: &Comparison) -> (f64, f64, f64) {
        if metric::is_lower_better(self.metric()) {
            (-comparison.high, -comparison.difference, -comparison.low)
        } else {
            (comparison.low, comparison.difference, comparison.high)
        }
    }

    /// Which mattered more: fine-tuning on labels, or adapting to unlabelled texts; each over `frozen`.
    fn labels_or_text(&self) -> Option<String> {
        let (labels, by) = self.answers("finetuned", "frozen").into_iter().next()?;
        let (texts, _) = self
            .answers("adapted", "frozen")
            .into_iter()
            .find(|(_, texts_by)| texts_by.scored_by == by.scored_by || by.scored_by == ScoredBy::OwnHead)?;
        let (labels_range, texts_range) = (self.improvement(&labels), self.improvement(&texts));
        let helped = |comparison: &Comparison| comparison.verdict == Outcome::Better;
        let figures = format!(
            "over `frozen`, fine-tuning changed the score by {}{unit}, adapting by {}{unit}",
            metric::difference(self.metric(), labels.difference),
            metric::difference(self.metric(), texts.difference),
            unit = metric::difference_unit(self.metric())
        );
        Some(if labels_range.0 > texts_range.2 && helped(&labels) {
            format!("The labels mattered more than the unlabelled texts: {figures}.")
        } else if texts_range.0 > labels_range.2 && helped(&texts) {
            format!("The unlabelled texts mattered more than the labels: {figures}.")
        } else if !helped(&labels) && !helped(&texts) {
            format!(
                "Neither the labels nor the unlabelled texts were shown to improve the encoder: {figures}."
            )
        } else {
            format!(
                "Whether labels or unlabelled texts mattered more is undecided: {figures}, and the intervals overlap."
            )
        })
    }

    fn order(&self) -> Option<String> {
        let (comparison, _) = self.answers("adapted+finetuned", "finetuned+adapted").into_iter().next()?;
        let figures = self.figures(&comparison);
        let figures = figures.rsplit_once(": ").map_or(figures.as_str(), |(figures, _)| figures);
        Some(match comparison.verdict {
            Outcome::Better => {
                format!(
                    "The order mattered: adapting first, then fine-tuning, is better than the reverse ({figures})."
                )
            }
            Outcome::Worse => format!(
                "The order mattered: fine-tuning first, then adapting, is better ({figures} for adapting first)."
            ),
            Outcome::PracticallyEqual => format!(
                "The order of adapting and fine-tuning made no practical difference ({figures} for adapting first)."
            ),
            Outcome::Undecided => format!(
                "Whether the order of adapting and fine-tuning matters is undecided ({figures} for adapting first)."
            ),
        })
    }

    /// Says what "undecided" means on this test set, if anything is.
    fn what_undecided_means(&self) -> Option<String> {
        let undecided =
            self.results.comparisons.iter().filter(|found| found.verdict == Outcome::Undecided).count();
        if undecided == 0 {
            return None;
        }
        let some = match undecided {
            1 => "One comparison is undecided".to_owned(),
            several => format!("{} comparisons are undecided", count(several as u64)),
        };
        let meaning = "neither a difference nor its absence was shown";
        Some(match self.results.detectable_difference.filter(|difference| difference.is_finite()) {
            Some(smallest) => format!(
                "{some}: {meaning}. A test set of this size shows differences of {}{} or more four times out of five; smaller ones need more test rows.",
                metric::unsigned_difference(self.metric(), smallest),
                metric::difference_unit(self.metric())
            ),
            None => format!("{some}: {meaning}."),
        })
    }

    fn missing_routes(&self) -> Vec<String> {
        // Routes that are left out for the same reason are told together.
        let mut left_out: Vec<(&str, Vec<String>)> = Vec::new();
        for route in &self.results.routes {
            if let Status::Skipped { reason } = &route.status {
                let name = format!("`{}`", route.id);
                match left_out.iter_mut().find(|(other, _)| other == reason) {
                    Some((_, names)) => names.push(name),
                    None => left_out.push((reason, vec![name])),
                }
            }
        }
        let told = left_out.into_iter().map(|(reason, names)| {
            let were = if names.len() > 1 { "were" } else { "was" };
            format!("{} {were} left out: {}.", names.join(", "), reason.trim_end_matches('.'))
        });
        let missing = self.results.routes.iter().filter_map(|route| match &route.status {
            Status::Done => (route.measured(self.metric()).is_none()).then(|| {
                format!("`{}` has no {}, so it is not ranked.", route.id, metric::label(self.metric()))
            }),
            Status::Failed { reason } => {
                Some(format!("`{}` failed and is not ranked: {}.", route.id, reason.trim_end_matches('.')))
            }
            Status::Skipped { .. } => None,
        });
        missing.chain(told).collect()
    }
}

/// Greater is better; among equal scores the cheaper is better.
fn rank(a: &RouteResult, b: &RouteResult, metric: &str) -> std::cmp::Ordering {
    let mean = |route: &RouteResult| route.measured(metric).map_or(f64::NAN, |score| score.mean);
    let by_score = if metric::is_lower_better(metric) {
        mean(b).total_cmp(&mean(a))
    } else {
        mean(a).total_cmp(&mean(b))
    };
    by_score.then_with(|| b.seconds.total().total_cmp(&a.seconds.total()))
}

impl Results {
    /// The measured routes, the best mean score in the main metric first; among equals the cheaper first.
    pub fn ranked(&self) -> Vec<&RouteResult> {
        let mut routes: Vec<_> =
            self.routes.iter().filter(|route| route.measured(&self.metric).is_some()).collect();
        routes.sort_by(|a, b| rank(b, a, &self.metric));
        routes
    }
}

#[cfg(test)]
#[path = "verdict_tests.rs"]
mod tests;
