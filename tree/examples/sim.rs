//! Runs the simulator of the control tree: `cargo run --release -p vmatic-tree --features sim --example sim -- --seed 7
//! --hosts 10000`, or many seeds from one on with `--seeds 100`. Prints a line a seed; ends with 1 where a promise was
//! broken, after the line that repeats it.

use std::process::ExitCode;
use std::time::Instant;
use vmatic_tree::sim::{Setting, run};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let given = |name: &str| words.iter().position(|word| word == name).and_then(|at| words.get(at + 1));
    let number = |name: &str| given(name).map(|text| text.parse::<u32>().expect("a number behind each word"));
    let first = u64::from(number("--seed").unwrap_or(1));
    let (seeds, hosts) = (u64::from(number("--seeds").unwrap_or(1)), number("--hosts").unwrap_or(1_000));
    let mut broken = 0;
    for seed in first..first + seeds {
        let usual = Setting::of(seed, hosts);
        let setting = Setting {
            fanout: number("--fanout").unwrap_or(usual.fanout),
            dead_percent: number("--dead").unwrap_or(usual.dead_percent),
            absent_percent: number("--absent").unwrap_or(usual.absent_percent),
            loss_permille: number("--loss").unwrap_or(usual.loss_permille),
            partition: number("--partition").map_or(usual.partition, |n| n > 0),
            twins: number("--twins").unwrap_or(usual.twins),
            liars: number("--liars").unwrap_or(usual.liars),
            ..usual
        };
        let start = Instant::now();
        match run(&setting) {
            Ok(measured) => {
                println!("seed {seed}: {:.1} s, {} MiB: {measured:?}", start.elapsed().as_secs_f32(), rss_mib())
            }
            Err(why) => {
                println!("seed {seed}: BROKEN {why}");
                broken += 1;
            }
        }
    }
    println!("{seeds} seeds with {hosts} hosts: {broken} broken");
    if broken == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Memory of this process, in MiB (proc(5), statm: pages of 4 KiB).
fn rss_mib() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) / 256
}
