//! The numbers that nodes print, reduced to few: how many, their sum, the least and the most with who said them, the
//! mean, and how they are spread.
//!
//! Takes folded answers: a group's number counts once for each of its nodes. What is no number is kept apart, so that
//! nobody takes the sum of some for the sum of all.

use std::cmp::Ordering;
use std::fmt;

use serde_json::{Value, json};
use vmatic_plan::NodeSet;
use vmatic_tree::answer::Group;

/// Most buckets of a histogram, and columns of its longest bar.
const BUCKETS_MAX: usize = 10;
const BAR_COLUMNS: u64 = 40;
/// Integers below are exact in a floating-point number of 64 bits.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// What is wanted of the numbers.
#[derive(clap::Args, Clone, Copy, Debug, Default)]
pub struct Wanted {
    /// Print the sum of the numbers that the nodes print, instead of their output
    #[arg(long, help_heading = "Numbers")]
    pub sum: bool,
    /// The least, and which nodes print it
    #[arg(long, help_heading = "Numbers")]
    pub min: bool,
    /// The most, and which nodes print it
    #[arg(long, help_heading = "Numbers")]
    pub max: bool,
    /// The mean
    #[arg(long, help_heading = "Numbers")]
    pub mean: bool,
    /// A histogram
    #[arg(long, help_heading = "Numbers")]
    pub hist: bool,
}

impl Wanted {
    /// Whether anything is.
    pub fn any(self) -> bool {
        self.sum || self.min || self.max || self.mean || self.hist
    }
}

/// One number. Counters of bytes and nanoseconds are integers that no floating-point number holds.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Number {
    Integer(i128),
    Float(f64),
}

impl Number {
    /// The number that is all of a text.
    fn parse(text: &[u8]) -> Option<Number> {
        let text = std::str::from_utf8(text).ok()?.trim();
        let float = || text.parse().ok().filter(|number: &f64| number.is_finite()).map(Number::Float);
        text.parse::<i64>()
            .map(i128::from)
            .or_else(|_| text.parse::<u64>().map(i128::from))
            .ok()
            .map(Number::Integer)
            .or_else(float)
    }

    fn float(self) -> f64 {
        match self {
            Number::Integer(number) => number as f64,
            Number::Float(number) => number,
        }
    }

    fn json(self) -> Value {
        match self {
            Number::Integer(number) => number.to_string().parse().map_or(Value::Null, Value::Number),
            Number::Float(number) => json!(number),
        }
    }

    fn order(self, other: Number) -> Ordering {
        match (self, other) {
            (Number::Integer(a), Number::Integer(b)) => a.cmp(&b),
            (a, b) => a.float().total_cmp(&b.float()),
        }
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Number::Integer(number) => write!(f, "{number}"),
            Number::Float(number) => f.write_str(&text(*number)),
        }
    }
}

/// The numbers of nodes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Numbers {
    /// Each different one with its nodes, the least first.
    each: Vec<(Number, NodeSet)>,
    /// Nodes that did what was asked and printed no number.
    pub none: NodeSet,
}

impl Numbers {
    /// Those of the nodes that did what was asked.
    pub fn of(groups: &[Group]) -> Numbers {
        let mut numbers = Numbers::default();
        for Group { outcome, output, nodes } in groups {
            if !outcome.is_ok() {
                continue;
            }
            match Number::parse(&output.stdout).filter(|_| !output.truncated) {
                Some(number) => numbers.each.push((number, nodes.clone())),
                None => numbers.none = numbers.none.union(nodes),
            }
        }
        // One that is none makes all of them approximate: 2 and 2.0 are the same.
        if numbers.each.iter().any(|(number, _)| matches!(number, Number::Float(_))) {
            numbers.each.iter_mut().for_each(|(number, _)| *number = Number::Float(number.float()));
        }
        numbers.each.sort_by(|a, b| a.0.order(b.0));
        numbers.each.dedup_by(|later, earlier| {
            let same = later.0 == earlier.0;
            if same {
                earlier.1 = earlier.1.union(&later.1);
            }
            same
        });
        numbers
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.each.iter().map(|(_, nodes)| nodes.len()).sum()
    }

    /// All of them added.
    fn sum(&self) -> Number {
        let exact = self.each.iter().try_fold(0i128, |sum, (number, nodes)| match number {
            Number::Integer(number) => sum.checked_add(number.checked_mul(nodes.len().into())?),
            Number::Float(_) => None,
        });
        let float = || self.each.iter().map(|(number, nodes)| number.float() * nodes.len() as f64).sum();
        exact.map_or_else(|| Number::Float(float()), Number::Integer)
    }

    fn mean(&self) -> Option<f64> {
        // Each part first: a sum may be beyond what is finite.
        let count = self.count() as f64;
        let parts = self.each.iter().map(|(number, nodes)| number.float() * (nodes.len() as f64 / count));
        (!self.each.is_empty()).then(|| parts.sum())
    }

    /// Where each bucket ends, and how many are in it: one a number where they are few, else ten of one width.
    fn buckets(&self) -> Vec<(String, u64)> {
        let (Some((least, _)), Some((most, _))) = (self.each.first(), self.each.last()) else { return Vec::new() };
        if self.each.len() <= BUCKETS_MAX {
            return self.each.iter().map(|(number, nodes)| (number.to_string(), nodes.len())).collect();
        }
        let (least, most) = (least.float(), most.float());
        // Each by itself: the difference may be beyond what is finite.
        let width = most / BUCKETS_MAX as f64 - least / BUCKETS_MAX as f64;
        let mut buckets = vec![0; BUCKETS_MAX];
        for (number, nodes) in &self.each {
            let at = (number.float() / width - least / width) as usize;
            buckets[at.min(BUCKETS_MAX - 1)] += nodes.len();
        }
        let edge = |at: usize| text(least + width * at as f64);
        buckets
            .into_iter()
            .enumerate()
            .map(|(at, count)| (format!("{} to {}", edge(at), edge(at + 1)), count))
            .collect()
    }

    /// What is wanted, a line each.
    pub fn text(&self, wanted: Wanted) -> String {
        let mut lines = vec![format!("count {}", self.count())];
        if wanted.sum {
            lines.push(format!("sum {}", self.sum()));
        }
        for (name, end) in
            [("min", self.each.first().filter(|_| wanted.min)), ("max", self.each.last().filter(|_| wanted.max))]
        {
            lines.extend(end.map(|(number, nodes)| format!("{name} {number} of {nodes}")));
        }
        lines.extend(self.mean().filter(|_| wanted.mean).map(|mean| format!("mean {}", text(mean))));
        if wanted.hist {
            let buckets = self.buckets();
            let width = buckets.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
            let most = buckets.iter().map(|(_, count)| *count).max().unwrap_or(1);
            lines.extend(buckets.iter().map(|(name, count)| {
                let bar = "#".repeat((count * BAR_COLUMNS).div_ceil(most.max(1)) as usize);
                format!("{name:>width$}  {count:>8}  {bar}").trim_end().to_owned()
            }));
        }
        lines.join("\n") + "\n"
    }

    /// All of it, for programs.
    pub fn as_json(&self) -> Value {
        let end = |end: Option<&(Number, NodeSet)>| {
            end.map(|(number, nodes)| json!({ "number": number.json(), "nodes": nodes.to_string() }))
        };
        let bucket = |(name, count): (String, u64)| json!({ "numbers": name, "count": count });
        json!({
            "count": self.count(),
            "sum": self.sum().json(),
            "min": end(self.each.first()),
            "max": end(self.each.last()),
            "mean": self.mean(),
            "histogram": self.buckets().into_iter().map(bucket).collect::<Vec<_>>(),
            "no_number": self.none.to_string(),
        })
    }
}

/// A number as people write it: integers without a point, others with six digits that count.
fn text(number: f64) -> String {
    // Zero has no sign for people.
    let number = number + 0.0;
    if number.fract() == 0.0 && number.abs() < EXACT_MAX {
        return format!("{number:.0}");
    }
    let digits = 5 - number.abs().log10().floor().clamp(-300.0, 5.0) as i32;
    let text = format!("{number:.*}", usize::try_from(digits).unwrap_or(0));
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use vmatic_plan::RangeSet;
    use vmatic_tree::answer::{Outcome, Output};

    fn group(hosts: (u32, u32), status: i32, stdout: &str) -> Group {
        let nodes = NodeSet::product(&RangeSet::span(hosts.0, hosts.1), &RangeSet::one(0));
        Group { outcome: Outcome::Exit(status), output: Output { stdout: stdout.into(), ..Output::default() }, nodes }
    }

    const ALL: Wanted = Wanted { sum: true, min: true, max: true, mean: true, hist: true };

    #[test]
    fn each_node_counts_once_and_what_is_no_number_is_kept_apart() {
        let groups = [
            group((1, 3), 0, "2\n"),
            group((4, 4), 0, " 3.5 "),
            group((5, 6), 0, "two"),
            group((7, 7), 1, "9"),
            group((8, 8), 0, "2.0"),
        ];
        let numbers = Numbers::of(&groups);
        assert_eq!(numbers.none.to_string(), "5-6");
        let want = "\
count 5
sum 11.5
min 2 of 1-3,8
max 3.5 of 4
mean 2.3
  2         4  ########################################
3.5         1  ##########
";
        assert_eq!(numbers.text(ALL), want);
        assert_eq!(numbers.as_json()["max"]["nodes"], "4");
        assert_eq!(Numbers::of(&[]).text(ALL), "count 0\nsum 0\n");
    }

    #[test]
    fn many_different_numbers_share_ten_buckets() {
        let groups: Vec<Group> = (1..=100).map(|n| group((n, n), 0, &n.to_string())).collect();
        let text = Numbers::of(&groups).text(Wanted { hist: true, ..Wanted::default() });
        let counts: Vec<u64> =
            text.lines().skip(1).map(|line| line.split_whitespace().nth(3).unwrap().parse().unwrap()).collect();
        assert_eq!(counts.len(), 10, "{text}");
        assert_eq!(counts.iter().sum::<u64>(), 100);
        assert!(text.contains(" 1 to 10.9 "), "{text}");
    }

    #[test]
    fn large_integers_are_exact_and_large_fractions_finite() {
        let last = u64::MAX.to_string();
        let groups = [group((1, 2), 0, &last), group((3, 3), 0, "18446744073709551614"), group((4, 4), 0, "-1")];
        let want = "count 4\nsum 55340232221128654843\nmin -1 of 4\nmax 18446744073709551615 of 1-2\n";
        assert_eq!(Numbers::of(&groups).text(Wanted { sum: true, min: true, max: true, ..Wanted::default() }), want);
        let far: Vec<Group> = (1..=12)
            .map(|n| {
                group((n, n), 0, &format!("{}1e308", ["", "-"][n as usize % 2]).replace("1e308", &format!("1.{n}e308")))
            })
            .collect();
        let text = Numbers::of(&far).text(ALL);
        assert!(!text.contains("NaN") && text.lines().count() == 15, "{text}");
    }

    #[test]
    fn numbers_are_written_as_people_do() {
        for (number, want) in [
            (0.0, "0"),
            (-3.0, "-3"),
            (1e15, "1000000000000000"),
            (0.1 + 0.2, "0.3"),
            (1234.5678, "1234.57"),
            (2.5e-7, "0.00000025"),
        ] {
            assert_eq!(text(number), want);
        }
    }

    proptest! {
        #[test]
        fn no_output_is_lost_or_counted_twice(outputs in prop::collection::vec("[0-9a-fe.+-]{0,8}|[0-9]{1,4}", 1..60)) {
            let groups: Vec<Group> =
                outputs.iter().zip(1..).map(|(output, host)| group((host, host), 0, output)).collect();
            let numbers = Numbers::of(&groups);
            prop_assert_eq!(numbers.count() + numbers.none.len(), outputs.len() as u64);
            let in_buckets: u64 = numbers.buckets().iter().map(|(_, count)| count).sum();
            prop_assert_eq!(in_buckets, numbers.count());
            prop_assert!(numbers.text(ALL).ends_with('\n'));
        }
    }
}
