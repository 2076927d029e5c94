//! The report: one HTML file that needs nothing else, neither network nor scripts.

use super::browser::{self, CheckView, Errors, PairFigures, Slices};
use super::decided::Decided;
use super::details::{Classes, Data, Folds, Mistakes, Settings};
use super::format::{one_line, shorten};
use super::markup::Markup;
use super::results::Results;
use super::sections::{Cost, Differences, Scores, VerdictView};
use super::{charts, format, learning, map, reliability, texts};
use crate::error::{Error, Result};
use askama::Template;

/// What the page's template shows. Strings are escaped by the template; [`Markup`] is escaped already.
#[derive(Template)]
#[template(path = "report/page.html", whitespace = "minimize")]
struct Page {
    title: String,
    heading: Markup,
    created: Markup,
    lead: Vec<String>,
    model: Markup,
    verdict: VerdictView,
    warnings: Vec<Markup>,
    checks: Vec<CheckView>,
    rules: Vec<Markup>,
    decided: Option<Decided>,
    scores: Scores,
    folds: Option<Folds>,
    differences: Option<Differences>,
    pairs: Vec<PairFigures>,
    cost: Option<Cost>,
    panels: Vec<charts::Panel>,
    reliability: Option<charts::Panel>,
    maps: Vec<charts::Panel>,
    mistakes: Option<Mistakes>,
    errors: Option<Errors>,
    slices: Option<Slices>,
    classes: Option<Classes>,
    data: Data,
    settings: Settings,
}

/// Renders the report as one self-contained HTML file. Everything from outside (labels, texts, names, reasons) is
/// escaped; the page's content security policy allows neither scripts nor any request.
pub fn html(results: &Results) -> Result<String> {
    let page = Page {
        title: shorten(&results.title, 120),
        heading: Markup::label(&results.title, 120),
        created: Markup::moment(&results.created),
        lead: lead(results),
        model: Markup::label(&results.model.name, 60),
        verdict: VerdictView::of(results),
        warnings: results.warnings.iter().map(|warning| Markup::sentence(&cut(warning))).collect(),
        checks: browser::checks(results),
        rules: results.rules.iter().take(20).map(|rule| Markup::sentence(&cut(rule))).collect(),
        decided: Decided::of(results),
        scores: Scores::of(results),
        folds: Folds::of(results),
        differences: Differences::of(results),
        pairs: browser::pairs(results),
        cost: Cost::of(results),
        panels: curves(results),
        reliability: reliability::panel(results),
        maps: map::panels(results),
        mistakes: Mistakes::of(results),
        errors: Errors::of(results),
        slices: Slices::of(results),
        classes: Classes::of(results),
        data: Data::of(results),
        settings: Settings::of(results),
    };
    page.render().map_err(|error| Error::data("report.html", format!("cannot be rendered: {error}"), ""))
}

/// Everything over labels, texts and steps.
pub(super) fn curves(results: &Results) -> Vec<charts::Panel> {
    let over_texts = texts::panels(results);
    learning::panel(results).into_iter().chain(over_texts).chain(charts::panels(results)).collect()
}

/// A sentence of bounded length: a reason may quote a megabyte of text.
pub(super) fn cut(sentence: &str) -> String {
    shorten(&one_line(&sentence.chars().take(2000).collect::<String>()), 1200)
}

fn lead(results: &Results) -> Vec<String> {
    let rows = &results.data.rows;
    let mut lead = vec![results.task.words().to_owned()];
    if !results.data.classes.is_empty() {
        lead.push(format!("{} classes", format::count(results.data.classes.len() as u64)));
    }
    lead.push(format!("{} labelled for training", format::count(rows.train)));
    lead.push(format!("{} for testing", format::count(rows.test)));
    lead.push(format!("{} unlabelled", format::count(rows.unlabelled)));
    lead.push(format::plural(results.seeds.len() as u64, "seed"));
    lead
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    /// A tag with its attributes, as a browser would read it.
    #[derive(Debug)]
    struct Tag {
        name: String,
        attributes: Vec<(String, String)>,
        is_closing: bool,
        is_self_closing: bool,
    }

    /// All tags of a page; fails where a tag is broken. The style sheet's content is passed over.
    fn tags(html: &str) -> Vec<Tag> {
        let mut tags = Vec::new();
        let mut rest = html;
        while let Some(start) = rest.find('<') {
            rest = &rest[start + 1..];
            let end = rest.find('>').expect("a tag is closed");
            let (inside, after) = (&rest[..end], &rest[end + 1..]);
            rest = after;
            if inside.starts_with('!') {
                assert_eq!(inside, "!DOCTYPE html");
                continue;
            }
            let tag = tag(inside);
            if tag.name == "style" && !tag.is_closing {
                rest = &rest[rest.find("</style>").expect("the style sheet ends")..];
            }
            tags.push(tag);
        }
        tags
    }

    fn tag(inside: &str) -> Tag {
        let is_closing = inside.starts_with('/');
        let is_self_closing = inside.ends_with('/');
        let inside = inside.trim_matches('/');
        let (name, mut rest) = inside.split_once(' ').unwrap_or((inside, ""));
        assert!(!name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric()), "<{inside}>");
        let mut attributes = Vec::new();
        rest = rest.trim();
        while !rest.is_empty() {
            let (key, after) =
                rest.split_once("=\"").unwrap_or_else(|| panic!("attribute without quotes: <{inside}>"));
            let (value, after) = after.split_once('"').expect("a closing quote");
            attributes.push((key.to_owned(), value.to_owned()));
            rest = after.trim_start();
        }
        Tag { name: name.to_owned(), attributes, is_closing, is_self_closing }
    }

    /// The names of elements that the page may hold; none can run, load or send anything.
    const ELEMENTS: &str = " html head meta title style body a header p span time h1 h2 h3 nav ul li main section aside \
        figure figcaption div table caption thead tbody tr th td var details summary strong dl dt dd pre code bdi footer i \
        svg desc g line rect path circle text tspan strong ";

    fn check(html: &str) {
        let mut open: Vec<String> = Vec::new();
        for tag in tags(html) {
            assert!(ELEMENTS.contains(&format!(" {} ", tag.name)), "unexpected element {tag:?}");
            for (key, value) in &tag.attributes {
                assert!(!key.starts_with("on") && key != "src", "{tag:?}");
                if key == "href" {
                    assert!(value.starts_with('#'), "{tag:?}");
                }
                if key == "style" {
                    let width = value.strip_prefix("width:").and_then(|value| value.strip_suffix('%'));
                    assert!(width.is_some_and(|width| width.parse::<u8>().is_ok()), "{tag:?}");
                }
                assert!(!value.contains("NaN") && !value.contains("inf"), "{tag:?}");
            }
            if tag.is_closing {
                assert_eq!(open.pop().as_ref(), Some(&tag.name), "closes what was opened last");
            } else if !tag.is_self_closing && tag.name != "meta" {
                open.push(tag.name);
            }
        }
        assert!(open.is_empty(), "left open: {open:?}");
    }

    #[test]
    fn every_page_is_well_formed_and_holds_nothing_that_runs_or_loads() {
        for (name, results) in sample::all() {
            let page = html(&results).unwrap();
            check(&page);
            assert!(page.contains("default-src 'none'; style-src 'unsafe-inline'; img-src data:"), "{name}");
            let lower = page.to_lowercase();
            assert!(
                !lower.contains("<script") && !lower.contains("@import") && !lower.contains("url("),
                "{name}"
            );
        }
    }

    #[test]
    fn a_page_names_no_address() {
        for results in [sample::small(), sample::large(), sample::regression(), sample::empty("nothing")] {
            let page = html(&results).unwrap().replace("http-equiv", "").replace("httpd", "");
            assert!(!page.contains("http") && !page.contains("//"), "an address is on the page");
        }
    }

    #[test]
    fn each_hostile_string_is_text_wherever_it_stands() {
        for string in sample::hostile_strings() {
            let mut results = sample::small();
            results.title.clone_from(&string);
            results.routes[3].name.clone_from(&string);
            results.routes[3].id.clone_from(&string);
            results.data.duplicates[0].examples[0].kept.clone_from(&string);
            results.data.classes[0].name.clone_from(&string);
            results.manifest.configuration.clone_from(&string);
            for route in &mut results.routes {
                route.classes[0].name.clone_from(&string);
                if let Some(confusion) = &mut route.confusion {
                    confusion.classes[1].clone_from(&string);
                }
            }
            results.curves[0].stage.clone_from(&string);
            results.maps[0].classes[0].clone_from(&string);
            results.maps[0].encoder.clone_from(&string);
            results.checks[0].sentence.clone_from(&string);
            results.checks[0].rows[0].text.clone_from(&string);
            results.label_curves[0].route.clone_from(&string);
            results.rules.push(string.clone());
            results.data.columns.push(string.clone());
            results.winner = Some(crate::report::Winner {
                folder: string.clone(),
                columns: vec![string.clone()],
                temperature: Some(1.5),
            });
            let mistakes = results.mistakes.as_mut().unwrap();
            mistakes.rows[0].text.clone_from(&string);
            mistakes.rows[0].truth.clone_from(&string);
            results.routes[3].slices[0].value.clone_from(&string);
            results.warnings.push(string);
            results.verdict = crate::report::conclude(&results);
            check(&html(&results).unwrap());
        }
    }

    #[test]
    fn pages_stay_small() {
        let size = |results: &Results| html(results).unwrap().len();
        assert!(size(&sample::large()) < 500_000, "58 classes take {} bytes", size(&sample::large()));
        assert!(size(&sample::small()) < 300_000, "5 classes take {} bytes", size(&sample::small()));
        assert!(
            size(&sample::hostile()) < 1_000_000,
            "hostile strings take {} bytes",
            size(&sample::hostile())
        );
    }

    #[test]
    fn the_checker_sees_what_is_wrong() {
        for broken in [
            "<p><b></p>",
            "<p>",
            "<p onclick=\"x\"></p>",
            "<a href=\"//x\"></a>",
            "<script></script>",
            "<p a=b></p>",
        ] {
            assert!(std::panic::catch_unwind(|| check(broken)).is_err(), "{broken}");
        }
        check("<p>x<bdi title=\"y\">z</bdi></p>");
    }

    #[test]
    fn the_verdict_stands_before_everything_else() {
        let page = html(&sample::large()).unwrap();
        let at = |text: &str| page.find(text).unwrap_or_else(|| panic!("no {text}"));
        assert!(
            at("id=\"verdict\"") < at("id=\"warnings-h\"") && at("id=\"warnings-h\"") < at("id=\"scores\"")
        );
        for section in [
            "differences",
            "cost",
            "curves",
            "probabilities",
            "map",
            "mistakes",
            "slices",
            "classes",
            "data",
            "settings",
        ] {
            assert!(at("id=\"scores\"") < at(&format!("id=\"{section}\"")), "{section}");
            assert!(page.contains(&format!("href=\"#{section}\"")), "{section}");
        }
    }

    #[test]
    fn the_same_results_give_the_same_bytes() {
        assert_eq!(html(&sample::large()).unwrap(), html(&sample::large()).unwrap());
    }
}
