//! The style sheet of the page, as far as it is about pictures, written into a picture's own elements: a program that
//! draws SVG need know neither style sheets nor variables.
//!
//! It reads what our own style sheet and our own SVG writer make, and no more: selectors of elements, classes and
//! descendants; rules that ask for anything else are about other things than pictures.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::LazyLock;

const STYLE: &str = include_str!("../../../templates/report/style.css");

/// What a file has and the page has not.
const OF_FILES: &str = ".paper { fill: var(--paper); } svg .plot-title { font: 600 17px var(--sans); }";

/// Properties that pictures use.
const KNOWN: [&str; 12] = [
    "fill",
    "stroke",
    "stroke-width",
    "stroke-dasharray",
    "stroke-linecap",
    "stroke-linejoin",
    "opacity",
    "text-anchor",
    "paint-order",
    "font-size",
    "font-weight",
    "font-family",
];

/// `tag.class.class`
#[derive(Debug, Clone, PartialEq)]
struct Compound {
    tag: Option<String>,
    classes: Vec<String>,
}

impl Compound {
    /// None where it asks for something that pictures do not have.
    fn parse(text: &str) -> Option<Self> {
        if text.contains([':', '>', '+', '~', '[', '*', '#']) {
            return None;
        }
        let mut parts = text.split('.');
        let tag = parts.next().filter(|tag| !tag.is_empty()).map(str::to_owned);
        Some(Self { tag, classes: parts.map(str::to_owned).collect() })
    }

    fn matches(&self, element: &Element) -> bool {
        self.tag.as_ref().is_none_or(|tag| *tag == element.tag)
            && self.classes.iter().all(|class| element.classes.contains(class))
    }
}

/// Declarations of one selector.
struct Rule {
    /// From the outermost to the element itself.
    chain: Vec<Compound>,
    declarations: Vec<(String, String)>,
}

impl Rule {
    /// More classes win over fewer, then more elements.
    fn weight(&self) -> (usize, usize) {
        let classes = self.chain.iter().map(|compound| compound.classes.len()).sum();
        (classes, self.chain.iter().filter(|compound| compound.tag.is_some()).count())
    }

    /// `path` is from the outermost element to the one in question.
    fn matches(&self, path: &[Element]) -> bool {
        let (Some((element, around)), Some((last, before))) = (path.split_last(), self.chain.split_last())
        else {
            return false;
        };
        let mut wanted = before.iter().rev().peekable();
        for ancestor in around.iter().rev() {
            wanted.next_if(|compound| compound.matches(ancestor));
        }
        last.matches(element) && wanted.peek().is_none()
    }
}

struct Sheet {
    variables: BTreeMap<String, String>,
    rules: Vec<Rule>,
}

static SHEET: LazyLock<Sheet> = LazyLock::new(|| Sheet::parse(&format!("{STYLE}{OF_FILES}")));

impl Sheet {
    /// Rules within media queries are left out: a file has the light colours.
    fn parse(css: &str) -> Self {
        let mut sheet = Self { variables: BTreeMap::new(), rules: Vec::new() };
        let css = without_comments(css);
        let mut rest = css.as_str();
        while let Some((prelude, after)) = rest.split_once('{') {
            let end = end_of_block(after);
            let block = &after[..end];
            rest = after.get(end + 1..).unwrap_or_default();
            match prelude.trim() {
                ":root" => sheet.variables.extend(declarations(block)),
                prelude if prelude.starts_with('@') => {}
                prelude => sheet.push(prelude, block),
            }
        }
        sheet
    }

    fn push(&mut self, prelude: &str, block: &str) {
        for selector in prelude.split(',') {
            let chain: Option<Vec<Compound>> = selector.split_whitespace().map(Compound::parse).collect();
            if let Some(chain) = chain.filter(|chain| !chain.is_empty()) {
                self.rules.push(Rule { chain, declarations: declarations(block) });
            }
        }
    }

    /// The declarations for the last element of a path, the strongest last.
    fn declarations(&self, path: &[Element]) -> Vec<(&str, &str)> {
        let mut matching: Vec<&Rule> = self.rules.iter().filter(|rule| rule.matches(path)).collect();
        // Stable: of equals the later one wins.
        matching.sort_by_key(|rule| rule.weight());
        let all = matching.into_iter().flat_map(|rule| &rule.declarations);
        all.map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }
}

fn without_comments(css: &str) -> String {
    let mut text = String::with_capacity(css.len());
    let mut rest = css;
    while let Some((before, after)) = rest.split_once("/*") {
        text.push_str(before);
        rest = after.split_once("*/").map_or("", |(_, after)| after);
    }
    text + rest
}

/// Where the block ends that is open at the beginning.
fn end_of_block(text: &str) -> usize {
    let mut depth = 1;
    for (at, letter) in text.char_indices() {
        depth += match letter {
            '{' => 1,
            '}' => -1,
            _ => 0,
        };
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

fn declarations(block: &str) -> Vec<(String, String)> {
    let pairs = block.split(';').filter_map(|declaration| declaration.split_once(':'));
    pairs.map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned())).collect()
}

/// An element on the way from the outermost to the one in question.
#[derive(Debug, Clone)]
struct Element {
    tag: String,
    classes: Vec<String>,
    /// The variables in its scope.
    variables: BTreeMap<String, String>,
}

/// The picture with the styles of its elements in their own attributes; `around` are classes of what the page has around it.
pub(super) fn inlined(svg: &str, around: &[&str]) -> String {
    let outside = around.iter().map(|class| Element {
        tag: "div".to_owned(),
        classes: vec![(*class).to_owned()],
        variables: SHEET.variables.clone(),
    });
    let mut path: Vec<Element> = outside.collect();
    let mut out = String::with_capacity(svg.len() * 2);
    let mut rest = svg;
    while let Some((text, after)) = rest.split_once('<') {
        out.push_str(text);
        let Some((inside, after)) = after.split_once('>') else { break };
        rest = after;
        if inside.starts_with('/') {
            path.pop();
            let _ = write!(out, "<{inside}>");
            continue;
        }
        let (inside, is_empty) = inside.strip_suffix('/').map_or((inside, false), |inside| (inside, true));
        let (tag, attributes) = inside.split_once(' ').unwrap_or((inside, ""));
        let (class, kept) = without_class(attributes);
        let classes = class.split_whitespace().map(str::to_owned).collect();
        let variables = path.last().map_or_else(|| SHEET.variables.clone(), |last| last.variables.clone());
        path.push(Element { tag: tag.to_owned(), classes, variables });
        let style = style(&mut path);
        let style = if style.is_empty() { style } else { format!(" style=\"{style}\"") };
        let _ = write!(out, "<{tag}{kept}{style}{}>", if is_empty { "/" } else { "" });
        if is_empty {
            path.pop();
        }
    }
    out + rest
}

/// The class, and the attributes without it, each after a space.
fn without_class(attributes: &str) -> (&str, String) {
    let mut class = "";
    let mut kept = String::new();
    let mut rest = attributes.trim();
    while let Some((name, after)) = rest.split_once("=\"") {
        let Some((value, after)) = after.split_once('"') else { break };
        rest = after.trim_start();
        if name == "class" {
            class = value;
        } else {
            let _ = write!(kept, " {name}=\"{value}\"");
        }
    }
    (class, kept)
}

/// The style of the last element; its variables become those of its scope.
fn style(path: &mut [Element]) -> String {
    let found = SHEET.declarations(path);
    let Some(element) = path.last_mut() else { return String::new() };
    let outer = element.variables.clone();
    for (name, value) in found.iter().filter(|(name, _)| name.starts_with("--")) {
        element.variables.insert((*name).to_owned(), resolved(value, &outer));
    }
    let mut properties: BTreeMap<&str, String> = BTreeMap::new();
    for (name, value) in found {
        let value = resolved(value, &element.variables);
        if name == "font" {
            properties.extend(font(&value));
        } else if let Some(name) = KNOWN.into_iter().find(|known| *known == name) {
            properties.insert(name, value);
        }
    }
    properties
        .iter()
        .map(|(name, value)| format!("{name}:{}", value.replace('"', "'")))
        .collect::<Vec<_>>()
        .join(";")
}

/// `font: 600 12.5px family`, as its properties.
fn font(value: &str) -> Vec<(&'static str, String)> {
    let mut properties = Vec::new();
    let mut rest = value;
    while let Some((word, after)) = rest.split_once(' ') {
        if word.ends_with("px") {
            properties.push(("font-size", word.to_owned()));
            properties.push(("font-family", after.to_owned()));
            break;
        }
        properties.push(("font-weight", word.to_owned()));
        rest = after;
    }
    properties
}

/// A value with `var(--name)` replaced, several times over.
fn resolved(value: &str, variables: &BTreeMap<String, String>) -> String {
    let mut text = value.to_owned();
    for _ in 0..8 {
        let Some((before, after)) = text.split_once("var(") else { break };
        let Some((name, after)) = after.split_once(')') else { break };
        let name = name.split(',').next().unwrap_or_default().trim();
        let found = variables.get(name).map_or("none", String::as_str);
        text = format!("{before}{found}{after}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(name: &str) -> &'static str {
        &SHEET.variables[name]
    }

    #[test]
    fn the_colour_of_a_group_reaches_its_marks() {
        let svg =
            inlined("<svg class=\"wide\"><g class=\"c4\"><rect class=\"mark\" x=\"1\"/></g></svg>", &[]);
        let expected = format!("fill:{};stroke:{};stroke-width:1.5", root("--c4"), root("--paper"));
        assert!(svg.contains(&format!("<rect x=\"1\" style=\"{expected}\"/>")), "{svg}");
        assert!(!svg.contains("class"));
    }

    #[test]
    fn inner_groups_and_later_rules_win() {
        let svg = inlined(
            "<svg><g class=\"c1\"><g class=\"forgetting\"><path class=\"curve\" d=\"M0 0\"/></g></g></svg>",
            &[],
        );
        assert!(svg.contains(&format!("stroke:{}", root("--c4"))), "{svg}");
        assert!(svg.contains("stroke-dasharray:6 4"), "{svg}");
    }

    #[test]
    fn more_classes_win_over_elements_and_what_is_around_counts() {
        let text = "<svg><g class=\"k1\"><text class=\"label\">a</text></g></svg>";
        let (plain, on_a_map) = (inlined(text, &[]), inlined(text, &["maps"]));
        assert!(plain.contains(&format!("fill:{}", root("--ink"))), "{plain}");
        assert!(on_a_map.contains(&format!("fill:{}", root("--c5"))), "{on_a_map}");
        assert!(on_a_map.contains("font-size:12.5px;font-weight:600"), "{on_a_map}");
    }

    #[test]
    fn the_sheet_is_read_without_its_media_queries() {
        assert_eq!(root("--paper"), "#fbfaf7");
        assert!(SHEET.rules.len() > 100);
        let sheet = Sheet::parse("a { b: c; } /* d { e: f } */ @media x { a { b: d; } } a > b, g { h: i }");
        let told: Vec<_> = sheet.rules.iter().flat_map(|rule| rule.declarations.clone()).collect();
        assert_eq!(told, [("b".into(), "c".into()), ("h".into(), "i".into())]);
    }
}
