//! Tables of links, and the checks of a network. Oracle: what was read is written and read again; a mistake lies inside
//! the text, at characters' borders.

use super::texts;
use crate::network::Mistake;
use crate::network::checks::Check;
use crate::network::table::{read, write};
use vmatic_plan::network::{Draft, LinkDraft, Network};

pub fn seeds() -> Vec<Vec<u8>> {
    texts(&[
        "# a ring, and a stub\nnode b kind=router at=48.1,11.5 address=10.0.0.1/24 address=fd00::1/64\n\na b delay=5ms\n\
         b:7 c:1 rate=16mbit/1mbit # slow\nc a queue=50ms down\na c\nnode lonely kind=switch\n",
        "a a\na[1-2] b\nnode\nnode x at=91,0\na b each=all\n",
    ])
}

fn shown(text: &str, mistake: &Mistake) {
    assert!(text.get(mistake.at.clone()).is_some(), "{text:?}: {mistake:?}");
    assert!(!mistake.message.is_empty() && !mistake.remedy.is_empty(), "{text:?}: {mistake:?}");
}

pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match read(text) {
        Err(mistakes) => mistakes.iter().for_each(|mistake| shown(text, mistake)),
        Ok(file) => {
            assert_eq!(read(&write(&file)).as_ref(), Ok(&file), "{text:?}");
            let links = vec![LinkDraft::Table(file.table)];
            if let Ok(network) = Network::new(Draft { links, ..Draft::default() }, 9, 999) {
                for node in 0..network.len() {
                    for end in network.ends(node) {
                        let far = network.link(end.peer, end.peer_port);
                        assert_eq!(far.map(|far| (far.peer, far.peer_port)), Some((node, end.port)), "{text:?}");
                    }
                }
            }
        }
    }
}

pub fn check_seeds() -> Vec<Vec<u8>> {
    texts(&[
        "a ping b",
        "c ping d delay=40ms\u{b1}3ms",
        "a[1-3] routes = computed",
        "a trace b = computed",
        "sample 1000: ping",
        "down a b, up c d, then within 1.5s: a ping d delay=1s+-1us",
    ])
}

pub fn checks(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let lab =
        "vmatic-network 1\nlink a[1-3] b each=all delay=5ms\nlink b c\nlink a b\nlink c d\nnodes b,c kind=router\n";
    let network = Draft::decode(lab).ok().and_then(|draft| Network::new(draft, 9, 9).ok());
    match Check::parse(text) {
        Err(mistake) => shown(text, &mistake),
        Ok(check) => {
            for mistake in network.iter().flat_map(|network| check.mistakes(network)) {
                shown(text, &mistake);
            }
        }
    }
}
