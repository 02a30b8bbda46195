//! A network as a plan has it: the hash of its text, and the network where the text is at hand.

use super::super::error::{Item, NetworkError, NetworkErrorKind as Kind};
use super::super::graph::{Draft, Network};
use super::text::TEXT_MAX_BYTES;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;
use sha2::{Digest, Sha256};

/// A network that is named by the hash of its text.
#[derive(Clone)]
pub struct PlannedNetwork {
    digest: [u8; 32],
    here: Option<Arc<Network>>,
}

impl PlannedNetwork {
    /// The network with this hash, whose text is elsewhere.
    pub fn named(digest: [u8; 32]) -> PlannedNetwork {
        PlannedNetwork { digest, here: None }
    }

    /// The network of a draft, as hosts with so many guests each read it from its text; gives the text, too.
    ///
    /// # Errors
    /// The draft is no network, or its text is too long, or is not read as it was written.
    pub fn plan(draft: &Draft, hosts: u32, guests: u32) -> Result<(PlannedNetwork, String), NetworkError> {
        let wrong = |why: String| NetworkError { item: Item::Whole, kind: Kind::Text(why) };
        let text = draft.encode();
        if text.len() > TEXT_MAX_BYTES {
            return Err(wrong(format!("it has {} bytes, and hosts read at most {TEXT_MAX_BYTES}", text.len())));
        }
        let read = Draft::decode(&text).map_err(|kind| NetworkError { item: Item::Whole, kind })?;
        if read != draft.split() {
            return Err(wrong("hosts would read another network than was written".into()));
        }
        let network = Network::new(read, hosts, guests)?;
        let planned = PlannedNetwork { digest: Sha256::digest(&text).into(), here: Some(Arc::new(network)) };
        Ok((planned, text))
    }

    /// The same with its text, for hosts with so many guests each.
    ///
    /// # Errors
    /// The text is another's, or no network.
    pub fn with_text(&self, text: &str, hosts: u32, guests: u32) -> Result<PlannedNetwork, NetworkError> {
        let whole = |kind| NetworkError { item: Item::Whole, kind };
        if <[u8; 32]>::from(Sha256::digest(text)) != self.digest {
            return Err(whole(Kind::Digest));
        }
        let network = Network::new(Draft::decode(text).map_err(whole)?, hosts, guests)?;
        Ok(PlannedNetwork { digest: self.digest, here: Some(Arc::new(network)) })
    }

    /// SHA-256 of its text.
    pub fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// The network, where its text is at hand.
    pub fn network(&self) -> Option<&Network> {
        self.here.as_deref()
    }

    /// The text, where it is at hand.
    pub fn text(&self) -> Option<String> {
        Some(self.network()?.draft().encode())
    }
}

impl PartialEq for PlannedNetwork {
    /// Networks with one text are one.
    fn eq(&self, other: &PlannedNetwork) -> bool {
        self.digest == other.digest
    }
}

impl Eq for PlannedNetwork {}

impl fmt::Debug for PlannedNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.digest;
        write!(f, "PlannedNetwork({a:02x}{b:02x}{c:02x}{d:02x}.., {:?} nodes)", self.network().map(Network::len))
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::kinds::{AsNumber, NodeKind, NodesDraft};
    use super::super::super::properties::{Properties, apply};
    use super::super::super::table::{TableDraft, TableLink};
    use super::*;
    use crate::names::HostNames;
    use crate::network::LinkDraft;
    use alloc::vec;

    fn table() -> TableDraft {
        let mut slow = (Properties::default(), Properties::default());
        apply("rate=16mbit/1mbit", &mut slow.0, &mut slow.1).unwrap();
        let link = |a, b| TableLink { a, b, there: Properties::default(), back: Properties::default() };
        let slow = TableLink { there: slow.0, back: slow.1, ..link((0, Some(7)), (2, Some(1))) };
        TableDraft {
            names: ["b", "a", "c", "lonely"].map(String::from).into(),
            kinds: vec![Some(NodeKind::Router), None, Some(NodeKind::Foreign("winxp".into())), None],
            links: vec![link((1, None), (0, None)), slow, link((2, None), (1, None))],
        }
    }

    #[test]
    fn a_graph_of_a_file_is_told_whole() {
        let draft = Draft { links: vec![LinkDraft::Table(table())], ..Draft::default() };
        let (planned, text) = PlannedNetwork::plan(&draft, 1, 8).unwrap();
        let rows = "table 4 3\nb router\na\nc winxp\nlonely\n1 0\n0:7 2:1 rate=16mbit/1mbit\n2 1\n";
        assert_eq!(text, alloc::format!("vmatic-network 1\n{rows}"));
        let there = PlannedNetwork::named(*planned.digest()).with_text(&text, 1, 8).unwrap();
        assert_eq!((there.network(), there.text()), (Some(&Network::new(draft, 1, 8).unwrap()), Some(text)));
    }

    #[test]
    fn tables_that_are_none_are_refused() {
        for rows in [
            "table 2",
            "table 2 1\na\nb",
            "table 4294967295 1\na",
            "table 2 4000001\na\nb\n0 1",
            "table 2 1\na\na\n0 1",
            "table 2 1\na\nb router x\n0 1",
            "table 2 1\na\nb[1-2]\n0 1",
            "table 2 1\na\nb\n0 2",
            "table 2 1\na\nb\n0 +1",
            "table 2 1\na\nb\n1 1",
            "table 2 1\na\nb\n0:0 1",
            "table 2 1\na\nb\n0 1 speed=1",
        ] {
            let text = alloc::format!("vmatic-network 1\n{rows}\n");
            assert!(matches!(Draft::decode(&text), Err(Kind::Text(_))), "{rows}");
        }
    }

    #[test]
    fn rules_of_several_patterns_are_told_one_by_one_and_numbers_go_on() {
        let names = ["x[1-2]", "y"].map(|text| HostNames::parse(text).unwrap());
        let number = Some(AsNumber::From(64512));
        let rule = NodesDraft { names: names.into(), kind: None, routing: None, daemon: None, number, area: None };
        let text = Draft { nodes: vec![rule], ..Draft::default() }.encode();
        assert_eq!(text, "vmatic-network 1\nnodes x[1-2] number=64512\nnodes y number=64514\n");
    }

    #[test]
    fn a_text_too_long_for_an_image_is_refused() {
        let name = |n: usize| alloc::format!("{}{n}", "x".repeat(50));
        let mut draft = TableDraft { names: (0..TEXT_MAX_BYTES / 50).map(name).collect(), ..table() };
        draft.kinds = vec![None; draft.names.len()];
        let error = PlannedNetwork::plan(&Draft { links: vec![LinkDraft::Table(draft)], ..Draft::default() }, 1, 8);
        assert!(matches!(error.unwrap_err().kind, Kind::Text(why) if why.contains("read at most")));
    }
}
