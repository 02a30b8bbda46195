//! XML as roxmltree reads it, within limits, with the lines of its elements.

use roxmltree::{Document, Node, ParsingOptions};

use super::error::{ImportError, Result};

/// Most elements and texts of a file.
const NODES_MAX: u32 = 20_000_000;

/// Reads a text; `then` gets it.
///
/// # Errors
/// It is no XML, or larger than it may be; what `then` says.
pub fn with<T>(text: &str, then: impl FnOnce(&Xml) -> Result<T>) -> Result<T> {
    // Older EVE-NG and OPNET files have an empty DOCTYPE; entities of their own are bounded by roxmltree.
    let options = ParsingOptions { allow_dtd: true, nodes_limit: NODES_MAX, ..ParsingOptions::default() };
    let document = Document::parse_with_options(text, options)
        .map_err(|error| ImportError::new(error.pos().row as usize, format!("it is no XML: {error}")))?;
    let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
    then(&Xml { document: &document, starts })
}

/// A document.
pub struct Xml<'a> {
    document: &'a Document<'a>,
    starts: Vec<usize>,
}

impl<'a> Xml<'a> {
    /// The outermost element.
    pub fn root(&self) -> Node<'a, 'a> {
        self.document.root_element()
    }

    /// The line of an element, from 1.
    pub fn line(&self, node: Node) -> usize {
        self.starts.partition_point(|start| *start <= node.range().start)
    }
}

/// The elements of a name inside another.
pub fn children<'a>(node: Node<'a, 'a>, name: &'a str) -> impl Iterator<Item = Node<'a, 'a>> {
    node.children().filter(move |child| child.is_element() && child.tag_name().name() == name)
}

/// The first element of a name inside another.
pub fn child<'a>(node: Node<'a, 'a>, name: &'a str) -> Option<Node<'a, 'a>> {
    children(node, name).next()
}

/// An attribute that says something.
pub fn attribute<'a>(node: Node<'a, 'a>, name: &str) -> Option<&'a str> {
    node.attribute(name).filter(|text| !text.is_empty())
}
