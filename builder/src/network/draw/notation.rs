//! A picture as text for other programs: Graphviz and Mermaid.

use std::fmt::Write;

use vmatic_plan::network::NodeKind;

use super::Picture;

/// Text between double quotes, as both programs read it.
fn quoted(text: &str) -> String {
    let plain = |c: char| if c.is_control() || c == '"' || c == '\\' { ' ' } else { c };
    format!("\"{}\"", text.chars().map(plain).collect::<String>())
}

/// The picture in the language of Graphviz.
pub fn dot(picture: &Picture, title: &str) -> String {
    let mut text = format!("graph {} {{\n  overlap = false\n  node [shape = ellipse]\n", quoted(title));
    for (number, dot) in picture.dots.iter().enumerate() {
        let shape = match dot.kind {
            NodeKind::Guest | NodeKind::Foreign(_) => "",
            NodeKind::Router => ", shape = circle",
            NodeKind::Switch => ", shape = box",
            NodeKind::Cloud => ", style = dashed",
        };
        let _ = writeln!(text, "  n{number} [label = {}{shape}]", quoted(&dot.caption()));
    }
    for stroke in &picture.strokes {
        let mut says = Vec::new();
        if let Some((port, peer)) = stroke.ports {
            says.push(format!("taillabel = \"{port}\", headlabel = \"{peer}\""));
        }
        if !stroke.caption().is_empty() {
            says.push(format!("label = {}", quoted(&stroke.caption())));
        }
        let _ = writeln!(text, "  n{} -- n{} [{}]", stroke.ends.0, stroke.ends.1, says.join(", "));
    }
    text + "}\n"
}

/// The picture in the language of Mermaid.
pub fn mermaid(picture: &Picture, title: &str) -> String {
    let mut text = format!("---\ntitle: {}\n---\nflowchart LR\n", quoted(title));
    for (number, dot) in picture.dots.iter().enumerate() {
        let label = quoted(&dot.caption());
        let _ = match dot.kind {
            NodeKind::Guest | NodeKind::Foreign(_) => writeln!(text, "  n{number}({label})"),
            NodeKind::Router => writeln!(text, "  n{number}(({label}))"),
            NodeKind::Switch => writeln!(text, "  n{number}[{label}]"),
            NodeKind::Cloud => writeln!(text, "  n{number}>{label}]"),
        };
    }
    for stroke in &picture.strokes {
        let caption = stroke.caption();
        let says = if caption.is_empty() { String::new() } else { format!("|{}|", quoted(&caption)) };
        let _ = writeln!(text, "  n{} ---{says} n{}", stroke.ends.0, stroke.ends.1);
    }
    text
}
