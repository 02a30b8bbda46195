//! `vmatic operator list`: the certificates that the cluster's key has made.

use serde_json::json;

use crate::client::identity::now_s;
use crate::error::Result;
use crate::key::issued::{self, Issued};
use crate::key::{self};
use crate::ui::date;
use crate::ui::escape::escape_control;
use crate::ui::print::{print, print_json};
use crate::{Exit, digest::hex};

/// Show the certificates that were made, and which of them hold
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Those that are over or revoked, too
    #[arg(short, long)]
    all: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// What has become of a certificate.
fn state(one: &Issued, revoked: &[Vec<u8>], now_s: u64) -> &'static str {
    let lists = revoked.iter().filter_map(|list| vmatic_tree::auth::revocation::Revocations::unverified(list));
    let mut its = lists.filter(|list| list.cluster == one.certificate.cluster);
    match one.certificate.until_s {
        _ if its.any(|list| list.serials.contains(one.certificate.serial)) => "revoked",
        Some(until_s) if until_s < now_s => "over",
        _ => "holds",
    }
}

/// Runs the verb.
pub fn run(args: Args) -> Result<Exit> {
    let key = key::path()?;
    let revoked: Vec<Vec<u8>> = issued::revocations(&key)?.into_iter().map(|(signed, _)| signed).collect();
    let now_s = now_s();
    let all = issued::issued(&key)?.into_iter().map(|one| (state(&one, &revoked, now_s), one));
    let shown: Vec<(&str, Issued)> = all.filter(|(state, _)| args.all || *state == "holds").collect();
    match args.json {
        true => print_json(&json!({ "certificates": shown.iter().map(as_json).collect::<Vec<_>>() }))?,
        false => print(&table(&shown))?,
    }
    Ok(Exit::Ok)
}

fn as_json((state, Issued { cluster, certificate: own, .. }): &(&str, Issued)) -> serde_json::Value {
    json!({
        "serial": own.serial,
        "name": own.name,
        "cluster": cluster,
        "cluster_id": hex(&own.cluster),
        "nodes": own.nodes.to_string(),
        "verbs": own.verbs.to_string(),
        "since": date::rfc3339(own.since_s),
        "until": own.until_s.map(date::rfc3339),
        "state": state,
        "key": hex(own.key.bytes()),
        "token": own.key.is_token(),
    })
}

fn table(shown: &[(&str, Issued)]) -> String {
    let head = ["SERIAL", "NAME", "CLUSTER", "NODES", "VERBS", "UNTIL", "STATE"].map(str::to_owned);
    let rows = shown.iter().map(|(state, Issued { cluster, certificate: own, .. })| {
        let until = own.until_s.map_or("never".into(), date::minutes);
        let cluster = escape_control(cluster.as_bytes());
        [
            own.serial.to_string(),
            own.name.clone(),
            cluster,
            own.nodes.to_string(),
            own.verbs.to_string(),
            until,
            (*state).into(),
        ]
    });
    let rows: Vec<[String; 7]> = [head].into_iter().chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths: [usize; 7] = std::array::from_fn(width);
    let line = |row: &[String; 7]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}
