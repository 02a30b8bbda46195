//! `vmatic test`: runs the checks of a spec's network on the cluster that was booted from it.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;
use vmatic_tree::answer::OUTPUT_MAX_BYTES;
use vmatic_tree::wire::order::{Order, Run};

use super::probes::{Findings, Law, milliseconds};
use crate::Exit;
use crate::client::cluster::ClusterArgs;
use crate::client::operation::Console;
use crate::commands::cluster::seconds;
use crate::error::{Error, Kind, Result};
use crate::network::checks::Check;
use crate::ui::print::{print, print_json};
use crate::ui::{interrupt, say};

/// Run the checks of a spec's network on its cluster
///
/// A line for each of the network's checks: ok, FAILED with the pairs that failed, or not run. A ping counts by the
/// least round trip of three; a trace shows the computed way. Exits with 1 when any check failed or was not run.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The spec
    spec: PathBuf,
    /// How long each node may take for each ping or trace
    #[arg(short, long, value_name = "SECONDS", default_value = "60", value_parser = seconds)]
    timeout: Duration,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// What came of a check.
enum Tried {
    Found(Findings),
    NotRun(String),
}

/// Runs the verb.
pub fn run(args: Args) -> Result<Exit> {
    let (spec, found) = super::load(&args.spec)?;
    if found.checks.is_empty() {
        return Err(Error::new(format!("cannot test {}", args.spec.display()))
            .because("its network has no checks")
            .help("write checks = [\"a ping b\"] below [network]")
            .of_kind(Kind::Usage));
    }
    let mut console = args.cluster.attach()?;
    if console.plan.network.as_ref() != Some(&found.planned) {
        return Err(Error::new(format!("cannot test {}", args.spec.display()))
            .because("the cluster that runs has another network")
            .help(format!("run `vmatic build {}` and boot it anew, or name its cluster", args.spec.display())));
    }
    interrupt::watch();
    let law = Law { network: &found.network, guests: spec.plan.guest_network };
    let (mut all_ok, mut rows) = (true, Vec::new());
    for (at, (text, check)) in found.checks.iter().enumerate() {
        if interrupt::asked() {
            return Err(Error::new("cannot finish the checks").because("it was interrupted"));
        }
        say::line(format!("check {} of {}: {text}", at + 1, found.checks.len()));
        let tried = try_out(&mut console, law, check, args.timeout)?;
        let is_ok = matches!(&tried, Tried::Found(findings) if findings.wrong.is_empty());
        all_ok &= is_ok;
        if args.json {
            rows.push(row(text, &tried, is_ok));
        } else {
            tell(text, &tried)?;
        }
    }
    if args.json {
        print_json(&json!({ "ok": all_ok, "checks": rows }))?;
    }
    Ok(if all_ok { Exit::Ok } else { Exit::Failed })
}

fn try_out(console: &mut Console, law: Law, check: &Check, timeout: Duration) -> Result<Tried> {
    if !check.events.is_empty() {
        return Ok(Tried::NotRun("links are not yet taken down and up by it: use `vmatic link`".to_owned()));
    }
    let probes = match law.probes(&check.claim) {
        Ok(probes) => probes,
        Err(why) => return Ok(Tried::NotRun(why)),
    };
    let mut findings = Findings::default();
    for probe in &probes {
        let (argv, dir) = (probe.argv.clone(), "/".to_owned());
        let (env, stdin, output_max_bytes) = (Vec::new(), Vec::new(), OUTPUT_MAX_BYTES);
        let order = Order::Run(Run { argv, env, dir, stdin, output_max_bytes });
        let answered = console.ask(&probe.on, order, timeout, |_, _| {})?;
        law.judge(&check.claim, probe, &answered.groups, &mut findings);
    }
    Ok(Tried::Found(findings))
}

fn tell(text: &str, tried: &Tried) -> Result<()> {
    match tried {
        Tried::NotRun(why) => print(&format!("not run  {text}\n         {why}\n")),
        Tried::Found(findings) if findings.wrong.is_empty() => {
            let pairs = if findings.pairs == 1 { "1 pair".to_owned() } else { format!("{} pairs", findings.pairs) };
            let time = findings.slowest_us.map(|us| format!(", at most {}", milliseconds(us)));
            print(&format!("ok       {text}  ({pairs}{})\n", time.unwrap_or_default()))
        }
        Tried::Found(findings) => {
            let lines: String = findings.told().iter().map(|line| format!("         {line}\n")).collect();
            let (wrong, pairs) = (findings.wrong.len(), findings.pairs);
            print(&format!("FAILED   {text}  ({wrong} of {pairs})\n{lines}"))
        }
    }
}

fn row(text: &str, tried: &Tried, is_ok: bool) -> serde_json::Value {
    match tried {
        Tried::NotRun(why) => json!({ "check": text, "ok": false, "not_run": why }),
        Tried::Found(findings) => json!({
            "check": text,
            "ok": is_ok,
            "pairs": findings.pairs,
            "slowest_us": findings.slowest_us,
            "wrong": findings.wrong,
        }),
    }
}
