//! A topology of another tool, the first byte saying whose. Oracle: what is read has names of hosts, no two alike, and
//! comes back from the table that is written of it; what is not read says a line that is there.

use super::texts;
use crate::import::options::Options;
use crate::import::{Format, read, write};
use clap::ValueEnum;
use std::collections::HashSet;

pub fn seeds() -> Vec<Vec<u8>> {
    texts(&[
        concat!("0", include_str!("../../../builder/tests/support/topologies/zoo.graphml")),
        concat!("1", include_str!("../../../builder/tests/support/topologies/shadow.gml")),
        concat!("2", include_str!("../../../builder/tests/support/topologies/office.clab.yml")),
        concat!("3", include_str!("../../../builder/tests/support/topologies/few.as-rel")),
        concat!("4", include_str!("../../../builder/tests/support/topologies/few.links")),
        concat!("5", include_str!("../../../builder/tests/support/topologies/scene.xml")),
        concat!("6", include_str!("../../../builder/tests/support/topologies/new.gns3")),
        concat!("7", include_str!("../../../builder/tests/support/topologies/lab.cml.yaml")),
        concat!("8", include_str!("../../../builder/tests/support/topologies/lab.unl")),
        concat!("9", include_str!("../../../builder/tests/support/topologies/lab.conf")),
        concat!(":", include_str!("../../../builder/tests/support/topologies/phenix.yml")),
        concat!(";", include_str!("../../../builder/tests/support/topologies/lab.mm")),
        concat!("<", include_str!("../../../builder/tests/support/topologies/mininet.txt")),
        concat!("=", include_str!("../../../builder/tests/support/topologies/waxman.brite")),
        concat!(">", include_str!("../../../builder/tests/support/topologies/tiny.inet")),
        concat!("?", include_str!("../../../builder/tests/support/topologies/site.opnet.xml")),
    ])
}

pub fn run(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else { return };
    let Ok(text) = std::str::from_utf8(rest) else { return };
    let _ = Format::of(text);
    let formats = Format::value_variants();
    let format = formats[usize::from(first.wrapping_sub(b'0')) % formats.len()];
    match read(text, format, &Options::default()) {
        Ok(topology) => {
            let mut names = HashSet::new();
            for node in &topology.nodes {
                let host = vmatic_plan::HostNames::parse(&node.name);
                assert!(host.is_ok_and(|host| host.len() == 1) && names.insert(&node.name), "{:?}", node.name);
            }
            let table = write::table(&topology, "x");
            let again = read(&table, Format::Links, &Options::default());
            let again = again.unwrap_or_else(|error| panic!("{error}\n{table}"));
            assert_eq!(topology.links, again.links, "{table}");
        }
        // YAML begins a line after a carriage return alone, too (5.4).
        Err(error) => assert!(error.line <= text.split(['\n', '\r']).count() + 1, "{error}"),
    }
}
