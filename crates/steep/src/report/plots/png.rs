//! Pictures as pixels.

use crate::error::{Error, Result};
use resvg::{tiny_skia, usvg};
use std::sync::Arc;

/// Pixels for each unit of the picture: sharp on dense screens and in print.
const SCALE: f32 = 2.0;
/// No picture has more pixels on a side.
const MOST_PIXELS: u32 = 16_000;

/// Families tried for texts and for names, the first that is there.
const SANS: [&str; 8] = [
    "Noto Sans",
    "DejaVu Sans",
    "Liberation Sans",
    "Segoe UI",
    "Helvetica Neue",
    "Helvetica",
    "Arial",
    "Roboto",
];
const MONO: [&str; 7] =
    ["Noto Sans Mono", "DejaVu Sans Mono", "Liberation Mono", "Consolas", "Menlo", "Courier New", "Courier"];

/// The fonts of this system.
pub struct Fonts(usvg::Options<'static>);

impl Fonts {
    /// None where it has no font: a picture without its words would say nothing.
    pub fn of_the_system() -> Option<Self> {
        let mut options = usvg::Options::default();
        let fonts = Arc::get_mut(&mut options.fontdb)?;
        fonts.load_system_fonts();
        let family = |wanted: &[&str]| {
            let names = || fonts.faces().flat_map(|face| face.families.iter().map(|(name, _)| name));
            let known = wanted.iter().find(|wanted| names().any(|name| name == *wanted));
            known.map(|known| (*known).to_owned()).or_else(|| names().next().cloned())
        };
        let (sans, mono) = (family(&SANS)?, family(&MONO)?);
        fonts.set_sans_serif_family(sans.clone());
        fonts.set_monospace_family(mono);
        options.font_family = sans;
        Some(Self(options))
    }

    /// The picture as a PNG file.
    ///
    /// # Errors
    /// The picture is no SVG, or larger than a picture may be.
    pub fn png(&self, svg: &str) -> Result<Vec<u8>> {
        let (tree, mut pixels) = prepared(svg, &self.0)?;
        resvg::render(&tree, tiny_skia::Transform::from_scale(SCALE, SCALE), &mut pixels.as_mut());
        pixels.encode_png().map_err(|error| fault(&error.to_string()))
    }
}

fn prepared(svg: &str, options: &usvg::Options) -> Result<(usvg::Tree, tiny_skia::Pixmap)> {
    let tree = usvg::Tree::from_str(svg, options).map_err(|error| fault(&error.to_string()))?;
    let size = tree.size();
    let (width, height) = ((size.width() * SCALE).ceil() as u32, (size.height() * SCALE).ceil() as u32);
    let pixels = tiny_skia::Pixmap::new(width.min(MOST_PIXELS), height.min(MOST_PIXELS));
    let pixels = pixels.ok_or_else(|| fault("it has no size"))?;
    Ok((tree, pixels))
}

fn fault(problem: &str) -> Error {
    Error::data("plots", format!("a picture cannot be drawn: {problem}"), "")
}

/// Width and height in pixels, without fonts.
#[cfg(test)]
pub(super) fn size(svg: &str) -> Result<(u32, u32)> {
    let (_, pixels) = prepared(svg, &usvg::Options::default())?;
    Ok((pixels.width(), pixels.height()))
}
