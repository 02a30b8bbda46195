//! A column of a table: a number for each host, such as its address, and back, by binary search over the bytes.
//!
//! Where the numbers are regular they are runs (a first host, a first number, a step); else a number a host, in the
//! order of hosts. In both forms a list behind them has the hosts, or the runs, in the order of their numbers. Zero is
//! no number: neither an address nor a MAC.
//!
//! ```text
//! absent: no bytes
//! rows:   1, a number for each host, then the indices of hosts that have one, by number
//! runs:   2, how many (3 bytes), for each the index of its first host (3), step (1), first number; then the indices of
//!         runs that are not zero, by number (3 each)
//! ```

use super::bytes::{INDEX_BYTES, index, number, partition_point, push};
use alloc::vec::Vec;

const ROWS: u8 = 1;
const RUNS: u8 = 2;
/// Bytes of a run beside its first number.
const RUN_HEAD_BYTES: usize = INDEX_BYTES + 1;
/// The greatest step of a run.
const STEP_MAX: u64 = 255;

/// A column, as a view of its bytes.
#[derive(Clone, Copy)]
pub struct Column<'a> {
    width: usize,
    hosts: u32,
    form: Form<'a>,
}

#[derive(Clone, Copy)]
enum Form<'a> {
    Absent,
    Rows { values: &'a [u8], order: &'a [u8] },
    Runs { runs: &'a [u8], order: &'a [u8] },
}

/// Hosts from `first` to before `end`, of which each has `step` more than the one before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Run {
    first: u32,
    end: u32,
    step: u64,
    base: u64,
}

impl Run {
    fn last(&self) -> Option<u64> {
        self.step.checked_mul(u64::from(self.end.checked_sub(self.first)?.checked_sub(1)?))?.checked_add(self.base)
    }
}

impl<'a> Column<'a> {
    /// The column of a section, with numbers of `width` bytes for so many hosts; none if the section has another size
    /// than it says.
    pub fn read(bytes: &'a [u8], width: usize, hosts: u32) -> Option<Column<'a>> {
        let form = match bytes.split_first() {
            None => Form::Absent,
            Some((&ROWS, rest)) => {
                let (values, order) = rest.split_at_checked(width.checked_mul(hosts as usize)?)?;
                Form::Rows { values, order }
            }
            Some((&RUNS, rest)) => {
                let count = index(rest, 0)? as usize;
                let rest = rest.get(INDEX_BYTES..)?;
                let (runs, order) = rest.split_at_checked(count.checked_mul(RUN_HEAD_BYTES + width)?)?;
                Form::Runs { runs, order }
            }
            Some(_) => return None,
        };
        Some(Column { width, hosts, form })
    }

    /// Whether hosts have such a number.
    pub fn is_absent(&self) -> bool {
        matches!(self.form, Form::Absent)
    }

    fn run_count(&self) -> usize {
        match self.form {
            Form::Runs { runs, .. } => runs.len() / (RUN_HEAD_BYTES + self.width),
            _ => 0,
        }
    }

    fn run(&self, n: usize) -> Option<Run> {
        let Form::Runs { runs, .. } = self.form else { return None };
        let bytes = RUN_HEAD_BYTES + self.width;
        let at = n.checked_mul(bytes)?;
        let first = |at| number(runs, at, INDEX_BYTES).map(|index| index as u32);
        Some(Run {
            first: first(at)?,
            end: first(at + bytes).unwrap_or(self.hosts),
            step: number(runs, at + INDEX_BYTES, 1)?,
            base: number(runs, at + RUN_HEAD_BYTES, self.width)?,
        })
    }

    /// The number of the host of this index, from 0.
    pub fn value(&self, host: u32) -> Option<u64> {
        let value = match self.form {
            Form::Absent => return None,
            Form::Rows { values, .. } => number(values, self.width.checked_mul(host as usize)?, self.width)?,
            Form::Runs { .. } => {
                let before = partition_point(self.run_count(), |n| self.run(n).is_some_and(|run| run.first <= host));
                let run = self.run(before.checked_sub(1)?).filter(|run| run.base != 0 && host < run.end)?;
                run.base.checked_add(run.step * u64::from(host - run.first))?
            }
        };
        (value != 0 && host < self.hosts).then_some(value)
    }

    /// The index of the host that has this number.
    pub fn host(&self, value: u64) -> Option<u32> {
        match self.form {
            Form::Absent => None,
            Form::Rows { order, .. } => {
                let at = |n| index(order, n);
                let less = |n| at(n).and_then(|host| self.value(host)).is_some_and(|found| found < value);
                let host = at(partition_point(order.len() / INDEX_BYTES, less))?;
                (self.value(host) == Some(value)).then_some(host)
            }
            Form::Runs { order, .. } => {
                let run = |n| index(order, n).and_then(|n| self.run(n as usize));
                let not_above = |n| run(n).is_some_and(|run| run.base <= value);
                let run = run(partition_point(order.len() / INDEX_BYTES, not_above).checked_sub(1)?)?;
                let steps = (value - run.base).checked_div(run.step.max(1))?;
                let host = run.first.checked_add(u32::try_from(steps).ok()?).filter(|host| *host < run.end)?;
                (self.value(host) == Some(value)).then_some(host)
            }
        }
    }

    /// Whether it keeps its own rules, so that each of the two searches is the other's inverse.
    pub fn is_sound(&self) -> bool {
        let greatest = if self.width >= 8 { u64::MAX } else { (1 << (8 * self.width)) - 1 };
        match self.form {
            Form::Absent => true,
            Form::Rows { values, order } => {
                let some = values.chunks_exact(self.width).filter(|value| value.iter().any(|byte| *byte != 0)).count();
                let value = |n| index(order, n).and_then(|host| self.value(host));
                order.len() == some * INDEX_BYTES && rises(some, |n| value(n).map(|value| (value, value)))
            }
            Form::Runs { order, .. } => {
                let runs = (0..self.run_count()).map(|n| self.run(n));
                let (mut some, mut next) = (0, 0);
                for run in runs {
                    let Some(run) = run.filter(|run| run.first == next && run.end > run.first) else { return false };
                    if run.last().is_none_or(|last| last > greatest) || (run.base == 0 && run.step != 0) {
                        return false;
                    }
                    if run.step == 0 && run.base != 0 && run.end - run.first > 1 {
                        return false;
                    }
                    some += usize::from(run.base != 0);
                    next = run.end;
                }
                let hull = |n| {
                    let run = index(order, n).and_then(|n| self.run(n as usize)).filter(|run| run.base != 0)?;
                    Some((run.base, run.last()?))
                };
                next == self.hosts && order.len() == some * INDEX_BYTES && rises(some, hull)
            }
        }
    }

    /// The bytes of a column for these numbers, in the form that takes the fewest. No two hosts have the same.
    pub fn write(values: &[Option<u64>], width: usize) -> Vec<u8> {
        if values.iter().all(Option::is_none) {
            return Vec::new();
        }
        let rows = rows(values, width);
        let fits = |bytes: &Vec<u8>| {
            bytes.len() < rows.len() && Column::read(bytes, width, values.len() as u32).is_some_and(|c| c.is_sound())
        };
        // Runs of cards with several ports may lie in one another; of step 1 they cannot.
        let runs = [STEP_MAX, 1].into_iter().map(|step_max| runs(values, width, step_max));
        runs.filter(fits).min_by_key(Vec::len).unwrap_or(rows)
    }
}

/// Whether spans of numbers lie one above the other.
fn rises(count: usize, span: impl Fn(usize) -> Option<(u64, u64)>) -> bool {
    let mut above = None;
    (0..count).all(|n| match span(n) {
        Some((first, last)) => {
            let rises = above.is_none_or(|above| first > above);
            above = Some(last);
            rises
        }
        None => false,
    })
}

fn rows(values: &[Option<u64>], width: usize) -> Vec<u8> {
    let mut bytes = alloc::vec![ROWS];
    values.iter().for_each(|value| push(&mut bytes, value.unwrap_or_default(), width));
    let mut order: Vec<u32> = (0..values.len() as u32).filter(|host| values[*host as usize].is_some()).collect();
    order.sort_unstable_by_key(|host| values[*host as usize]);
    order.into_iter().for_each(|host| push(&mut bytes, host.into(), INDEX_BYTES));
    bytes
}

fn runs(values: &[Option<u64>], width: usize, step_max: u64) -> Vec<u8> {
    let mut runs: Vec<Run> = Vec::new();
    for (host, value) in (0u32..).zip(values) {
        let value = value.unwrap_or_default();
        let goes_on = runs.last_mut().is_some_and(|run| match (run.base, value) {
            (0, 0) => true,
            (0, _) | (_, 0) => false,
            (base, _) if run.end - run.first == 1 => {
                let step = value.checked_sub(base).filter(|step| (1..=step_max).contains(step));
                run.step = step.unwrap_or_default();
                step.is_some()
            }
            _ => run.last().is_some_and(|last| last.checked_add(run.step) == Some(value)),
        });
        match runs.last_mut().filter(|_| goes_on) {
            Some(run) => run.end = host + 1,
            None => runs.push(Run { first: host, end: host + 1, step: 0, base: value }),
        }
    }
    let mut bytes = alloc::vec![RUNS];
    push(&mut bytes, runs.len() as u64, INDEX_BYTES);
    for run in &runs {
        push(&mut bytes, run.first.into(), INDEX_BYTES);
        push(&mut bytes, run.step, 1);
        push(&mut bytes, run.base, width);
    }
    let mut order: Vec<u32> = (0..runs.len() as u32).filter(|n| runs[*n as usize].base != 0).collect();
    order.sort_unstable_by_key(|n| runs[*n as usize].base);
    order.into_iter().for_each(|n| push(&mut bytes, n.into(), INDEX_BYTES));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;
    use proptest::prelude::*;

    /// Blocks of a few steps, gaps and hosts that have none, in any order.
    fn any_values() -> impl Strategy<Value = Vec<Option<u64>>> {
        let block = (1u64..5000, 0u64..7, 1usize..40, proptest::bool::weighted(0.1));
        proptest::collection::vec(block, 1..12).prop_map(|blocks| {
            let mut seen = BTreeSet::new();
            let values = blocks
                .into_iter()
                .flat_map(|(base, step, len, none)| (0..len as u64).map(move |n| (!none).then_some(base + n * step)));
            values.filter(|value| value.is_none_or(|value| seen.insert(value))).collect()
        })
    }

    proptest! {
        #[test]
        fn each_search_is_the_others_inverse(values in any_values(), ask in 0u64..6000) {
            for bytes in [rows(&values, 4), runs(&values, 4, 1), Column::write(&values, 4)] {
                let column = Column::read(&bytes, 4, values.len() as u32).unwrap();
                prop_assert!(bytes.is_empty() || column.is_sound());
                let found: Vec<Option<u64>> = (0..values.len() as u32).map(|host| column.value(host)).collect();
                if !bytes.is_empty() {
                    prop_assert_eq!(&found, &values);
                }
                for value in found.iter().flatten() {
                    prop_assert_eq!(found[column.host(*value).unwrap() as usize], Some(*value));
                }
                prop_assert_eq!(column.host(ask).is_some(), found.contains(&Some(ask)));
                prop_assert_eq!(column.value(values.len() as u32), None);
            }
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60), hosts in 0u32..8) {
            for first in [ROWS, RUNS] {
                let mut bytes = bytes.clone();
                bytes.insert(0, first);
                if let Some(column) = Column::read(&bytes, 4, hosts) {
                    let sound = column.is_sound();
                    for host in 0..hosts + 1 {
                        let back = column.value(host).map(|value| column.host(value));
                        prop_assert!(!sound || back.is_none_or(|back| back == Some(host)));
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_regular_costs_a_few_bytes() {
        let regular: Vec<Option<u64>> = (0..10_000).map(|n| Some(0x0a00_0001 + n)).collect();
        assert!(Column::write(&regular, 4).len() < 20);
        // Cards of two machines in turn: two runs lie in one another, and are rows.
        let woven: Vec<Option<u64>> =
            (0..200).map(|n| Some(if n < 100 { 1000 + 2 * n } else { 801 + 2 * n })).collect();
        let bytes = Column::write(&woven, 6);
        assert!(Column::read(&bytes, 6, 200).unwrap().is_sound());
        assert_eq!(bytes[0], ROWS);
    }
}
