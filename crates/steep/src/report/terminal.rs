//! The table for the terminal.

use super::format::{columns_of, duration, one_line, shorten};
use super::metric;
use super::results::{Certainty, Results};
use super::route::{RouteResult, ScoredBy, Status};
use std::fmt::Write;

/// No line is wider than this.
const WIDTH: usize = 100;
const ROUTE_WIDTH: usize = 32;
const GAP: &str = "  ";

/// The results as a plain-text table, the best route first, at most 100 columns wide: route, what scored it, main
/// metric with its interval, macro-F1 where there is one, time. The recommended route is marked with `*`. The
/// verdict's headline follows. No escape sequences, and none from the user's texts.
pub fn table(results: &Results) -> String {
    let has_macro_f1 = results.metric != "macro_f1"
        && results.routes.iter().any(|route| route.measured("macro_f1").is_some());
    let mut rows = vec![header(results, has_macro_f1)];
    rows.extend(results.ranked().into_iter().map(|route| row(results, route, has_macro_f1)));
    let widths = column_widths(&rows);
    let mut text = String::new();
    for (position, row) in rows.iter().enumerate() {
        push_row(&mut text, row, &widths);
        if position == 0 {
            let rule = widths.iter().sum::<usize>() + GAP.len() * (widths.len() - 1);
            text.push_str(&"─".repeat(rule.min(WIDTH)));
            text.push('\n');
        }
    }
    push_unmeasured(&mut text, results);
    push_verdict(&mut text, results);
    text
}

fn header(results: &Results, has_macro_f1: bool) -> Vec<String> {
    let mut cells =
        vec!["  route".to_owned(), "scored by".to_owned(), shorten(&metric::label(&results.metric), 24)];
    if has_macro_f1 {
        cells.push("macro-F1".to_owned());
    }
    cells.push("time".to_owned());
    cells
}

fn row(results: &Results, route: &RouteResult, has_macro_f1: bool) -> Vec<String> {
    let is_recommended = results.verdict.recommended.as_ref() == Some(&route.id);
    let mark = if is_recommended { "* " } else { "  " };
    let scored_by = match route.scored_by {
        ScoredBy::Classifier => "classifier",
        ScoredBy::OwnHead => "own head",
        ScoredBy::Baseline => "baseline",
        ScoredBy::Combined => "combination",
    };
    let mut cells = vec![format!("{mark}{}", shorten(route.label(), ROUTE_WIDTH)), scored_by.to_owned()];
    cells.push(score(route, &results.metric));
    if has_macro_f1 {
        cells.push(
            route
                .measured("macro_f1")
                .map_or_else(|| "–".to_owned(), |score| metric::value("macro_f1", score.mean)),
        );
    }
    cells.push(duration(route.seconds.total()));
    cells
}

fn score(route: &RouteResult, name: &str) -> String {
    let Some(score) = route.measured(name) else { return "–".to_owned() };
    format!("{} {}", metric::value(name, score.mean), metric::interval(name, score.low, score.high))
        .trim_end()
        .to_owned()
}

fn column_widths(rows: &[Vec<String>]) -> Vec<usize> {
    let columns = rows.first().map_or(0, Vec::len);
    (0..columns).map(|column| rows.iter().map(|row| columns_of(&row[column])).max().unwrap_or(0)).collect()
}

/// Names to the left, the last column (time) to the right.
fn push_row(text: &mut String, row: &[String], widths: &[usize]) {
    let last = row.len() - 1;
    let mut line = String::new();
    for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
        let padding = " ".repeat(width - columns_of(cell));
        if column == last {
            line.push_str(&padding);
            line.push_str(cell);
        } else {
            line.push_str(cell);
            line.push_str(&padding);
            line.push_str(GAP);
        }
    }
    text.push_str(line.trim_end());
    text.push('\n');
}

fn push_unmeasured(text: &mut String, results: &Results) {
    for route in &results.routes {
        let told = match &route.status {
            Status::Done => continue,
            Status::Failed { reason } => format!("failed: {reason}"),
            Status::Skipped { reason } => format!("left out: {reason}"),
        };
        let name = shorten(&route.id, ROUTE_WIDTH);
        let _ = writeln!(text, "  {name}{GAP}{}", shorten(&told, WIDTH - 4 - columns_of(&name)));
    }
}

fn push_verdict(text: &mut String, results: &Results) {
    if results.verdict.headline.is_empty() {
        return;
    }
    text.push('\n');
    for line in wrap(&one_line(&results.verdict.headline.replace('`', "")), WIDTH) {
        text.push_str(&line);
        text.push('\n');
    }
    if let (Some(_), certainty) = (&results.verdict.recommended, results.verdict.certainty) {
        text.push_str(match certainty {
            Certainty::Settled => "* recommended\n",
            Certainty::Unsettled => "* recommended, but not settled by this data\n",
        });
    }
}

/// Lines of at most `width` columns, broken at spaces; a longer word is cut.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ').map(|word| shorten(word, width)) {
        let is_full = lines
            .last()
            .is_some_and(|line| !line.is_empty() && columns_of(line) + 1 + columns_of(&word) > width);
        if is_full {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(&word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn a_table_looks_like_this() {
        let expect = "\
\x20 route              scored by   accuracy              macro-F1     time
────────────────────────────────────────────────────────────────────────
* adapted+finetuned  classifier  0.970 [0.956, 0.984]  0.941       9 min
  adapted+finetuned  own head    0.968 [0.953, 0.983]  0.939       9 min
  finetuned          own head    0.966 [0.951, 0.981]  0.937       2 min
  finetuned          classifier  0.964 [0.948, 0.980]  0.935       3 min
  finetuned+adapted  classifier  0.958 [0.941, 0.975]  0.929       9 min
  adapted            classifier  0.956 [0.939, 0.973]  0.927       7 min
  frozen             classifier  0.951 [0.933, 0.969]  0.922        24 s
  tfidf              baseline    0.934 [0.913, 0.955]  0.906       3.2 s
  majority           baseline    0.230 [0.196, 0.264]  0.223     < 0.1 s

adapted+finetuned has the highest accuracy, but this data cannot tell it from finetuned, which takes
6 min less.
* recommended, but not settled by this data
";
        assert_eq!(table(&sample::small()), expect);
    }

    #[test]
    fn no_line_is_wider_than_a_hundred_columns_and_none_has_escapes() {
        for (name, results) in sample::all() {
            let text = table(&results);
            for line in text.lines() {
                assert!(columns_of(line) <= WIDTH, "{name}: {line}");
            }
            assert!(!text.chars().any(|character| character.is_control() && character != '\n'), "{name}");
        }
    }

    #[test]
    fn words_wrap_at_spaces() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap(&"x".repeat(30), 10), ["xxxxxxxxx…"]);
    }
}
