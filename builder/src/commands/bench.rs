//! `vmatic bench guests`: how many guests a machine starts a second, and what each costs it.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use rustix::process::Signal;
use serde_json::Value;
use vmatic_plan::measurement::Measurement;

use crate::Exit;
use crate::error::{Context, Error, Result};
use crate::process::{self, sibling_program};
use crate::ui::print::{print, print_json};
use crate::ui::say;

/// Measure what this machine, or the spec's, can do
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand, Debug)]
enum Action {
    /// Measure how many guests start a second, and what each takes of the host's memory
    ///
    /// Without a spec, stubs on this machine: what the monitor alone costs. With one, its first host is booted
    /// as `vmatic boot` does, and Linux guests are measured on it, beside those of the spec.
    Guests(Guests),
}

#[derive(clap::Args, Debug)]
struct Guests {
    /// The spec whose guests are measured
    spec: Option<PathBuf>,
    /// Its output folder, if not out/NAME
    #[arg(short, long, value_name = "DIR", requires = "spec")]
    out: Option<PathBuf>,
    /// How many clones to start, one run each [default: 1000,4000; with a spec 10,30]
    #[arg(long, value_name = "N,N", value_delimiter = ',')]
    clones: Option<Vec<u32>>,
    /// How many guests to boot cold, one run each [default: 100; with a spec 4]
    #[arg(long, value_name = "N,N", value_delimiter = ',')]
    cold: Option<Vec<u32>>,
    /// How many guests to boot in QEMU (its microvm, the same kernel), if the host image has QEMU [default: 4]
    #[arg(long, value_name = "N,N", value_delimiter = ',', requires = "spec")]
    qemu: Option<Vec<u32>>,
    /// How many pages a stub writes to before it answers
    #[arg(long, value_name = "PAGES", default_value_t = 16, conflicts_with = "spec")]
    pages: u32,
    /// Print one JSON array
    #[arg(long)]
    json: bool,
    /// The host's process 1, which does the work here [default: vmatic-agent beside this program, or the one in it]
    #[arg(long, value_name = "FILE", conflicts_with = "spec")]
    agent: Option<PathBuf>,
}

/// Runs the verb.
pub fn run(args: Args) -> Result<Exit> {
    let Action::Guests(guests) = args.action;
    let text = match &guests.spec {
        None => here(&guests)?,
        Some(_) => on_a_host(&guests)?,
    };
    let rows = rows(&text)?;
    if guests.json {
        print_json(&rows)?;
    } else {
        print(&table(&rows))?;
    }
    Ok(Exit::Ok)
}

/// The words for the agent.
fn words(guests: &Guests, clones: &[u32], cold: &[u32], qemu: &[u32]) -> Vec<String> {
    let list = |numbers: &[u32]| numbers.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
    let mut words = vec!["bench".to_owned()];
    let all = [("--clones", &guests.clones, clones), ("--cold", &guests.cold, cold), ("--qemu", &guests.qemu, qemu)];
    for (option, asked, usual) in all {
        let counts = asked.as_deref().unwrap_or(usual);
        if !counts.is_empty() {
            words.extend([option.to_owned(), list(counts)]);
        }
    }
    words
}

fn here(guests: &Guests) -> Result<String> {
    let agent = sibling_program(guests.agent.clone(), "vmatic-agent")?;
    let mut command = Command::new(&agent);
    command.args(words(guests, &[1000, 4000], &[100], &[])).arg("--stub").arg(guests.pages.to_string());
    output(&mut command, &agent.display().to_string())
}

/// Boots the spec's machines; the console then runs the agent of the first as a program.
fn on_a_host(guests: &Guests) -> Result<String> {
    let own = std::env::current_exe().context("cannot find this program")?;
    let mut command = Command::new(&own);
    command.arg("boot").args(&guests.spec);
    if let Some(out) = &guests.out {
        command.arg("--out").arg(out);
    }
    command.arg("--").arg(&own).args(["run", "--json", "--timeout", "900", "1", "/init"]);
    let text = output(command.args(words(guests, &[10, 30], &[4], &[4])), "vmatic boot")?;
    let answer: Value = serde_json::from_str(&text).context("cannot read the host's answer")?;
    let stdout = answer["groups"][0]["stdout"].as_str().unwrap_or_default();
    let stderr = answer["groups"][0]["stderr"].as_str().unwrap_or_default();
    stderr.lines().for_each(say::line);
    Ok(stdout.to_owned())
}

/// What a program prints; it ends with this one.
fn output(command: &mut Command, name: &str) -> Result<String> {
    let output = process::end_with_us(command.stdout(Stdio::piped()), Signal::TERM).stderr(Stdio::inherit()).output();
    let output = output.with_context(|| format!("cannot run {name}"))?;
    if !output.status.success() {
        return Err(Error::new("cannot measure guests")
            .because(format!("{name} failed"))
            .because(output.status.to_string())
            .help("read what it said above; `vmatic doctor` says what this machine can do"));
    }
    String::from_utf8(output.stdout).with_context(|| format!("cannot read what {name} printed"))
}

fn rows(text: &str) -> Result<Vec<Measurement>> {
    let parse = |line: &str| serde_json::from_str(line).with_context(|| format!("cannot read the row {line:?}"));
    text.lines().filter(|line| !line.trim().is_empty()).map(parse).collect()
}

fn table(rows: &[Measurement]) -> String {
    let mut text = format!(
        "{:<6} {:<6} {:<16} {:>6} {:>8} {:>9} = {:>6} {:>8} {:>7} {:>7}\n",
        "KIND", "GUEST", "STATE", "GUESTS", "PER_S", "KIB_EACH", "RAM", "MONITOR", "KERNEL", "SWITCH"
    );
    for row in rows {
        text += &format!(
            "{:<6} {:<6} {:<16} {:>6} {:>8.1} {:>9} = {:>6} {:>8} {:>7} {:>7}\n",
            row.kind,
            row.guest,
            row.state,
            row.guests,
            row.per_s,
            row.kib_each,
            row.ram_kib,
            row.monitor_kib,
            row.kernel_kib,
            row.switch_kib
        );
    }
    text + &ratios(rows)
}

/// How the best run of clones compares with each other kind of guest that was measured beside it.
fn ratios(rows: &[Measurement]) -> String {
    let idle = |kind: &str| {
        let of_kind = rows.iter().filter(|row| row.kind == kind && row.state == "idle");
        of_kind.max_by(|one, other| one.per_s.total_cmp(&other.per_s))
    };
    let Some(clone) = idle("clone") else { return String::new() };
    let beside = ["cold", "qemu"].into_iter().filter_map(idle).filter(|other| other.guest == clone.guest);
    let line = |other: &Measurement| {
        let (faster, smaller) = (clone.per_s / other.per_s, other.kib_each as f64 / clone.kib_each.max(1) as f64);
        format!("clones beside {}: {faster:.1} times as fast, {smaller:.1} times as small\n", other.kind)
    };
    beside.map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"kind": "clone", "guest": "stub", "state": "idle", "guests": 1000, "per_s": 1500.5,
        "kib_each": 480, "ram_kib": 84, "monitor_kib": 64, "kernel_kib": 330, "switch_kib": 2}"#;

    #[test]
    fn rows_are_read_and_noise_is_an_error() {
        let line = LINE.replace('\n', " ");
        let read = rows(&format!("{line}\n\n{line}\n")).unwrap();
        assert_eq!((read.len(), read[0].guests, read[1].kib_each), (2, 1000, 480));
        assert!(
            table(&read).lines().nth(1).is_some_and(|row| row.contains("clone  stub   idle") && row.contains("1500.5"))
        );
        let cold = |guest: &str| {
            let row = line.replace("\"clone\"", "\"cold\"").replace("stub", guest);
            rows(&format!("{line}\n{}", row.replace("1500.5", "75.0").replace("480,", "1200,"))).unwrap()
        };
        assert_eq!(ratios(&cold("stub")), "clones beside cold: 20.0 times as fast, 2.5 times as small\n");
        assert_eq!((ratios(&cold("linux")), ratios(&read)), (String::new(), String::new()), "nothing to compare with");
        assert!(rows("agent: no").unwrap_err().to_string().contains("agent: no"));
    }
}
