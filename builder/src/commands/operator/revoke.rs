//! `vmatic operator revoke`: takes certificates back.

use std::time::Duration;

use vmatic_plan::RangeSet;
use vmatic_tree::auth::certificate::Certificate;
use vmatic_tree::wire::order::Order;

use crate::Exit;
use crate::client::identity::now_s;
use crate::client::report;
use crate::commands::cluster::seconds;
use crate::commands::operator::cluster::{Cluster, Of};
use crate::error::{Error, Kind, Result};
use crate::key::certificates;
use crate::key::issued::{self, Register};
use crate::ui::print::print_json;
use crate::ui::{interrupt, say};

/// Take certificates back, and end what runs for them
///
/// Written down first, then told to all hosts, and told anew to the host that one attaches to with the cluster's own
/// key. Hosts tell others that join later. A host that does not answer now, and is reached by an operator before it has
/// joined the others again, knows nothing of it: where that matters, make certificates that end soon (--until).
#[derive(clap::Args, Debug)]
pub struct Args {
    /// A name (all certificates of it) or a serial
    #[arg(value_name = "NAME|SERIAL", required_unless_present = "all", conflicts_with = "all")]
    which: Option<String>,
    /// All that were ever made for this cluster, also where what was made is not known any more
    #[arg(long)]
    all: bool,
    /// How long to wait for answers
    #[arg(short, long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    timeout: Duration,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    of: Of,
}

/// Runs the verb.
pub fn run(args: Args) -> Result<Exit> {
    let Cluster { plan, key, console } =
        args.of.cluster("revoke certificates").map_err(|error| match args.of.spec {
            None if error.help_text().is_some_and(|help| help.contains("cluster runs")) => error.help(
                "where no host answers, --spec SPEC revokes all the same: hosts hear of it with the next command",
            ),
            _ => error,
        })?;
    let path = key.path().to_owned();
    let issued = issued::issued(&path)?.into_iter().map(|one| one.certificate);
    let issued: Vec<Certificate> = issued.filter(|one| one.cluster == plan.cluster).collect();
    let serials = match &args.which {
        Some(which) => serials(which, &issued)?,
        None => RangeSet::span(0, issued.iter().map(|one| one.serial).max().unwrap_or(0).max(issued::by_time(now_s()))),
    };
    let register = Register::open(&path)?;
    let list = register.revoke(plan.cluster, &serials, now_s(), |message| Ok(key.sign(message)?.signature))?;
    for name in issued.iter().filter(|one| serials.contains(one.serial)).map(|one| &one.name) {
        if issued.iter().filter(|one| one.name == *name).all(|one| serials.contains(one.serial)) {
            certificates::replace(&register.file(name, "cert"), &plan.cluster, None)?;
        }
    }
    say::line(format!(
        "revoked for {}: {}",
        plan.name,
        if args.all { "all".into() } else { format!("certificates {serials}") }
    ));
    let Some(mut console) = console else {
        say::note("hosts hear of it with the next command of the cluster's own key");
        return Ok(Exit::Ok);
    };
    interrupt::watch();
    let hosts = console.nodes(".")?;
    let answered = console.ask(&hosts, Order::Revoke(list), args.timeout, |_, _| {})?;
    match args.json {
        true => print_json(&report::as_json(&answered))?,
        false => report::answers(&answered)?,
    }
    Ok(answered.tally().exit())
}

/// The serials that a word names: all certificates of a name, or one by its number.
fn serials(which: &str, issued: &[Certificate]) -> Result<RangeSet> {
    let of_name = issued.iter().filter(|one| one.name == which).map(|one| (one.serial, one.serial)).collect();
    let of_name = RangeSet::from_ranges(of_name);
    let serial = which.parse::<u32>().ok().map(RangeSet::one);
    Some(of_name).filter(|serials| !serials.is_empty()).or(serial).ok_or_else(|| {
        Error::new(format!("cannot revoke {which}"))
            .because("no certificate of this cluster has that name")
            .help("`vmatic operator list --all` shows names and serials")
            .of_kind(Kind::Usage)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::certificates::tests::held;

    #[test]
    fn a_name_is_all_its_certificates_and_a_number_is_one() {
        let of = |name: &str, serial| Certificate { name: name.into(), serial, ..held(1, 1).certificate };
        let issued = [of("alice", 3), of("bob", 4), of("alice", 9), of("7", 12)];
        let ranges = |which| serials(which, &issued).map(|set| set.ranges().to_vec()).unwrap_or_default();
        assert_eq!(ranges("alice"), [(3, 3), (9, 9)]);
        assert_eq!([ranges("4"), ranges("1000"), ranges("7")], [[(4, 4)], [(1000, 1000)], [(12, 12)]]);
        assert!(serials("carol", &issued).unwrap_err().help_text().is_some());
    }
}
