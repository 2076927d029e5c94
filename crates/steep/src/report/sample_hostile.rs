//! Made-up results in which every string attacks the page, the terminal or the layout.

use super::sample::{comparison, score, small};
use super::*;

/// Strings that attack the page, the terminal or the layout.
pub(crate) fn hostile_strings() -> Vec<String> {
    let mut strings: Vec<String> = [
        "<script>alert(1)</script>",
        "</script><script>alert(1)</script>",
        "\"><img src=x onerror=alert(1)>",
        "'><svg/onload=alert(1)>",
        "</title><script>alert(1)</script>",
        "</style><script>alert(1)</script>",
        "</svg><script>alert(1)</script>",
        "</desc></svg><iframe src=javascript:alert(1)>",
        "<!--",
        "-->",
        "]]>",
        "<![CDATA[<script>alert(1)</script>]]>",
        "javascript:alert(1)",
        "&lt;script&gt;",
        "&#60;script&#62;",
        "{{7*7}}",
        "{% include 'x' %}",
        "<math><mtext></style><img src onerror=alert(1)>",
        "<a href='//evil.example'>x</a>",
        "` onmouseover=alert(1) `",
        "\" style=\"position:fixed;inset:0\" x=\"",
        "<base href=//evil.example>",
        "<meta http-equiv=refresh content=0>",
        "<link rel=stylesheet href=//evil.example>",
        "</bdi></td></table>",
        "\u{202e}txt.exe\u{202c}",
        "مرحبا بالعالم",
        "שלום \u{202b}עולם",
        "\u{1b}[31mred\u{1b}[0m\u{7}",
        "nul\0byte",
        "line\nbreak\r\nand\ttab",
        "日本語のとても長いラベルの名前",
        "👩‍👩‍👧‍👦 family",
        "Z̷̢̛a̷l̷g̷o̷",
        "",
        "   ",
    ]
    .map(str::to_owned)
    .into();
    strings.push("long ".repeat(40_000));
    strings.push("W".repeat(300));
    strings.push("e\u{301}".repeat(2000));
    strings
}

/// The small results with every string replaced by a hostile one.
pub(crate) fn hostile() -> Results {
    let strings = hostile_strings();
    let pick = |index: usize| strings[index % strings.len()].clone();
    let mut results = small();
    (results.title, results.created, results.metric) = (pick(0), pick(3), "accuracy".into());
    let size = strings.len();
    results.data.classes =
        (0..size).map(|index| ClassCount { name: pick(index), train: 10, validation: 1, test: 2 }).collect();
    for (index, route) in results.routes.iter_mut().enumerate().skip(2) {
        (route.name, route.description) = (pick(index * 3), pick(index * 5 + 1));
        route.id = format!("{}{index}", route.name);
        route.scores.insert(pick(index + 4), score(0.5, 0.1, 2));
        route.classes = (0..size)
            .map(|class| ClassScore {
                name: pick(class),
                support: 2,
                precision: 0.5,
                recall: f64::INFINITY,
                f1: f64::NAN,
            })
            .collect();
        route.confusion =
            Some(Confusion { classes: (0..size).map(pick).collect(), counts: vec![vec![1; size]; size] });
    }
    for index in 0..size {
        results.warnings.push(pick(index));
        let mut route = RouteResult::new(&format!("{}{index}", pick(index)), ScoredBy::OwnHead, &pick(index));
        route.status = Status::Failed { reason: pick(index + 1) };
        results.routes.push(route);
        let pair = DuplicatePair { kept: pick(index), removed: pick(index + 1) };
        let (kept_in, removed_from) = (pick(index), pick(index + 1));
        let kind = DuplicateKind::Near;
        results.data.duplicates.push(Duplicates {
            kind,
            kept_in,
            removed_from,
            removed: 1,
            examples: vec![pair],
        });
        results.manifest.versions.insert(pick(index), pick(index + 1));
        results.manifest.inputs.push(InputDigest { name: pick(index), bytes: u64::MAX, blake3: pick(index) });
        let points = vec![(0, f64::NAN), (u64::MAX, f64::INFINITY), (5, -1e300)];
        results.curves.push(Curve { stage: pick(index), kind: CurveKind::TrainLoss, seed: None, points });
        results.comparisons.push(comparison(&pick(index), &pick(index + 1), f64::NAN, 1.0, f64::NAN));
    }
    // JSON has no infinity: such values would come back as NaN, and NaN is not equal to itself.
    make_finite(&mut results);
    results.data.labelled = strings.clone();
    results.data.split = pick(1);
    results.model.name = pick(4);
    results.machine.cpu = pick(5);
    results.manifest.configuration = strings.join("\n");
    results.verdict = conclude(&results);
    results
}

fn make_finite(results: &mut Results) {
    let classes = results.routes.iter_mut().flat_map(|route| route.classes.iter_mut());
    classes.for_each(|class| (class.recall, class.f1) = (2.5, -1.0));
    let points = results.curves.iter_mut().flat_map(|curve| curve.points.iter_mut());
    points.filter(|(_, value)| !value.is_finite()).for_each(|(_, value)| *value = 1e308);
    results.comparisons.retain(|found| found.difference.is_finite());
}
