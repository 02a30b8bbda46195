//! What travels comes out as it went in: every variant of what nodes say of themselves, and of why they refuse.

use super::*;
use crate::answer::{Outcome, Output};
use crate::guest::{ExitReason, GuestExit, GuestStats, GuestUsage, NoGuests, StartMode, Usage};
use crate::info::{KvmSupport, LostGuest, NodeInfo};
use crate::refusal::CommandError;
use crate::reply::Reply;
use crate::text::ShortText;
use crate::traffic::{DropReason, Frames, Piece, PortCounters, PortStatus, Ports};
use crate::twins::{Twins, Whereabouts};
use crate::unknown::MachineId;
use crate::unreachable::{LinkEnd, Peer, Unreachable};
use crate::wire::frame::{FrameReader, encode};
use crate::wire::guest_ports::GuestRoute;
use alloc::vec;
use core::net::IpAddr;
use proptest::collection::vec;
use proptest::prelude::*;
use vmatic_plan::{GuestReach, LinkProperties, RangeSet};

fn text() -> impl Strategy<Value = ShortText> {
    "\\PC{0,200}".prop_map(ShortText::new)
}

fn guest_id() -> impl Strategy<Value = GuestId> {
    any::<u32>().prop_map(GuestId)
}

fn host_id() -> impl Strategy<Value = HostId> {
    any::<u32>().prop_map(HostId)
}

fn nodes() -> impl Strategy<Value = NodeSet> {
    let product = (1u32..50, 0u32..9, 0u32..50, 0u32..9);
    vec(product, 0..5).prop_map(|products| {
        products.into_iter().fold(NodeSet::new(), |all, (host, more, guest, guests)| {
            let hosts = RangeSet::span(host, host + more);
            all.union(&NodeSet::product(&hosts, &RangeSet::span(guest, guest + guests)))
        })
    })
}

fn exit() -> impl Strategy<Value = GuestExit> {
    let reason = prop_oneof![
        Just(ExitReason::Shutdown),
        any::<i32>().prop_map(ExitReason::Status),
        any::<i32>().prop_map(ExitReason::Signal),
        Just(ExitReason::Silent),
        any::<u32>().prop_map(|within_s| ExitReason::NoReport { within_s }),
        text().prop_map(ExitReason::NotStarted),
        Just(ExitReason::Operator),
        text().prop_map(ExitReason::Monitor),
    ];
    let console = proptest::option::of(text());
    (reason, any::<bool>(), console).prop_map(|(reason, was_up, console)| GuestExit { reason, was_up, console })
}

fn start_mode() -> impl Strategy<Value = StartMode> {
    prop_oneof![
        Just(StartMode::Clone),
        text().prop_map(|no_template| StartMode::Cold { no_template }),
        (text(), any::<bool>()).prop_map(|(kind, emulated)| StartMode::Qemu { kind, emulated }),
    ]
}

fn guest_state() -> impl Strategy<Value = GuestState> {
    prop_oneof![
        Just(GuestState::Up),
        Just(GuestState::Unmanaged),
        Just(GuestState::WaitingForTemplate),
        text().prop_map(|kind| GuestState::WaitingForSnapshot { kind }),
        Just(GuestState::Queued),
        any::<(u32, u32)>().prop_map(|(needs_mib, keeps_mib)| GuestState::WaitingForMemory { needs_mib, keeps_mib }),
        Just(GuestState::WaitingForPressure),
        start_mode().prop_map(GuestState::Starting),
        (any::<u32>(), exit()).prop_map(|(retry_in_s, cause)| GuestState::BackingOff { retry_in_s, cause }),
        Just(GuestState::Paused),
        Just(GuestState::Stopped),
        exit().prop_map(GuestState::Ended),
        text().prop_map(|why| GuestState::Disabled(NoGuests::NoKvm(why))),
        text().prop_map(|file| GuestState::Disabled(NoGuests::NoFile(file))),
        Just(GuestState::Other),
    ]
}

fn stats() -> impl Strategy<Value = GuestStats> {
    any::<[u64; 8]>().prop_map(|[cloned, cold, qemu, restored, lost, failed, templates_booted, templates_restored]| {
        GuestStats { cloned, cold, qemu, restored, lost, failed, templates_booted, templates_restored }
    })
}

fn info() -> impl Strategy<Value = NodeInfo> {
    let kvm = prop_oneof![Just(KvmSupport::None), Just(KvmSupport::Bare), Just(KvmSupport::Linux)];
    let lost = proptest::option::of((guest_id(), exit()).prop_map(|(guest, exit)| LostGuest { guest, exit }));
    let reach = proptest::sample::select(GuestReach::ALL.to_vec());
    (text(), kvm, any::<(u32, u32, u16)>(), any::<[u64; 3]>(), stats(), reach, lost).prop_map(
        |(kernel, kvm, (guests_up, guests_planned, protocol), memory, stats, guest_reach, last_lost)| {
            let [memory_mib, memory_used_mib, memory_used_at_boot_mib] = memory;
            NodeInfo {
                kernel,
                kvm,
                guests_up,
                guests_planned,
                memory_mib,
                memory_used_mib,
                memory_used_at_boot_mib,
                stats,
                guest_reach,
                last_lost,
                protocol,
            }
        },
    )
}

fn link() -> impl Strategy<Value = LinkProperties> {
    any::<[u64; 3]>().prop_map(|[rate_bits_s, delay_us, loss_ppm]| LinkProperties { rate_bits_s, delay_us, loss_ppm })
}

fn port() -> impl Strategy<Value = PortStatus> {
    let frames = || any::<(u64, u64)>().prop_map(|(count, bytes)| Frames { count, bytes });
    let counters = (frames(), frames(), any::<[u64; DropReason::ALL.len()]>())
        .prop_map(|(sent, received, dropped)| PortCounters { sent, received, dropped });
    (guest_id(), link(), counters).prop_map(|(guest, link, counters)| PortStatus { guest, link, counters })
}

fn usage() -> impl Strategy<Value = Usage> {
    let each = (guest_id(), any::<(u64, u64)>()).prop_map(|(guest, (ram_kib, monitor_kib))| GuestUsage {
        guest,
        ram_kib,
        monitor_kib,
    });
    (any::<u32>(), any::<[u64; 3]>(), vec(each, 0..20)).prop_map(|(guests, kib, each)| {
        let [ram_kib, monitor_kib, host_kernel_kib] = kib;
        Usage { guests, ram_kib, monitor_kib, host_kernel_kib, each }
    })
}

fn reply() -> impl Strategy<Value = Reply> {
    prop_oneof![
        info().prop_map(Reply::Info),
        usage().prop_map(Reply::Usage),
        (vec(port(), 0..20), any::<bool>()).prop_map(|(ports, truncated)| Reply::Ports(Ports { ports, truncated })),
        (any::<Vec<u8>>(), any::<u64>()).prop_map(|(bytes, dropped)| Reply::Piece(Piece { bytes, dropped })),
        link().prop_map(Reply::Link),
        twins().prop_map(Reply::Twins),
        any::<Option<[u8; 32]>>().prop_map(Reply::Image),
        vec(unknown(), 0..4).prop_map(Reply::Unknown),
        (host_id(), any::<IpAddr>(), any::<Ipv4Addr>()).prop_map(|(host, at, planned)| Reply::Misplaced(Misplaced {
            host,
            at,
            planned
        })),
    ]
}

fn unknown() -> impl Strategy<Value = UnknownMachine> {
    let macs = vec(any::<[u8; 6]>().prop_map(Mac), 0..5);
    (any::<[u8; 16]>(), macs, vec(any::<IpAddr>(), 0..5), [text(), text(), text(), text()]).prop_map(
        |(id, macs, addresses, [serial, uuid, product, dhcp_name])| {
            let id = MachineId(id);
            UnknownMachine { id, macs, addresses, serial, uuid, product, dhcp_name }
        },
    )
}

fn twins() -> impl Strategy<Value = Twins> {
    let place = || {
        prop_oneof![
            any::<IpAddr>().prop_map(Whereabouts::Address),
            host_id().prop_map(Whereabouts::Below),
            Just(Whereabouts::Unknown)
        ]
    };
    (host_id(), place(), place()).prop_map(|(host, first, second)| Twins { host, first, second })
}

fn unreachable() -> impl Strategy<Value = Unreachable> {
    let peer = prop_oneof![
        proptest::option::of(host_id()).prop_map(Peer::Parent),
        host_id().prop_map(Peer::Host),
        guest_id().prop_map(Peer::Guest),
        Just(Peer::Console),
        Just(Peer::Tree),
        Just(Peer::Unknown),
    ];
    let end = proptest::sample::select(
        [LinkEnd::Lost, LinkEnd::Refused, LinkEnd::Replaced, LinkEnd::NoHello, LinkEnd::Silent].as_slice(),
    );
    prop_oneof![
        guest_state().prop_map(Unreachable::Guest),
        Just(Unreachable::Unmanaged),
        Just(Unreachable::NotReported),
        Just(Unreachable::NotJoined),
        any::<u32>().prop_map(|ago_s| Unreachable::Lost { ago_s }),
        any::<[u8; 16]>().prop_map(|cluster| Unreachable::OtherCluster { cluster }),
        (peer, end).prop_map(|(peer, end)| Unreachable::Link(peer, end)),
        Just(Unreachable::TimedOut),
        Just(Unreachable::Interrupted),
    ]
}

fn group() -> impl Strategy<Value = Group> {
    let outcome = prop_oneof![
        any::<i32>().prop_map(Outcome::Exit),
        any::<i32>().prop_map(Outcome::Signal),
        any::<String>().prop_map(Outcome::Failed),
        Just(Outcome::TimedOut),
        unreachable().prop_map(Outcome::Unreachable),
        reply().prop_map(Outcome::Done),
    ];
    let output =
        any::<(Vec<u8>, Vec<u8>, bool)>().prop_map(|(stdout, stderr, truncated)| Output { stdout, stderr, truncated });
    (outcome, output, nodes()).prop_map(|(outcome, output, nodes)| Group { outcome, output, nodes })
}

fn refusal() -> impl Strategy<Value = Refusal> {
    prop_oneof![
        (host_id(), any::<u16>()).prop_map(|(host, version)| Refusal::Version { host, version }),
        Just(Refusal::TooManyLinks),
        Just(Refusal::UnexpectedMessage),
        Just(Refusal::NotANeighbour),
        (host_id(), host_id()).prop_map(|(host, below)| Refusal::CannotJoin { host, below }),
        (host_id(), any::<Option<IpAddr>>()).prop_map(|(host, at)| Refusal::NumberTaken { host, at }),
        any::<[[u8; 16]; 2]>().prop_map(|[own, tree]| Refusal::OtherCluster { own, tree }),
        (host_id(), host_id()).prop_map(|(host, below)| Refusal::Loop { host, below }),
        Just(Refusal::HasParent),
        Just(Refusal::Command(CommandError::CutShort)),
        Just(Refusal::Command(CommandError::WrongKey)),
        Just(Refusal::Command(CommandError::WrongCluster)),
        text().prop_map(|why| Refusal::Command(CommandError::NotUnderstood(why))),
        text().prop_map(|why| Refusal::Command(CommandError::BeyondLimit(why))),
        text().prop_map(|why| Refusal::Command(CommandError::Expired(why))),
        text().prop_map(|why| Refusal::Command(CommandError::WrongCertificate(why))),
    ]
}

fn travel(message: &Message) -> Message {
    let mut reader = FrameReader::new();
    reader.push(&encode(message).unwrap());
    reader.next_message().unwrap().unwrap()
}

proptest! {
    #[test]
    fn states_of_guests_arrive_as_they_were_reported(
        up in nodes(),
        down in vec((guest_state(), nodes()), 0..9),
        twins in vec(twins(), 0..9),
    ) {
        let report = Message::Report(Report { up, down, twins });
        prop_assert_eq!(travel(&report), report);
    }

    #[test]
    fn answers_arrive_as_they_were_given(session: [u8; 8], sequence: u64, groups in vec(group(), 0..9)) {
        let answers = Message::Answers { op: OpId { session, sequence }, groups };
        prop_assert_eq!(travel(&answers), answers);
    }

    #[test]
    fn machines_without_a_number_arrive_as_they_were_seen(seen in vec((host_id(), unknown()), 0..5)) {
        let seen = seen.into_iter().map(|(by, machine)| SeenMachine { by, machine }).collect();
        let message = Message::Unknowns(seen);
        prop_assert_eq!(travel(&message), message);
    }

    #[test]
    fn refusals_arrive_with_their_reason(why in refusal()) {
        prop_assert_eq!(travel(&Message::Refuse(why.clone())), Message::Refuse(why));
    }

    // Batches of answers are cut by this size: what is longer than it says would not fit its message.
    #[test]
    fn a_group_is_never_longer_than_it_says(group in group()) {
        prop_assert!(postcard::to_allocvec(&group).unwrap().len() <= group.size());
    }

    // What a number's type is called is not seen on the wire: the protocol stays as it was.
    #[test]
    fn numbers_of_hosts_and_guests_travel_as_plain_numbers(host: u32, guest: u32) {
        let bytes = |message: &Message| postcard::to_allocvec(message).unwrap();
        let hello = Message::Hello { version: 1, who: PeerRole::Guest(GuestId(guest)), boot: [7; 16] };
        prop_assert_eq!(bytes(&hello), postcard::to_allocvec(&(0u8, 1u16, 1u8, guest, [7u8; 16])).unwrap());
        let welcome = Message::Welcome { host: HostId(host), plan: "p".into(), path: vec![HostId(host)] };
        prop_assert_eq!(bytes(&welcome), postcard::to_allocvec(&(1u8, host, "p", [1u8], host)).unwrap());
        let node = Node::guest(HostId(host), GuestId(guest));
        prop_assert_eq!(postcard::to_allocvec(&node).unwrap(), postcard::to_allocvec(&(host, guest)).unwrap());
    }
}

/// A message of a later kind is skipped by its number, so the number of kinds must be what it says.
#[test]
fn there_are_as_many_kinds_of_messages_as_it_says() {
    let last = Message::Written { op: OpId { session: [9; 8], sequence: 1 }, pieces: vec![] };
    assert_eq!(postcard::to_allocvec(&last).unwrap(), [KINDS - 1, 9, 9, 9, 9, 9, 9, 9, 9, 1, 0]);
    let unknown = [&[KINDS][..], &[0; 64]].concat();
    assert!(postcard::take_from_bytes::<Message>(&unknown).is_err());
}

fn ports(cards: usize, routes: usize) -> GuestPorts {
    let route = GuestRoute { to: ([100, 64, 0, 0].into(), 10), via: Some([100, 64, 0, 2].into()), port: 1 };
    let address = [100, 64, 0, 1].into();
    GuestPorts { address, forwards: true, cards: vec![(Mac([6; 6]), 1450); cards], routes: vec![route; routes] }
}

/// At the limits, and one past each.
#[test]
fn a_guest_is_told_of_as_many_ports_and_routes_as_it_can_have() {
    let most = Message::Ports(ports(16, 2000));
    assert_eq!(travel(&most), most);
    for (cards, routes) in [(17, 0), (0, 2001)] {
        let bytes = postcard::to_allocvec(&Message::Ports(ports(cards, routes))).unwrap();
        assert!(postcard::from_bytes::<Message>(&bytes).is_err());
    }
}
