//! Checks that need more than one key: the plan as a whole, and what only vmatic-plan can judge. A
//! mistake is shown at the key that it is about.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use ed25519_dalek::SigningKey;
use vmatic_plan::host_table::TableError;
use vmatic_plan::{HostNames, Ipv4Net, PlanErrorKind, PlanField, defaults};

use super::data::{PlanSpec, Spec};
use super::diagnose::{Files, Problems, SpecText};
use super::draft::Draft;
use super::table::Located;
use super::table_of_hosts;
use crate::hosts::show;

/// Where the plan's fields stand in the text, by the plan's fields.
pub struct Names {
    places: HashMap<PlanField, Range<usize>>,
}

impl Names {
    /// The places in a draft.
    pub fn of(draft: &Draft) -> Names {
        let texts = [
            (PlanField::Name, &draft.name),
            (PlanField::Hosts, &draft.plan.hosts),
            (PlanField::GuestNetwork, &draft.plan.guest_network),
        ];
        let numbers = [
            (PlanField::GuestsPerHost, &draft.plan.guests),
            (PlanField::Fanout, &draft.plan.fanout),
            (PlanField::Port, &draft.plan.port),
        ];
        let texts = texts.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?.span.clone())));
        let numbers = numbers.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?.span.clone())));
        let images = [
            (PlanField::GuestMemoryMib, draft.guest.memory_span()),
            (PlanField::GuestCmdline, draft.guest.cmdline_span()),
        ];
        let network = draft.plan.host_network.iter().flatten().next().map(|text| text.span.clone());
        let table = draft.plan.table.as_ref().map(|table| table.span.clone());
        let others = [
            (PlanField::HostNetwork, network.clone()),
            (PlanField::MoreHostNetworks, network),
            (PlanField::HostTable, table),
        ];
        let others = images.into_iter().chain(others).filter_map(|(name, span)| Some((name, span?)));
        Names { places: texts.chain(numbers).chain(others).collect() }
    }
}

/// The plan's part of a draft. Where a mistake stands, it is noted and the default stands in, so
/// that the rest can be checked.
pub fn plan(draft: &Draft, source: &SpecText, problems: &mut Problems) -> (Option<PlanSpec>, Files) {
    if !draft.has_name {
        problems.add(0..0, "the spec has no name", "begin with a line like name = \"laptop\"");
    }
    if !draft.has_hosts {
        let remedy = "write [plan] and below it hosts = \"dn[1-16]\", or hosts = 16";
        problems.add(0..0, "the spec does not say which hosts there are", remedy);
    }
    let hosts = draft.plan.hosts.as_ref().and_then(|text| hosts(text, source, problems));
    let mut network = |text: &Located<String>, default: Ipv4Net| -> Ipv4Net {
        if let Err(error) = text.value.parse::<Ipv4Net>() {
            let message = format!("invalid network {:?}: {error}", text.value);
            problems.add(text.span.clone(), message, format!("write an address and a prefix, e.g. \"{default}\""));
        }
        text.value.parse().unwrap_or(default)
    };
    let said = draft.plan.host_network.iter().flatten();
    let said: Vec<Ipv4Net> = said.map(|text| network(text, defaults::HOST_NETWORK)).collect();
    let guest_network = draft
        .plan
        .guest_network
        .as_ref()
        .map_or(defaults::GUEST_NETWORK, |text| network(text, defaults::GUEST_NETWORK));
    let (site, tables) = match &draft.plan.table {
        Some(table) => table_of_hosts::load(table, said.clone(), guest_network, problems),
        None => (None, Files::new()),
    };
    if let Some(text) = draft.plan.host_network.iter().flatten().nth(1).filter(|_| draft.plan.table.is_none()) {
        let remedy = "write one; or hosts = { file = \"hosts\" }, a table that says which host is where";
        problems.add(text.span.clone(), "computed hosts are in one network", remedy);
    }
    let networks = if said.is_empty() { site.as_ref().map_or(Vec::new(), |site| site.networks.clone()) } else { said };
    let host_networks = match networks.split_first() {
        Some((first, more)) => (*first, if site.is_some() { more.to_vec() } else { Vec::new() }),
        None => (defaults::HOST_NETWORK, Vec::new()),
    };
    let hosts = site.as_ref().map(|site| site.names.clone()).or(hosts);
    let Some(hosts) = hosts.or_else(|| HostNames::count(1).ok()) else { return (None, tables) };
    let number = |value: &Option<Located<i64>>, default| value.as_ref().map_or(default, |value| value.value);
    let plan = PlanSpec {
        hosts,
        site: site.map(Arc::new),
        guests: number(&draft.plan.guests, defaults::GUESTS_PER_HOST.into()) as u32,
        host_networks,
        guest_network,
        guest_reach: draft.plan.guest_reach.unwrap_or_default(),
        fanout: number(&draft.plan.fanout, defaults::FANOUT.into()) as u32,
        port: number(&draft.plan.port, defaults::PORT.into()) as u16,
    };
    (Some(plan), tables)
}

/// The hosts of a pattern or of a count.
fn hosts(text: &Located<String>, source: &SpecText, problems: &mut Problems) -> Option<HostNames> {
    let count = text.value.bytes().all(|byte| byte.is_ascii_digit()) && !text.value.is_empty();
    let parsed =
        if count { HostNames::count(text.value.parse().unwrap_or(u32::MAX)) } else { HostNames::parse(&text.value) };
    parsed
        .map_err(|error| {
            let quote = source.text.get(text.span.clone()).is_some_and(|text| text.starts_with('"'));
            let start = (text.span.start + usize::from(quote) + error.at).min(text.span.end.saturating_sub(1));
            let message = format!("invalid host pattern: {error}");
            problems.add(start..text.span.end, message, "write a pattern like \"dn[4-11,16-19]\", or a count");
        })
        .ok()
}

/// What vmatic-plan says to the plan as a whole. It names one mistake at a time: each is noted, and
/// the default takes its place.
pub fn whole(spec: &Spec, names: &Names, problems: &mut Problems) {
    // The laws do not depend on whose key it is.
    let mut plan = spec.plan(&SigningKey::from_bytes(&[0; 32]).verifying_key());
    const FIELDS: usize = 10;
    for _ in 0..FIELDS {
        let Err(error) = plan.check() else { break };
        let span = names.places.get(&error.field).cloned().unwrap_or(0..0);
        let message = format!("invalid plan: {}", said(&error.kind, spec));
        problems.add(span, message, remedy(error.field));
        match error.field {
            PlanField::Name => plan.name = "x".to_owned(),
            PlanField::GuestsPerHost => plan.guests_per_host = 0,
            PlanField::HostNetwork
            | PlanField::GuestNetwork
            | PlanField::Hosts
            | PlanField::MoreHostNetworks
            | PlanField::HostTable => {
                let Ok(one) = HostNames::count(1) else { break };
                (plan.hosts, plan.host_table, plan.more_host_networks) = (one, None, Vec::new());
                (plan.host_network, plan.guest_network) = (defaults::HOST_NETWORK, defaults::GUEST_NETWORK);
            }
            PlanField::Fanout => plan.fanout = defaults::FANOUT,
            PlanField::Port => plan.port = defaults::PORT,
            PlanField::GuestMemoryMib => plan.guest_memory_mib = defaults::GUEST_MEMORY_MIB,
            PlanField::GuestCmdline => plan.guest_cmdline.clear(),
            _ => break,
        }
    }
    if spec.host.cmdline.chars().any(char::is_control) {
        problems.add(0..0, "host.cmdline has a line end or control character", "write one line");
    }
}

/// What is wrong with a plan, with the line of the table if it is about one host of it.
fn said(kind: &PlanErrorKind, spec: &Spec) -> String {
    let (PlanErrorKind::Table(TableError::Mac { host, .. } | TableError::Address { host, .. }), Some(site)) =
        (kind, &spec.plan.site)
    else {
        return kind.to_string();
    };
    show::line_of(site, *host).map_or_else(|| kind.to_string(), |line| format!("{line}: {kind}"))
}

/// What to write where a plan's field is wrong.
fn remedy(field: PlanField) -> &'static str {
    match field {
        PlanField::Name => "use 1 to 63 letters, digits and \"-\"",
        PlanField::Hosts => "write fewer hosts in plan.hosts",
        PlanField::GuestsPerHost => "write fewer guests in plan.guests",
        PlanField::HostNetwork => "write a larger plan.host_network, or fewer hosts in plan.hosts",
        PlanField::GuestNetwork => "write a larger plan.guest_network that lies elsewhere, or fewer guests or hosts",
        PlanField::MoreHostNetworks => "write fewer and wider networks in plan.host_network",
        PlanField::HostTable => "correct the table, or write a fanout of 4 or more where it has racks",
        PlanField::Fanout => "write a number from 2 to 64",
        PlanField::Port => "write a number from 1 to 65535",
        PlanField::GuestMemoryMib => "write a number of MiB from 16 to 1048576",
        PlanField::GuestCmdline => "write one shorter line",
        _ => "`vmatic new -` shows every key",
    }
}
