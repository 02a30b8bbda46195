//! What of a network hosts cannot run, found before anything is built.
//!
//! Takes the law; gives a sentence for each thing, and what to write instead. What can be looked at (`vmatic check`,
//! `draw`, `route`) is more than what can be built.

use vmatic_plan::cable::CARDS_MAX;
use vmatic_plan::network::{Network, NodeKind, Numbering, ROUTES_MAX};

/// What cannot be run, with what to write instead; nothing, if all can be.
pub fn of(network: &Network, all_in_qemu: bool) -> Vec<(String, String)> {
    let mut limits = Vec::new();
    let mut add = |message: String, remedy: &str| limits.push((message, remedy.to_owned()));
    if all_in_qemu {
        let message = "guests that run in QEMU get no links".to_owned();
        add(message, "write backend = \"vmm\" below [guest], or remove [network]");
    }
    match network.draft().numbering {
        Numbering::Node | Numbering::Prefix => {}
        other => {
            let message =
                format!("numbering {:?} is looked at, and not built: guests get one address each", other.word());
            add(message, "write numbering = \"node\", or \"prefix\" for a tree");
        }
    }
    let survey = network.survey();
    for kind in &survey.kinds {
        match &kind.kind {
            NodeKind::Foreign(name) => {
                let message = format!("guests of the kind {name:?} get no links: QEMU runs them");
                add(message, "make these nodes guests, or leave them out of [network]");
            }
            NodeKind::Guest if kind.ports_max >= CARDS_MAX => {
                let most = CARDS_MAX - 1;
                let message = format!("a guest has {} links, and guests have cards for at most {most}", kind.ports_max);
                add(message, "make it a router or a switch, which may have any number");
            }
            _ => {}
        }
    }
    if let Some((routes, node)) = survey.routes.filter(|(routes, _)| *routes > ROUTES_MAX) {
        let name = network.name(node).unwrap_or_default();
        let message = format!("{name} would get {routes} routes, and a guest gets at most {ROUTES_MAX}");
        add(message, "make it a router, give it a daemon, or number a tree by prefix");
    }
    limits
}

#[cfg(test)]
mod tests {
    use super::*;
    use vmatic_plan::network::Draft;

    fn limits(text: &str, all_in_qemu: bool) -> Vec<String> {
        let draft = Draft::decode(&format!("vmatic-network 1\n{text}\n")).unwrap();
        of(&Network::new(draft, 4, 1000).unwrap(), all_in_qemu).into_iter().map(|(message, _)| message).collect()
    }

    #[test]
    fn what_hosts_can_run_is_not_refused() {
        for text in [
            "routing static\nline a[1-5]",
            "star a[1-16]",
            "link a[1-40] s each=all\nnodes s kind=switch",
            "numbering prefix\nrouting static\nport0 none\ntree t[1-4000] arity=10",
        ] {
            assert_eq!(limits(text, false), Vec::<String>::new(), "{text}");
        }
    }

    #[test]
    fn each_limit_is_told_once_and_at_it_nothing_is() {
        for (text, qemu, said) in [
            ("line a[1-5]", true, "QEMU get no links"),
            ("numbering pairs\nline a[1-5]", false, "\"pairs\""),
            ("star a[1-17]", false, "16 links"),
            ("link a b\nnodes b kind=winxp", false, "winxp"),
            ("routing static\ngrid a[1-2002] size=2x1001", false, "2001 routes"),
        ] {
            let found = limits(text, qemu);
            assert!(found.len() == 1 && found[0].contains(said), "{text}: {found:?}");
        }
    }
}
