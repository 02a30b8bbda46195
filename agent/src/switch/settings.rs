//! How links were set, kept for the next switch: the lines of the image first, then what the operator set since.
//!
//! A line is what `vmatic link set` sends, `GUESTS PROPERTIES`, such as `1-100 rate=10mbit delay=20ms`; in the image
//! `#` begins a comment. Links of the plan's network, by number of node and port, have lines of their own: `3:1 state
//! down` and `3:1 link delay=20ms/5ms`.

use super::forward::Switch;
use super::protocol;
use super::shaper::Link;
use crate::error::{Context, Error};
use crate::log::log;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use vmatic_plan::network;
use vmatic_plan::{GuestId, RangeSet};
use vmatic_tree::wire::order::{PortAction, PortOrder};

/// Links as the host's image has them.
const IN_IMAGE: &str = vmatic_plan::host_image::LINKS;
/// Links as the operator set them since the host booted.
const SET: &str = "/run/vmatic/links";
/// Links of the network as the operator made them since the host booted.
const PORTS_SET: &str = "/run/vmatic/ports";
/// Words for what of a link was set.
const STATE: &str = "state";
const LINK: &str = "link";
/// Most bytes of either.
const BYTES_MAX: u64 = 1 << 20;

/// Sets the links of a switch that begins.
pub fn apply(switch: &mut Switch) {
    for path in [IN_IMAGE, SET] {
        match read(Path::new(path)) {
            Ok(text) => {
                for (number, why) in apply_lines(&text, switch) {
                    log(&format!("switch: {path}:{number}: {why}; line ignored"));
                }
            }
            Err(e) => log(&format!("switch: {e}")),
        }
    }
}

/// Gives the numbers of the lines that say nothing, and why.
fn apply_lines(text: &str, switch: &mut Switch) -> Vec<(usize, String)> {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    let lines = (1..).zip(lines).filter(|(_, line)| !line.is_empty());
    let set = |line: &str, switch: &mut Switch| {
        let (guests, link) = protocol::read_link(line, switch.rules().plan().guests_per_host)?;
        guests.iter().map(GuestId).for_each(|guest| switch.set_link(guest, link));
        Ok::<(), String>(())
    };
    lines.filter_map(|(number, line)| set(line, switch).err().map(|why| (number, why))).collect()
}

/// Keeps how links were set, for switches to come; `all` says that these are all guests of the host.
pub fn remember(guests: &RangeSet, all: bool, link: Link) -> Result<(), Error> {
    let guests = if all { ".".to_string() } else { guests.to_string() };
    remember_in(Path::new(SET), &guests, &link.to_string())
}

/// Keeps what was made of a link of the network, for switches to come.
pub fn remember_port(order: &PortOrder) -> Result<(), Error> {
    line_of(order).map_or(Ok(()), |(key, value)| remember_in(Path::new(PORTS_SET), &key, &value))
}

/// What of a link is set, and how; nothing where nothing is.
fn line_of(order: &PortOrder) -> Option<(String, String)> {
    let PortOrder { node, port, action } = order;
    let (what, value) = match action {
        PortAction::Show => return None,
        PortAction::Up(up) => (STATE, if *up { "up" } else { "down" }.to_string()),
        PortAction::Set(there, back) => (LINK, network::words(there, back).join(" ")),
    };
    Some((format!("{node}:{port} {what}"), value))
}

/// What a line says; the inverse of [`line_of`].
fn order_of(line: &str) -> Option<PortOrder> {
    let (end, rest) = line.split_once(' ')?;
    let (node, port) = end.split_once(':')?;
    let (what, value) = rest.split_once(' ').unwrap_or((rest, ""));
    let action = match (what, value) {
        (STATE, "up") => PortAction::Up(true),
        (STATE, "down") => PortAction::Up(false),
        (LINK, words) => network::properties(words).ok().map(|(there, back)| PortAction::Set(there, back))?,
        _ => return None,
    };
    Some(PortOrder { node: node.parse().ok()?, port: port.parse().ok()?, action })
}

/// Has a network that begins take what was made of its links.
pub fn apply_ports(mut take: impl FnMut(&PortOrder) -> Result<(), String>) {
    match read(Path::new(PORTS_SET)) {
        Ok(text) => {
            for (number, line) in (1..).zip(text.lines()) {
                let taken = order_of(line).ok_or_else(|| "that is no link".to_string()).and_then(|order| take(&order));
                if let Err(why) = taken {
                    log(&format!("switch: {PORTS_SET}:{number}: {why}; line ignored"));
                }
            }
        }
        Err(e) => log(&format!("switch: {e}")),
    }
}

fn remember_in(path: &Path, guests: &str, properties: &str) -> Result<(), Error> {
    let tried = || format!("keep the link in {}: it is lost when the switch restarts", path.display());
    let mut options = File::options();
    options.write(true).create(true).truncate(true);
    // Two operators may set links at a time.
    let lock = options.open(path.with_extension("lock")).with_context(tried)?;
    lock.lock().with_context(tried)?;
    let text = with(&read(path)?, guests, properties);
    if text.len() as u64 > BYTES_MAX {
        return Err("too many different sets of guests have links of their own").with_context(tried);
    }
    // Beside it first: a part would be another setting, and who writes here may be ended with its node at any time.
    let part = path.with_extension("part");
    fs::write(&part, text).and_then(|()| fs::rename(&part, path)).with_context(tried)
}

/// The lines with one more; an older one for the same guests, or the same of a link, goes.
fn with(text: &str, guests: &str, properties: &str) -> String {
    let same = |line: &str| line.strip_prefix(guests).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '));
    let others = text.lines().filter(|line| guests != "." && !same(line));
    others.chain([format!("{guests} {properties}").as_str()]).map(|line| format!("{line}\n")).collect()
}

fn read(path: &Path) -> Result<String, Error> {
    let tried = || format!("read {}", path.display());
    let mut text = String::new();
    match File::open(path) {
        Ok(file) => file.take(BYTES_MAX).read_to_string(&mut text).with_context(tried)?,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => 0,
        Err(e) => return Err(e).with_context(tried),
    };
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::super::policy::Rules;
    use super::*;
    use proptest::prelude::*;
    use vmatic_plan::{HostId, HostNames, Plan};

    fn switch() -> Switch {
        let plan = Plan { guests_per_host: 9, ..Plan::new("t", HostNames::count(3).unwrap()) };
        let mut switch = Switch::new(Rules::new(plan, HostId(2)).unwrap());
        (1..=3).map(GuestId).for_each(|guest| switch.plug(guest));
        switch
    }

    fn links(switch: &Switch) -> Vec<String> {
        (1..=3).map(|guest| switch.describe(GuestId(guest)).unwrap().0.to_string()).collect()
    }

    #[test]
    fn a_switch_that_begins_has_the_links_of_the_last() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("links");
        for (guests, properties) in [("1-2", "delay=1ms"), ("3", "loss=1%"), ("1-2", "delay=2ms"), ("2", "ideal")] {
            remember_in(&path, guests, properties).unwrap();
        }
        let text = read(&path).unwrap();
        assert_eq!(text, "3 loss=1%\n1-2 delay=2ms\n2 ideal\n");
        let mut switch = switch();
        assert_eq!(apply_lines(&text, &mut switch), []);
        assert_eq!(links(&switch), ["delay=2000us", "ideal", "loss=1.0000%"]);
        remember_in(&path, ".", "rate=1mbit").unwrap();
        assert_eq!(
            read(&path).unwrap(),
            ". rate=1mbit\n",
            "what holds for all replaces everything, and leaves no tail"
        );
        assert_eq!(read(&folder.path().join("none")).unwrap(), "");
    }

    #[test]
    fn a_wrong_line_is_said_with_its_number_and_the_others_hold() {
        let mut switch = switch();
        let wrong = apply_lines("# slow\n1 delay=1ms # one\n\n12 delay=1ms\n2 speed=3\n3\n", &mut switch);
        let numbers: Vec<usize> = wrong.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, [4, 5, 6], "{wrong:?}");
        assert_eq!(links(&switch)[0], "delay=1000us");
    }

    #[test]
    fn what_was_made_of_a_networks_links_is_read_back_and_the_last_counts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ports");
        let (there, back) = network::properties("rate=16mbit/1mbit delay=20ms queue=50ms").unwrap();
        let order = |node, action| PortOrder { node, port: 1, action };
        let orders = [
            order(3, PortAction::Up(false)),
            order(3, PortAction::Set(there, back)),
            order(31, PortAction::Up(false)),
            order(3, PortAction::Up(true)),
            order(4, PortAction::Set(Default::default(), Default::default())),
        ];
        for order in &orders {
            let (key, value) = line_of(order).unwrap();
            assert_eq!(order_of(&format!("{key} {value}")), Some(*order));
            remember_in(&path, &key, &value).unwrap();
        }
        let text = read(&path).unwrap();
        let want = "3:1 link rate=16mbit/1mbit delay=20ms queue=50ms\n31:1 state down\n3:1 state up\n4:1 link \n";
        assert_eq!(text, want);
        assert_eq!(line_of(&order(1, PortAction::Show)), None);
        for wrong in ["", "3:1", "3:1 state", "3:1 state x", "3 state up", "3:1 link speed=1", "x:1 state up"] {
            assert_eq!(order_of(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn no_line_of_a_port_panics(text in "\\PC{0,40}|[0-9]{0,3}:[0-9]{0,2} (state|link) [a-z0-9=/%]{0,12}") {
            let _ = order_of(&text);
        }

        #[test]
        fn no_file_panics(text in "([0-9.,#-]{0,4} ?(rate=|delay=|loss=)?[0-9a-z%]{0,5}\n?){0,20}") {
            let _ = apply_lines(&text, &mut switch());
        }
    }
}
