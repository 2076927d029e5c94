//! The page in a real browser: nothing overflows, nothing is asked of the network, everything can be read and reached.
//!
//! Where there is no Chromium, the tests say so and pass. Each report is opened once, in frames: two widths, light, dark and
//! print.

use super::sample;
use super::*;
use serde::Deserialize;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What is measured in each frame; see the script for the rules.
#[derive(Debug, Deserialize)]
struct Found {
    frame: String,
    width: f64,
    scroll_width: f64,
    overflowing: Vec<String>,
    faint: Vec<String>,
    texts: u32,
    unreachable: Vec<String>,
    reachable: u32,
    dangling: Vec<String>,
    sections: Vec<String>,
    requests: u32,
    violations: Vec<String>,
}

const SCRIPT: &str = include_str!("chromium_tests.js");

/// The browser: the one that CHROMIUM names, or one of the usual names on the path.
fn chromium() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("CHROMIUM") {
        return Some(path.into());
    }
    let folders: Vec<PathBuf> = std::env::split_paths(&std::env::var_os("PATH")?).collect();
    let names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
    let places = names.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    places.into_iter().find(|place| place.is_file())
}

/// A test that measures nothing must not look like one that did.
fn chromium_or_say_so(test: &str) -> Option<PathBuf> {
    let found = chromium();
    if found.is_none() {
        eprintln!("{test}: skipped, since no chromium was found; install one, or name it in CHROMIUM");
    }
    found
}

/// Runs the browser on a file; the document as it is after loading, and what the console said.
fn open(browser: &Path, file: &Path, folder: &Path, arguments: &[&str]) -> (String, Vec<String>) {
    let output = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--enable-logging=stderr"])
        .args(["--disable-dev-shm-usage", "--window-size=1400,1000", "--no-first-run"])
        .arg(format!("--user-data-dir={}", folder.join("profile").display()))
        .args(arguments)
        .arg(format!("file://{}", file.display()))
        .output()
        .expect("chromium starts");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{errors}");
    let console = errors.lines().filter(|line| line.contains(":CONSOLE")).map(str::to_owned).collect();
    (String::from_utf8_lossy(&output.stdout).into_owned(), console)
}

/// The page as it is for one way of looking at it, with the measuring script.
fn framed(page: &str, name: &str, media: &str) -> String {
    let policy = "img-src data:";
    assert!(page.contains(policy));
    let page = page.replacen(policy, "img-src data:; script-src 'unsafe-inline'", 1);
    let page = match media {
        "dark" => page.replace("@media (prefers-color-scheme: dark)", "@media all"),
        "print" => {
            let page = page.replace("@media print", "@media all");
            page.replace("@media screen and (max-width: 759px)", "@media not all")
        }
        _ => page,
    };
    let script = format!("<script>const frame = '{name}';\n{SCRIPT}</script></body>");
    page.replacen("</body>", &script, 1)
}

/// One document with all ways of looking at a page.
fn frames(page: &str) -> String {
    let mut document =
        "<!DOCTYPE html><meta charset=\"utf-8\"><script>window.found = [];</script>".to_owned();
    for (width, media) in [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark"), (700, "print")] {
        let name = format!("{width} {media}");
        let inner = framed(page, &name, media).replace('&', "&amp;").replace('"', "&quot;");
        writeln!(
            document,
            "<iframe width=\"{width}\" height=\"900\" style=\"border:0\" srcdoc=\"{inner}\"></iframe>"
        )
        .expect("a string");
    }
    document.push_str(
        "<script>addEventListener('load', () => { const out = document.createElement('pre'); out.id = 'found'; \
         out.textContent = JSON.stringify(window.found); document.body.replaceChildren(out); });</script>",
    );
    document
}

fn measured(browser: &Path, results: &Results) -> Vec<Found> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let page = html(results).expect("a page");
    keep(results, &page);
    let file = folder.path().join("frames.html");
    std::fs::write(&file, frames(&page)).expect("a file");
    let (document, _) = open(browser, &file, folder.path(), &["--dump-dom"]);
    let start = document.find("<pre id=\"found\">").expect("the script ran") + "<pre id=\"found\">".len();
    let json = document[start..].split("</pre>").next().expect("it ends");
    let json =
        json.replace("&lt;", "<").replace("&gt;", ">").replace("&nbsp;", "\u{a0}").replace("&amp;", "&");
    serde_json::from_str(&json).expect("what was found")
}

/// Pages and plots for a person to look at, where KEEP_REPORTS names a folder.
fn keep(results: &Results, page: &str) {
    let Some(folder) = std::env::var_os("KEEP_REPORTS").map(PathBuf::from) else { return };
    let name: String = results.title.chars().filter(char::is_ascii_alphanumeric).take(20).collect();
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join(format!("{name}.html")), page).expect("a file");
    write_plots(results, &folder.join(name), Fonts::of_the_system().as_ref()).expect("plots");
}

fn check(results: &Results, expected: &[&str]) {
    let Some(browser) = chromium_or_say_so(&results.title) else { return };
    let found = measured(&browser, results);
    assert_eq!(found.len(), 5);
    let faults: Vec<String> = found.iter().flat_map(|found| faults(found, expected)).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// What is wrong with one way of looking at a page.
fn faults(found: &Found, expected: &[&str]) -> Vec<String> {
    let frame = &found.frame;
    let mut faults = Vec::new();
    let mut forbid = |is_wrong: bool, words: String| {
        if is_wrong {
            faults.push(format!("{frame}: {words}"));
        }
    };
    forbid(
        found.scroll_width > found.width,
        format!("{} wide instead of {}", found.scroll_width, found.width),
    );
    forbid(!found.overflowing.is_empty(), format!("reach beyond the page: {:?}", found.overflowing));
    forbid(found.texts < 50, format!("{} texts only", found.texts));
    forbid(!found.faint.is_empty(), format!("contrast below 4.5: {:#?}", found.faint));
    forbid(!found.unreachable.is_empty(), format!("cannot have the focus: {:?}", found.unreachable));
    forbid(found.reachable < 5, format!("{} can have the focus only", found.reachable));
    forbid(!found.dangling.is_empty(), format!("links without a target: {:?}", found.dangling));
    forbid(found.requests > 0, format!("{} requests", found.requests));
    forbid(!found.violations.is_empty(), format!("forbidden by the policy: {:?}", found.violations));
    for section in expected {
        forbid(!found.sections.iter().any(|id| id == section), format!("no section {section}"));
    }
    faults
}

const SECTIONS: [&str; 9] =
    ["verdict", "scores", "differences", "cost", "curves", "mistakes", "classes", "data", "settings"];

#[test]
fn a_large_report_can_be_read_and_reached_at_every_width() {
    let expected: Vec<&str> =
        SECTIONS.into_iter().chain(["planning", "probabilities", "map", "slices"]).collect();
    check(&sample::planned(), &expected);
}

#[test]
fn a_small_report_can_be_read_and_reached_at_every_width() {
    check(&sample::small(), &SECTIONS);
}

#[test]
fn hostile_strings_neither_run_nor_overflow() {
    check(&sample::hostile(), &["verdict", "scores", "data", "settings"]);
}

#[test]
fn a_report_as_it_is_keeps_the_console_silent_and_can_be_printed() {
    let Some(browser) = chromium_or_say_so("console and print") else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("report.html");
    std::fs::write(&file, html(&sample::planned()).expect("a page")).expect("a file");
    let (document, console) = open(&browser, &file, folder.path(), &["--dump-dom"]);
    assert!(document.contains("id=\"verdict\""));
    assert!(console.is_empty(), "{console:?}");
    let pdf = folder.path().join("report.pdf");
    let print = format!("--print-to-pdf={}", pdf.display());
    open(&browser, &file, folder.path(), &[&print, "--no-pdf-header-footer"]);
    let bytes = std::fs::read(&pdf).expect("a printed report");
    assert!(bytes.starts_with(b"%PDF") && bytes.len() > 20_000, "{} bytes", bytes.len());
}

#[test]
fn the_measuring_script_sees_what_is_wrong() {
    let Some(browser) = chromium_or_say_so("the script itself") else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("frames.html");
    let page = "<!DOCTYPE html><html><head><meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; \
                style-src 'unsafe-inline'; img-src data:\"><style>p { color: #999; width: 2000px; }</style></head><body>\
                <a href=\"#nowhere\">a</a><p>faint and wide</p><img src=\"x.png\" alt=\"\"></body></html>";
    std::fs::write(&file, frames(page)).expect("a file");
    let (document, _) = open(&browser, &file, folder.path(), &["--dump-dom"]);
    for seen in ["faint and wide", "#nowhere", "img-src", "\"scroll_width\":20"] {
        assert!(document.contains(seen), "{seen} in {document}");
    }
}
