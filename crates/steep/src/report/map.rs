//! The test rows' vectors in the plane, a picture an encoder.

use super::charts::Panel;
use super::findings::EmbeddingMap;
use super::format::{count, shorten};
use super::metric;
use super::results::Results;
use super::svg::{Anchor, Svg, px, text_width};

const SIZE: f64 = 420.0;
/// Colours; classes beyond them are grey.
const COLOURS: usize = 10;
/// Classes whose name stands in the picture.
const NAMED: usize = 24;

/// A panel a map.
pub(super) fn panels(results: &Results) -> Vec<Panel> {
    results.maps.iter().take(4).filter_map(panel).collect()
}

fn panel(map: &EmbeddingMap) -> Option<Panel> {
    if map.points.is_empty() || map.classes.is_empty() {
        return None;
    }
    let order = by_frequency(map);
    let place = |class: u32| order.iter().position(|other| *other == class).unwrap_or(order.len());
    let class_of = |place: usize| if place < COLOURS { format!("k{place}") } else { "k-other".to_owned() };
    let title = shorten(&map.encoder, 40);
    let caption = format!(
        "Of {} test rows, {} % have a nearest neighbour of their own class.",
        count(map.points.len() as u64),
        metric::number(100.0 * map.neighbour_share, 0)
    );
    let mut svg = Svg::new("panel", SIZE, SIZE, &format!("Map of {title}"), &caption);
    let at =
        |x: f64, y: f64| (12.0 + x.clamp(0.0, 1.0) * (SIZE - 24.0), 12.0 + y.clamp(0.0, 1.0) * (SIZE - 24.0));
    for (index, class) in order.iter().enumerate().rev() {
        let name = map.classes.get(*class as usize).map_or("", String::as_str);
        svg.open_group(&class_of(index), name);
        for point in map.points.iter().filter(|point| point.class == *class && point.x.is_finite()) {
            let (x, y) = at(point.x, point.y);
            svg.element("circle", &[("class", &"dot"), ("cx", &px(x)), ("cy", &px(y)), ("r", &"3")]);
        }
        svg.close_group();
    }
    let mut taken: Vec<(f64, f64, f64)> = Vec::new();
    for class in order.iter().take(NAMED) {
        let points: Vec<_> = map.points.iter().filter(|point| point.class == *class).collect();
        let (x, y) = (median(points.iter().map(|point| point.x)), median(points.iter().map(|point| point.y)));
        let name = shorten(map.classes.get(*class as usize).map_or("", String::as_str), 18);
        let half = text_width(&name, 13.0) / 2.0 + 3.0;
        let (x, y) = at(x, y);
        let x = x.clamp(half + 2.0, SIZE - half - 2.0);
        let is_free = taken.iter().all(|(other_x, other_y, other)| {
            (x - other_x).abs() > half + other || (y - other_y).abs() > 15.0
        });
        if is_free && x.is_finite() && y.is_finite() {
            svg.open_group(&class_of(place(*class)), "");
            svg.text("label", (x, y + 4.0), Anchor::Middle, &name);
            svg.close_group();
            taken.push((x, y, half));
        }
    }
    // A name may have no place in the picture; here each coloured class has one.
    let named = order.iter().take(COLOURS).enumerate().map(|(place, class)| {
        (class_of(place), shorten(map.classes.get(*class as usize).map_or("", String::as_str), 24))
    });
    Some(Panel { title, picture: svg.finish(), legend: named.collect(), caption })
}

/// Classes with points, the most frequent first.
fn by_frequency(map: &EmbeddingMap) -> Vec<u32> {
    let mut counts = vec![0u64; map.classes.len()];
    for point in &map.points {
        if let Some(count) = counts.get_mut(point.class as usize) {
            *count += 1;
        }
    }
    let mut order: Vec<u32> = (0..counts.len() as u32).filter(|class| counts[*class as usize] > 0).collect();
    order.sort_by_key(|class| (std::cmp::Reverse(counts[*class as usize]), *class));
    order
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.filter(|value| value.is_finite()).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
