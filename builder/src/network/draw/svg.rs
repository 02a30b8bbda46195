//! A picture as SVG: dots by what they are, links with ports and properties where the pointer rests.

use std::fmt::Write;

use vmatic_plan::network::NodeKind;

use super::{Dot, Picture, layout};

/// The side of the picture, and the space around it for names, in pixels.
const MARGIN: f64 = 60.0;
const SIDE_MIN: f64 = 400.0;
/// How much the side grows with the square root of the dots.
const SIDE_OF_A_DOT: f64 = 80.0;

/// Text between tags and in attributes.
fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

/// The places of a picture's dots: on earth, if all have one there.
fn places(picture: &Picture) -> Vec<(f64, f64)> {
    let earth: Option<Vec<(f64, f64)>> = picture.dots.iter().map(|dot| dot.place).collect();
    match earth.filter(|places| places.len() > 1) {
        // North is up, and half way to the pole a degree east is shorter.
        Some(places) => layout::fit(places.into_iter().map(|(north, east)| (east * 0.7, -north)).collect()),
        None => {
            let joined: Vec<(usize, usize)> = picture.strokes.iter().map(|stroke| stroke.ends).collect();
            layout::places(picture.dots.len(), &joined)
        }
    }
}

/// The picture as a file.
pub fn write(picture: &Picture, title: &str) -> String {
    let side = (SIDE_OF_A_DOT * (picture.dots.len() as f64).sqrt()).max(SIDE_MIN);
    let whole = side + 2.0 * MARGIN;
    let places: Vec<(f64, f64)> =
        places(picture).into_iter().map(|(x, y)| (MARGIN + x * side, MARGIN + y * side)).collect();
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {whole:.0} {whole:.0}\" width=\"{whole:.0}\" \
         height=\"{whole:.0}\" font-family=\"sans-serif\" font-size=\"11\">\n<title>{0}</title>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
        escape(title)
    );
    if let Some(folded) = picture.folded {
        let _ = writeln!(text, "<text x=\"8\" y=\"16\" fill=\"#666\">{}: {folded}</text>", escape(title));
    }
    text += "<g stroke=\"#999\">\n";
    for stroke in &picture.strokes {
        let ((ax, ay), (bx, by)) = (places[stroke.ends.0], places[stroke.ends.1]);
        let name = |end: usize| &picture.dots[end].label;
        let (a, b) = (name(stroke.ends.0), name(stroke.ends.1));
        let said = match stroke.ports {
            Some((port, peer)) => format!("{a}:{port} {b}:{peer} {}", stroke.words),
            None => format!("{a} - {b}: {}", stroke.caption()),
        };
        // A line that stands for more is thicker: a pixel for each tenfold.
        let width = 1 + stroke.links.checked_ilog10().unwrap_or(0);
        let _ = writeln!(
            text,
            "<line x1=\"{ax:.1}\" y1=\"{ay:.1}\" x2=\"{bx:.1}\" y2=\"{by:.1}\" stroke-width=\"{width}\"><title>{}</title></line>",
            escape(said.trim_end())
        );
    }
    text += "</g>\n";
    for (dot, (x, y)) in picture.dots.iter().zip(&places) {
        text += &mark(dot, *x, *y);
    }
    text + "</svg>\n"
}

/// A dot with its name.
fn mark(dot: &Dot, x: f64, y: f64) -> String {
    let caption = escape(&dot.caption());
    let shape = match &dot.kind {
        NodeKind::Guest => format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"6\" fill=\"#4a90d9\"/>"),
        NodeKind::Foreign(_) => format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"6\" fill=\"#9b59b6\"/>"),
        NodeKind::Router => format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"7\" fill=\"#e67e22\"/>"),
        NodeKind::Cloud => format!("<ellipse cx=\"{x:.1}\" cy=\"{y:.1}\" rx=\"12\" ry=\"7\" fill=\"#bbb\"/>"),
        NodeKind::Switch => {
            let (left, top) = (x - 7.0, y - 4.0);
            format!("<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"14\" height=\"8\" fill=\"#27ae60\"/>")
        }
    };
    let below = y + 18.0;
    format!("<g>{shape}<text x=\"{x:.1}\" y=\"{below:.1}\" text-anchor=\"middle\">{caption}</text></g>\n")
}
