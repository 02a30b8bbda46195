//! Names and addresses of nodes as answers of DNS, computed by the plan: no zone, no file, nothing remembered.
//!
//! Takes a question (RFC 1035, 4); gives the datagram that answers it, for the switch to hand to a guest and for the
//! node to hand to programs of its host. A node has its name alone (`h1-g3`), and below the cluster's (`h1-g3.lab`).

use smoltcp::wire::{DnsFlags, DnsOpcode, DnsPacket, DnsQueryType, DnsQuestion, DnsRcode};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use vmatic_plan::network::NodeKind;
use vmatic_plan::{Node, Plan};

/// DNS's port.
pub const PORT: u16 = 53;
/// Longest question that is looked at: what fits without EDNS (RFC 1035, 2.3.4).
const QUESTION_BYTES_MAX: usize = 512;
/// Longest name, as text (RFC 1035, 2.3.4).
const NAME_BYTES_MAX: usize = 255;
/// How long an answer may be kept, in seconds: another image has another plan.
const TTL_S: u32 = 60;
/// Bytes of a header, and where in it flags and counts are.
const HEADER_BYTES: usize = 12;
/// Points at the name in the question (RFC 1035, 4.1.4).
const POINTER_TO_QUESTION: [u8; 2] = [0xc0, HEADER_BYTES as u8];
/// The Internet's class.
const CLASS_IN: u16 = 1;
/// Type of a record that leads from an address to a name; smoltcp has no word for it.
const PTR: u16 = 12;
const IN_ADDR: &str = ".in-addr.arpa";
const IP6: &str = ".ip6.arpa";

/// Whom else a client can ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Others {
    /// Nobody: a name that no node has is none.
    None,
    /// Other servers may know more: they are to be asked for what is no node's.
    MayKnow,
}

/// Answers a question; nothing where none is owed: an answer, or what cannot be read.
pub fn answer(question: &[u8], plan: &Plan, others: Others) -> Option<Vec<u8>> {
    if question.len() > QUESTION_BYTES_MAX {
        return None;
    }
    let packet = DnsPacket::new_checked(question).ok()?;
    if packet.flags().contains(DnsFlags::RESPONSE) {
        return None;
    }
    if packet.opcode() != DnsOpcode::Query || packet.question_count() != 1 {
        return Some(reply(&packet, &[], DnsRcode::NotImp, None));
    }
    // Of another class than the Internet's, or cut off.
    let Ok((rest, asked)) = DnsQuestion::parse(packet.payload()) else {
        return Some(reply(&packet, &[], DnsRcode::FormErr, None));
    };
    let bytes = &packet.payload()[..packet.payload().len() - rest.len()];
    let record = text_of(&packet, asked.name).and_then(|name| match u16::from(asked.type_) {
        PTR => {
            let name = name.to_ascii_lowercase();
            let in_network = || network_name_of_reverse(&name, plan).map(|name| pointer(plan, &name));
            let node = node_of_reverse(&name, plan).and_then(|node| plan.node_name(node));
            node.map(|name| pointer(plan, &name)).or_else(in_network)
        }
        // A node of the network has no other address.
        kind => network_address(&name, plan)
            .map(|address| (kind == u16::from(DnsQueryType::A)).then(|| (kind, address.octets().to_vec())))
            .or_else(|| node_of(&name, plan).map(|node| address(plan, node, asked.type_))),
    });
    let rcode = match (&record, others) {
        (Some(_), _) => DnsRcode::NoError,
        (None, Others::None) => DnsRcode::NXDomain,
        (None, Others::MayKnow) => DnsRcode::Refused,
    };
    Some(reply(&packet, bytes, rcode, record.flatten()))
}

/// A record's type and data.
type Record = (u16, Vec<u8>);

/// A name's labels, joined by points; none if it is not one of plain text.
fn text_of(packet: &DnsPacket<&[u8]>, name: &[u8]) -> Option<String> {
    let mut text = String::new();
    for label in packet.parse_name(name) {
        let label = label.ok()?;
        if !label.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'.') {
            return None;
        }
        if !text.is_empty() {
            text.push('.');
        }
        text.extend(label.iter().copied().map(char::from));
        if text.len() > NAME_BYTES_MAX {
            return None;
        }
    }
    Some(text)
}

/// The node of a name, alone or below the cluster's. Case does not matter (RFC 4343): who asks may have changed it, so
/// names are looked for as asked, and in small and in capital letters.
fn node_of(name: &str, plan: &Plan) -> Option<Node> {
    let short = below_cluster(name, plan);
    let spelled = |name: &str| {
        let guest = name.rsplit_once("-g").or_else(|| name.rsplit_once("-G"));
        let cases = |text: &str| [text.to_owned(), text.to_ascii_lowercase(), text.to_ascii_uppercase()];
        let hosts = guest.map(|(host, number)| cases(host).map(|host| format!("{host}-g{number}")));
        cases(name).into_iter().chain(hosts.into_iter().flatten()).find_map(|name| plan.node_by_name(&name))
    };
    let by_name = |name: &str| if name.contains('.') { None } else { spelled(name) };
    short.and_then(by_name).or_else(|| by_name(name))
}

/// What stands before the cluster's name.
fn below_cluster<'a>(name: &'a str, plan: &Plan) -> Option<&'a str> {
    let (short, suffix) = name.split_at_checked(name.len().checked_sub(plan.name.len())?)?;
    short.strip_suffix('.').filter(|_| suffix.eq_ignore_ascii_case(&plan.name))
}

/// Where in the plan's network a node of this name is: its nodes go before hosts and guests of the same name.
fn network_address(name: &str, plan: &Plan) -> Option<Ipv4Addr> {
    let network = plan.network()?;
    let spelled = |name: &str| {
        let cases = [name.to_owned(), name.to_ascii_lowercase(), name.to_ascii_uppercase()];
        cases.iter().find_map(|name| network.number(name))
    };
    let node = below_cluster(name, plan).and_then(spelled).or_else(|| spelled(name))?;
    // A segment is nobody.
    let has_address = network.kind(node) != NodeKind::Switch;
    network.address(plan.guest_network, node).filter(|_| has_address)
}

/// The name in the network of an address that is written backwards.
fn network_name_of_reverse(name: &str, plan: &Plan) -> Option<String> {
    let network = plan.network()?;
    network.name(network.node_by_address(plan.guest_network, ipv4_of_reverse(name.strip_suffix(IN_ADDR)?)?)?)
}

/// The address whose parts are written backwards.
fn ipv4_of_reverse(text: &str) -> Option<Ipv4Addr> {
    let mut bytes = [0; 4];
    let mut parts = text.split('.');
    for byte in bytes.iter_mut().rev() {
        *byte = parts.next()?.parse().ok()?;
    }
    parts.next().is_none().then(|| Ipv4Addr::from(bytes))
}

/// The node of an address that is written backwards (RFC 1035, 3.5; RFC 3596, 2.5).
fn node_of_reverse(name: &str, plan: &Plan) -> Option<Node> {
    if let Some(parts) = name.strip_suffix(IN_ADDR) {
        return plan.node_by_ipv4(ipv4_of_reverse(parts)?);
    }
    let mut parts = name.strip_suffix(IP6)?.split('.');
    let mut bits: u128 = 0;
    for at in 0..32 {
        let digit = parts.next().filter(|digit| digit.len() == 1)?;
        bits |= u128::from(u8::from_str_radix(digit, 16).ok()?) << (4 * at);
    }
    plan.node_by_ipv6(Ipv6Addr::from_bits(bits)).filter(|_| parts.next().is_none())
}

/// Where a node is: a guest in its network, a host in the hosts'; nothing for types that a node has no record of.
fn address(plan: &Plan, node: Node, kind: DnsQueryType) -> Option<Record> {
    let address = match kind {
        DnsQueryType::A if node.is_host() => plan.host_ipv4(node.host).map(IpAddr::V4),
        DnsQueryType::A => plan.ipv4(node).map(IpAddr::V4),
        // Hosts' own addresses of IPv6 are for who gives them; the plan's need not be there.
        DnsQueryType::Aaaa if !node.is_host() => plan.ipv6(node).map(IpAddr::V6),
        _ => None,
    };
    let data = match address? {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    Some((kind.into(), data))
}

fn pointer(plan: &Plan, name: &str) -> Option<Record> {
    let mut data = Vec::new();
    for label in name.split('.').chain([plan.name.as_str()]) {
        data.push(u8::try_from(label.len()).ok().filter(|length| *length < 64)?);
        data.extend_from_slice(label.as_bytes());
    }
    data.push(0);
    Some((PTR, data))
}

/// The datagram: the header, the question again, and the record if there is one.
fn reply(asked: &DnsPacket<&[u8]>, question: &[u8], rcode: DnsRcode, record: Option<Record>) -> Vec<u8> {
    let mut bytes = vec![0; HEADER_BYTES];
    let mut header = DnsPacket::new_unchecked(&mut bytes[..]);
    header.set_transaction_id(asked.transaction_id());
    let wanted = asked.flags() & DnsFlags::RECURSION_DESIRED;
    header.set_flags(DnsFlags::RESPONSE | DnsFlags::AUTHORITATIVE | wanted);
    header.set_opcode(asked.opcode());
    header.set_question_count(u16::from(!question.is_empty()));
    header.set_answer_record_count(u16::from(record.is_some()));
    header.set_authority_record_count(0);
    header.set_additional_record_count(0);
    // The code has the last four bits of the flags; smoltcp writes none.
    bytes[3] |= u8::from(rcode) & 0xf;
    bytes.extend_from_slice(question);
    if let Some((kind, data)) = record {
        bytes.extend_from_slice(&POINTER_TO_QUESTION);
        bytes.extend_from_slice(&kind.to_be_bytes());
        bytes.extend_from_slice(&CLASS_IN.to_be_bytes());
        bytes.extend_from_slice(&TTL_S.to_be_bytes());
        // A name or an address: far fewer than 65,536.
        bytes.extend_from_slice(&(data.len() as u16).to_be_bytes());
        bytes.extend_from_slice(&data);
    }
    bytes
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use proptest::prelude::*;
    use smoltcp::wire::{DnsRecord, DnsRecordData};
    use vmatic_plan::network::{Draft, PlannedNetwork};
    use vmatic_plan::{GuestId, HostId, HostNames};

    fn plan() -> Plan {
        Plan { guests_per_host: 4, ..Plan::new("Lab", HostNames::parse("dn[4-11]").expect("a pattern")) }
    }

    /// A question as a stub resolver puts it.
    pub fn question(name: &str, kind: u16) -> Vec<u8> {
        let mut bytes = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.').filter(|label| !label.is_empty()) {
            bytes.push(label.len() as u8);
            bytes.extend_from_slice(label.as_bytes());
        }
        bytes.push(0);
        bytes.extend_from_slice(&kind.to_be_bytes());
        bytes.extend_from_slice(&CLASS_IN.to_be_bytes());
        bytes
    }

    /// What smoltcp's own reader makes of an answer: its code, and its record.
    pub fn read(answer: &[u8]) -> (DnsRcode, Option<IpAddr>) {
        let packet = DnsPacket::new_checked(answer).unwrap();
        assert!(packet.flags().contains(DnsFlags::RESPONSE | DnsFlags::RECURSION_DESIRED));
        assert_eq!(packet.transaction_id(), 0x1234);
        let (rest, _) = DnsQuestion::parse(packet.payload()).unwrap();
        let record = (packet.answer_record_count() == 1).then(|| DnsRecord::parse(rest).unwrap().1);
        let address = record.and_then(|record| match record.data {
            DnsRecordData::A(address) => Some(IpAddr::V4(address)),
            DnsRecordData::Aaaa(address) => Some(IpAddr::V6(address)),
            _ => None,
        });
        (packet.rcode(), address)
    }

    const A: u16 = 1;
    const AAAA: u16 = 28;
    const MX: u16 = 15;

    fn ask(name: &str, kind: u16) -> (DnsRcode, Option<IpAddr>) {
        read(&answer(&question(name, kind), &plan(), Others::None).unwrap())
    }

    #[test]
    fn names_of_hosts_and_guests_lead_to_their_addresses() {
        let plan = plan();
        let guest = Node::guest(HostId(2), GuestId(3));
        let found = |address| (DnsRcode::NoError, address);
        for name in ["dn5-g3", "dn5-g3.lab", "DN5-G3.LAB"] {
            assert_eq!(ask(name, A), found(plan.ipv4(guest).map(IpAddr::V4)), "{name}");
            assert_eq!(ask(name, AAAA), found(plan.ipv6(guest).map(IpAddr::V6)), "{name}");
        }
        assert_eq!(ask("dn5", A), found(plan.host_ipv4(HostId(2)).map(IpAddr::V4)));
        assert_eq!(ask("dn5", AAAA), found(None), "a name without such a record");
        assert_eq!(ask("dn5", MX), found(None));
        for name in ["dn3", "dn5-g5", "dn5-g0", "dn5.example.org", "", "lab"] {
            assert_eq!(ask(name, A), (DnsRcode::NXDomain, None), "{name}");
            let refused = answer(&question(name, A), &plan, Others::MayKnow).unwrap();
            assert_eq!(read(&refused), (DnsRcode::Refused, None), "{name}: another server may know it");
        }
    }

    #[test]
    fn nodes_of_the_network_have_their_addresses_there() {
        let draft = Draft::decode(
            "vmatic-network 1\nlink pc1 r\nlink r s\nlink s dn5\nnodes r kind=router\nnodes s kind=switch\n",
        );
        let (network, _) = PlannedNetwork::plan(&draft.unwrap(), 8, 4).unwrap();
        let plan = Plan { network: Some(network), ..plan() };
        let ask = |name: &str, kind| read(&answer(&question(name, kind), &plan, Others::None).unwrap());
        let at = |last| (DnsRcode::NoError, Some(IpAddr::V4(Ipv4Addr::new(100, 64, 0, last))));
        assert_eq!([ask("pc1", A), ask("R.lab", A), ask("dn5", A)], [at(1), at(2), at(4)]);
        assert_eq!(ask("dn6", A).1, plan.host_ipv4(HostId(3)).map(IpAddr::V4), "hosts have theirs");
        assert_eq!(ask("pc1", AAAA), (DnsRcode::NoError, None));
        assert_eq!(ask("s", A), (DnsRcode::NXDomain, None), "a segment is nobody");
        let back = answer(&question("2.0.64.100.in-addr.arpa", PTR), &plan, Others::None).unwrap();
        assert!(back.ends_with(b"\x01r\x03Lab\0"), "{back:?}");
        assert_eq!(ask("9.0.64.100.in-addr.arpa", PTR).0, DnsRcode::NXDomain);
    }

    #[test]
    fn capitals_do_not_matter() {
        let plan = Plan { guests_per_host: 4, ..Plan::new("Lab", HostNames::parse("DN[4-11]").expect("a pattern")) };
        for name in ["DN5-g3", "dn5-g3", "DN5-G3", "dn5-g3.lab", "DN5-G3.LAB"] {
            let found = read(&answer(&question(name, A), &plan, Others::None).unwrap());
            assert_eq!(found.1, plan.ipv4(Node::guest(HostId(2), GuestId(3))).map(IpAddr::V4), "{name}");
        }
    }

    #[test]
    fn addresses_lead_to_names() {
        let plan = plan();
        let name_at_the_end = |name: &str| {
            let answer = answer(&question(name, PTR), &plan, Others::None).unwrap();
            let found = DnsPacket::new_checked(&answer[..]).unwrap().rcode() == DnsRcode::NoError;
            found.then(|| String::from_utf8_lossy(&answer[answer.len() - 12..]).into_owned())
        };
        let guest = Node::guest(HostId(2), GuestId(3));
        let [a, b, c, d] = plan.ipv4(guest).unwrap().octets();
        let want = Some("\u{6}dn5-g3\u{3}Lab\0".to_owned());
        assert_eq!(name_at_the_end(&format!("{d}.{c}.{b}.{a}.in-addr.arpa")), want);
        let digits: Vec<String> = plan
            .ipv6(guest)
            .unwrap()
            .octets()
            .map(|byte| format!("{byte:02x}"))
            .concat()
            .chars()
            .rev()
            .map(String::from)
            .collect();
        assert_eq!(name_at_the_end(&format!("{}.ip6.arpa", digits.join("."))), want);
        for name in ["1.2.3.4.in-addr.arpa", "4.in-addr.arpa", "1.1.0.10.1.in-addr.arpa", "x.ip6.arpa", "in-addr.arpa"]
        {
            assert_eq!(name_at_the_end(name), None, "{name}");
        }
    }

    #[test]
    fn what_is_no_question_of_ours_gets_no_more_than_a_word() {
        let sound = question("dn5", A);
        let with = |at: usize, byte: u8| {
            let mut bytes = sound.clone();
            bytes[at] = byte;
            answer(&bytes, &plan(), Others::None)
        };
        assert_eq!(with(2, 0x80), None, "an answer");
        assert_eq!(with(5, 0).map(|answer| answer[3]), Some(4), "no question");
        assert_eq!(with(2, 0x28).map(|answer| answer[3]), Some(4), "an update");
        assert_eq!(with(12, 0x2e).map(|answer| answer[3]), Some(1), "a label that ends beyond the datagram");
        assert_eq!(with(sound.len() - 1, 3).map(|answer| answer[3]), Some(1), "CHAOS");
        let refused = |name: &str| read(&answer(&question(name, A), &plan(), Others::None).unwrap()).0;
        assert_eq!([refused("caf\u{e9}"), refused("a b")], [DnsRcode::NXDomain; 2], "at once, and not after a timeout");
        assert_eq!(answer(&[0; 600], &plan(), Others::None), None);
        // EDNS asks for no more than is there (RFC 6891, 7).
        let edns = [&sound[..], &[0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]].concat();
        assert_eq!(read(&answer(&edns, &plan(), Others::None).unwrap()).0, DnsRcode::NoError);
    }

    proptest! {
        #[test]
        fn no_datagram_panics_and_answers_are_short(
            bytes in prop::collection::vec(any::<u8>(), 0..600), name in "[a-z0-9.-]{0,80}", cut in 0usize..100,
        ) {
            let sound = question(&name.split('.').map(|label| &label[..label.len().min(63)]).collect::<Vec<_>>().join("."), A);
            for bytes in [&bytes[..], &sound, &sound[..cut.min(sound.len())]] {
                let answer = answer(bytes, &plan(), Others::None);
                prop_assert!(answer.is_none_or(|answer| answer.len() <= bytes.len() + 300));
            }
        }
    }
}
