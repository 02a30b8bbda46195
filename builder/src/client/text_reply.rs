//! Answers in words of hosts whose agent does not give typed replies yet, as the typed ones.
//!
//! Goes when the agent answers `Order::Capture`, `Usage` and `Save` with a `Reply`.

use vmatic_tree::answer::{Group, Outcome, Output};
use vmatic_tree::guest::Usage;
use vmatic_tree::reply::Reply;
use vmatic_tree::traffic::Piece;
use vmatic_tree::wire::order::Order;

/// The group with a typed reply in place of words.
pub fn typed(order: &Order, group: Group) -> Group {
    if group.outcome != Outcome::Exit(0) {
        return group;
    }
    let reply = match order {
        Order::Capture(_) | Order::Save { .. } => {
            let said = String::from_utf8_lossy(&group.output.stderr).into_owned();
            let dropped = said.split_whitespace().find_map(|word| word.parse().ok()).unwrap_or(0);
            Reply::Piece(Piece { bytes: group.output.stdout, dropped })
        }
        Order::Usage { .. } => {
            let text = String::from_utf8_lossy(&group.output.stdout).into_owned();
            let number = |key: &str| {
                let value = text.split_whitespace().find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
                value.and_then(|value| value.parse::<u64>().ok()).unwrap_or(0)
            };
            Reply::Usage(Usage {
                guests: number("guests") as u32,
                ram_kib: number("ram_kib"),
                monitor_kib: number("monitor_kib"),
                host_kernel_kib: number("host_kernel_kib"),
                each: Vec::new(),
            })
        }
        _ => return group,
    };
    Group { outcome: Outcome::Done(reply), output: Output::default(), ..group }
}
