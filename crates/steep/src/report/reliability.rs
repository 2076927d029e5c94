//! How honest probabilities are: accuracy over confidence, before and after a temperature.

use super::charts::Panel;
use super::details::in_focus;
use super::format::{plural, shorten};
use super::metric;
use super::results::Results;
use super::route::CalibrationBin;
use super::svg::{Anchor, Marker, Scale, Svg, px};
use std::fmt::Write;

const WIDTH: f64 = 420.0;
const HEIGHT: f64 = 300.0;

/// The diagram of the recommended route; none where nothing has probabilities.
pub(super) fn panel(results: &Results) -> Option<Panel> {
    let (route, found) = in_focus(results)
        .into_iter()
        .find_map(|route| route.calibration.as_ref().map(|found| (route, found)))?;
    let filled = |bins: &[CalibrationBin]| -> Vec<CalibrationBin> {
        bins.iter().copied().filter(|bin| bin.rows > 0).collect()
    };
    let (plain, scaled) = (filled(&found.bins), filled(&found.scaled_bins));
    if plain.is_empty() {
        return None;
    }
    let title = format!("Probabilities of {}", shorten(&route.id, 40));
    let caption = caption(found.error, found.temperature, found.scaled_error);
    let mut svg = Svg::new("panel", WIDTH, HEIGHT, &title, &caption);
    let across = Scale { domain: (0.0, 1.0), range: (46.0, WIDTH - 16.0) };
    let up = Scale { domain: (0.0, 1.0), range: (HEIGHT - 44.0, 10.0) };
    for tick in [0.0, 0.2, 0.4, 0.6, 0.8, 1.0] {
        svg.line("grid", (across.range.0, up.at(tick)), (across.range.1, up.at(tick)));
        let text = metric::number(tick, 1);
        svg.text("axis", (across.range.0 - 7.0, up.at(tick) + 4.0), Anchor::End, &text);
        svg.text("axis", (across.at(tick), up.range.0 + 18.0), Anchor::Middle, &text);
    }
    svg.line("reference", (across.at(0.0), up.at(0.0)), (across.at(1.0), up.at(1.0)));
    let middle = f64::midpoint(across.range.0, across.range.1);
    svg.text("axis-title", (middle, up.range.0 + 38.0), Anchor::Middle, "probability of the predicted class");
    draw(&mut svg, "scaled", "at the temperature", &scaled, &across, &up);
    draw(&mut svg, "plain", "as they are", &plain, &across, &up);
    let mut legend = vec![("plain".to_owned(), "as they are".to_owned())];
    if !scaled.is_empty() {
        legend.push(("scaled".to_owned(), "at the temperature".to_owned()));
    }
    Some(Panel { title, picture: svg.finish(), legend, caption })
}

fn caption(error: f64, temperature: Option<f64>, scaled: Option<f64>) -> String {
    let percent = |value: f64| metric::number(100.0 * value, 1);
    let mut caption = format!(
        "Share of rows that are right, over how sure the route was; on the dashed line both agree. Larger discs hold more \
         rows. Off by {} points on average",
        percent(error)
    );
    if let (Some(temperature), Some(scaled)) = (temperature, scaled) {
        let _ = write!(
            caption,
            ", by {} at the temperature {} fitted on validation rows",
            percent(scaled),
            metric::number(temperature, 2)
        );
    }
    caption.push('.');
    caption
}

fn draw(svg: &mut Svg, class: &str, words: &str, bins: &[CalibrationBin], across: &Scale, up: &Scale) {
    if bins.is_empty() {
        return;
    }
    svg.open_group(class, words);
    let mut data = String::new();
    for bin in bins {
        let command = if data.is_empty() { 'M' } else { 'L' };
        let _ = write!(data, "{command}{} {}", px(across.at(bin.confidence)), px(up.at(bin.accuracy)));
    }
    svg.path("curve", &data);
    let most = bins.iter().map(|bin| bin.rows).max().unwrap_or(1) as f64;
    for bin in bins {
        svg.open_group("bin", &plural(bin.rows, "row"));
        let radius = 2.5 + 5.0 * (bin.rows as f64 / most).sqrt();
        svg.marker(Marker::Disc, (across.at(bin.confidence), up.at(bin.accuracy)), radius);
        svg.close_group();
    }
    svg.close_group();
}
