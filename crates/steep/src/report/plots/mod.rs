//! The report's pictures as files: SVG that needs no style sheet, and PNG.

mod png;
mod style;

pub use png::Fonts;

use super::charts::Panel;
use super::decided::Decided;
use super::details::Mistakes;
use super::format::{one_line, shorten};
use super::html::curves;
use super::markup::{Markup, escape};
use super::results::Results;
use super::sections::{Cost, Differences, Picture, Scores};
use super::svg::{px, text_width};
use super::{map, reliability};
use crate::error::{Error, Result};
use crate::storage::ArtefactWriter;
use std::fmt::Write;
use std::path::Path;

/// A picture of the report.
#[derive(Debug, Clone)]
pub struct Plot {
    /// The file's name without its ending: lower-case letters, digits and dashes; unique in a report.
    pub name: String,
    /// A whole SVG file, with the colours of the light report.
    pub svg: String,
}

/// All pictures of a report, in its order.
pub fn plots(results: &Results) -> Vec<Plot> {
    let mut plots: Vec<Plot> = Vec::new();
    for drawn in pictures(results) {
        let mut name = slug(&drawn.name);
        let same = plots
            .iter()
            .filter(|plot| plot.name == name || plot.name.starts_with(&format!("{name}-")))
            .count();
        if plots.iter().any(|plot| plot.name == name) {
            name = format!("{name}-{}", same + 1);
        }
        if let Some(svg) = standalone(&drawn, &results.title) {
            plots.push(Plot { name, svg });
        }
    }
    plots
}

/// Writes every picture as SVG and, where the system has a font, as PNG into a folder, which is replaced as a whole.
/// Gives the number of pictures, and whether there are PNG files.
///
/// # Errors
/// The folder cannot be written.
pub fn write_plots(results: &Results, folder: &Path, fonts: Option<&Fonts>) -> Result<usize> {
    let plots = plots(results);
    let writer = ArtefactWriter::create(folder)?;
    for plot in &plots {
        let write = |ending: &str, bytes: &[u8]| {
            let path = writer.path().join(format!("{}.{ending}", plot.name));
            std::fs::write(&path, bytes).map_err(Error::io("write", &path))
        };
        write("svg", plot.svg.as_bytes())?;
        if let Some(fonts) = fonts {
            write("png", &fonts.png(&plot.svg)?)?;
        }
    }
    let names: Vec<&str> = plots.iter().map(|plot| plot.name.as_str()).collect();
    writer.commit(&serde_json::json!({ "plots": names }))?;
    Ok(plots.len())
}

/// A picture as the page has it, with what the page writes around it.
struct Drawn {
    name: String,
    title: String,
    /// Class and meaning of each kind of line.
    legend: Vec<(String, String)>,
    picture: Markup,
    /// Classes of the elements that the page has around it.
    around: &'static [&'static str],
}

fn pictures(results: &Results) -> Vec<Drawn> {
    let mut drawn = Vec::new();
    let mut wide = |name: &str, title: &str, picture: Option<Picture>| {
        drawn.extend(picture.map(|picture| Drawn {
            name: name.to_owned(),
            title: title.to_owned(),
            legend: Vec::new(),
            picture: picture.wide,
            around: &[],
        }));
    };
    let encoders = Decided::of(results).and_then(|decided| decided.encoders);
    wide("encoders", "Candidate encoders", encoders.and_then(|encoders| encoders.picture));
    wide("scores", "Scores", Scores::of(results).picture);
    wide("differences", "Differences", Differences::of(results).map(|differences| differences.picture));
    wide("cost", "Cost beside score", Cost::of(results).map(|cost| cost.picture));
    wide("mistakes", "Mistakes by class", Mistakes::of(results).and_then(|mistakes| mistakes.map));
    drawn.extend(curves(results).into_iter().chain(reliability::panel(results)).map(of_panel));
    drawn.extend(map::panels(results).into_iter().map(|panel| Drawn {
        name: format!("map {}", panel.title),
        title: format!("Map of the test texts: {}", panel.title),
        around: &["maps"],
        ..of_panel(panel)
    }));
    drawn
}

fn of_panel(panel: Panel) -> Drawn {
    Drawn {
        name: panel.title.clone(),
        title: panel.title,
        legend: panel.legend,
        picture: panel.picture,
        around: &[],
    }
}

/// Lower-case letters, digits and single dashes.
fn slug(text: &str) -> String {
    let mut slug = String::new();
    for letter in text.chars().flat_map(char::to_lowercase) {
        if letter.is_ascii_alphanumeric() {
            slug.push(letter);
        } else if !slug.ends_with('-') && !slug.is_empty() {
            slug.push('-');
        }
    }
    slug.truncate(60);
    let slug = slug.trim_end_matches('-');
    if slug.is_empty() { "picture".to_owned() } else { slug.to_owned() }
}

const MARGIN: f64 = 18.0;
/// Where the picture begins below title and legend.
const TITLE: f64 = 52.0;
const LEGEND: f64 = 22.0;

/// A file of its own: title, legend and picture on paper, every style written into its element.
fn standalone(drawn: &Drawn, of: &str) -> Option<String> {
    let picture = drawn.picture.to_string();
    let (head, body) = picture.split_once('>')?;
    let body = body.strip_suffix("</svg>")?;
    let size = |name: &str| -> Option<f64> {
        let value = head.split_once(&format!(" {name}=\""))?.1;
        value.split_once('"')?.0.parse().ok()
    };
    let class = head.split_once("class=\"")?.1.split_once('"')?.0;
    let (width, height) = (size("width")?, size("height")?);
    let legend = legend(&drawn.legend, width);
    let top = MARGIN + TITLE + if drawn.legend.is_empty() { 0.0 } else { LEGEND };
    let whole = (px(width + 2.0 * MARGIN), px(top + height + MARGIN));
    let mut svg = format!(
        "<svg class=\"{class}\" xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {w} {h}\" width=\"{w}\" height=\"{h}\" \
         role=\"img\" aria-label=\"{}\"><rect class=\"paper\" x=\"0\" y=\"0\" width=\"{w}\" height=\"{h}\"/>",
        escape(&one_line(&drawn.title)),
        w = whole.0,
        h = whole.1
    );
    let columns = (width / 9.0) as usize;
    let (x, title) = (px(MARGIN), escape(&one_line(&shorten(&drawn.title, columns))));
    let of = escape(&one_line(&shorten(of, columns)));
    let _ = write!(svg, "<text class=\"plot-title\" x=\"{x}\" y=\"{}\">{title}</text>", px(MARGIN + 14.0));
    let _ = write!(svg, "<text class=\"axis\" x=\"{x}\" y=\"{}\">{of}</text>", px(MARGIN + 34.0));
    let _ = write!(svg, "<g transform=\"translate({x} {})\">{legend}</g>", px(MARGIN + TITLE + 6.0));
    let _ = write!(svg, "<g transform=\"translate({x} {})\">{body}</g></svg>", px(top));
    Some(style::inlined(&svg, drawn.around) + "\n")
}

/// A short line in its colour and what it means, side by side as long as there is room.
fn legend(entries: &[(String, String)], width: f64) -> String {
    let (mut legend, mut x) = (String::new(), 0.0);
    for (class, meaning) in entries {
        let text = shorten(meaning, 48);
        let needed = 30.0 + text_width(&text, 12.0);
        if x + needed > width && x > 0.0 {
            break;
        }
        let (from, to, after) = (px(x), px(x + 22.0), px(x + 28.0));
        let _ = write!(
            legend,
            "<g class=\"{}\"><path class=\"curve\" d=\"M{from} 0L{to} 0\"/></g><text class=\"axis\" x=\"{after}\" y=\"4\">{}</text>",
            escape(class),
            escape(&one_line(&text))
        );
        x += needed + 16.0;
    }
    legend
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;
    use std::collections::BTreeSet;

    #[test]
    fn every_picture_of_every_report_is_a_file_without_classes_and_variables() {
        for (report, results) in sample::all() {
            let plots = plots(&results);
            let names: BTreeSet<&str> = plots.iter().map(|plot| plot.name.as_str()).collect();
            assert_eq!(names.len(), plots.len(), "{report}: {names:?}");
            for plot in &plots {
                assert!(plot.svg.starts_with("<svg xmlns="), "{report} {}: {}", plot.name, &plot.svg[..80]);
                for left in ["class=", "var(", "<style", "<script", "NaN"] {
                    assert!(!plot.svg.contains(left), "{report} {} has {left}", plot.name);
                }
                let safe =
                    |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-';
                assert!(plot.name.len() <= 64 && plot.name.chars().all(safe), "{}", plot.name);
            }
        }
        let planned = plots(&sample::planned());
        for expected in
            ["encoders", "scores", "differences", "cost", "fewer-labels-accuracy", "more-texts-accuracy"]
        {
            assert!(planned.iter().any(|plot| plot.name == expected), "{expected}");
        }
    }

    #[test]
    fn every_file_can_be_drawn() {
        let fonts = Fonts::of_the_system();
        let drawn = |svg: &str| match &fonts {
            Some(fonts) => fonts.png(svg).map(|bytes| bytes.len()),
            None => png::size(svg).map(|(width, _)| width as usize),
        };
        for (report, results) in sample::all() {
            for plot in plots(&results) {
                let size = drawn(&plot.svg).unwrap_or_else(|error| panic!("{report} {}: {error}", plot.name));
                assert!(size > 100, "{report} {}: {size}", plot.name);
            }
        }
    }

    #[test]
    fn files_are_written_and_replaced_as_a_whole() {
        let folder = tempfile::tempdir().unwrap();
        let plots_folder = folder.path().join("plots");
        let count = write_plots(&sample::planned(), &plots_folder, None).unwrap();
        let files = || std::fs::read_dir(&plots_folder).unwrap().count();
        assert_eq!(files(), count + 1, "one file a picture, and the manifest");
        let fewer = write_plots(&sample::empty("nothing"), &plots_folder, None).unwrap();
        assert_eq!((fewer, files()), (0, 1));
    }

    #[test]
    fn names_of_files_are_harmless() {
        assert_eq!(slug("Loss: adapted+finetuned"), "loss-adapted-finetuned");
        assert_eq!(slug("../../etc/passwd"), "etc-passwd");
        assert_eq!(slug("日本"), "picture");
        assert!(slug(&"x y".repeat(100)).len() <= 60);
    }
}
