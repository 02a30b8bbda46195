//! Which image each host runs, folded, and which of them an output folder would give it at its next boot.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use vmatic_plan::{NodeSet, Plan};
use vmatic_tree::answer::{Group, Outcome};
use vmatic_tree::reply::Reply;

use crate::client::operation::Answered;
use crate::client::report;
use crate::digest::hex;
use crate::error::{Error, Result};
use crate::output::identity::{Identity, short};
use crate::output::inspect::only_output;

/// The image of an output folder.
pub struct Built {
    folder: PathBuf,
    image: String,
}

impl Built {
    /// The one of this folder, or of the only one in `out/`, if that is of this cluster.
    ///
    /// # Errors
    /// When a folder was named that no build has written.
    pub fn find(named: Option<&Path>, plan: &Plan) -> Result<Option<Built>> {
        let of = |folder: PathBuf| {
            let identity = Identity::of_folder(&folder)?;
            Some((Built { folder, image: identity.image }, identity.cluster == hex(&plan.cluster)))
        };
        match named {
            Some(folder) => match of(folder.to_owned()) {
                Some((built, true)) => Ok(Some(built)),
                Some((_, false)) => Err(Error::new(format!("cannot compare with {}", folder.display()))
                    .because("it was built for another cluster")
                    .help("name the folder of this cluster's image")),
                None => Err(Error::new(format!("cannot compare with {}", folder.display()))
                    .because("it is no output folder of this version of `vmatic build`")
                    .help("name an output folder, e.g. out/laptop")),
            },
            None => Ok(only_output(Path::new("out")).ok().and_then(of).and_then(|(built, same)| same.then_some(built))),
        }
    }

    fn compare(&self, image: &str) -> String {
        let words = if self.image == image { "as in" } else { "differs from" };
        format!("{words} {}", self.folder.display())
    }
}

/// Rows of images, how many hosts run each, and which.
pub fn table(plan: &Plan, asked: &Answered, built: Option<&Built>) -> String {
    let mut rows = vec![["IMAGE", "COUNT", "NODES", "NAMES", ""].map(str::to_owned)];
    for Group { nodes, outcome, .. } in &asked.groups {
        let (image, remark) = match outcome {
            Outcome::Done(Reply::Image(Some(image))) => {
                let image = hex(image);
                (short(&image).to_owned(), built.map(|built| built.compare(&image)).unwrap_or_default())
            }
            Outcome::Done(Reply::Image(None)) => ("none".to_owned(), "booted no image of vmatic's".to_owned()),
            outcome => ("?".to_owned(), report::outcome_text(outcome)),
        };
        rows.push([image, nodes.len().to_string(), nodes.to_string(), plan.fold_names(nodes), remark]);
    }
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let (a, b, c, d) = (width(0), width(1), width(2), width(3));
    let line = |[image, count, nodes, names, remark]: &[String; 5]| {
        format!("{image:a$}  {count:>b$}  {nodes:c$}  {names:d$}  {remark}").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

/// Hosts that run another image than the folder's.
pub fn different(asked: &Answered, built: &Built) -> NodeSet {
    let others = asked.groups.iter().filter(|group| match &group.outcome {
        Outcome::Done(Reply::Image(image)) => image.map(|image| hex(&image)).as_ref() != Some(&built.image),
        _ => false,
    });
    others.fold(NodeSet::new(), |all, group| all.union(&group.nodes))
}

/// The same for programs.
pub fn as_json(asked: &Answered, built: Option<&Built>) -> Value {
    let built_json = built.map(|built| {
        json!({
            "folder": built.folder.display().to_string(),
            "image": built.image,
            "different": different(asked, built).to_string(),
        })
    });
    json!({ "answers": report::as_json(asked), "built": built_json })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use vmatic_plan::{HostNames, RangeSet};
    use vmatic_tree::answer::Output;
    use vmatic_tree::unreachable::Unreachable;

    #[test]
    fn images_are_folded_and_compared() {
        let plan = Plan::new("t", HostNames::parse("dn[1-9]").expect("a pattern"));
        let hosts = |a, b| NodeSet::product(&RangeSet::span(a, b), &RangeSet::one(0));
        let group = |nodes, image| {
            let outcome = Outcome::Done(Reply::Image(image));
            Group { outcome, output: Output::default(), nodes }
        };
        let groups = vec![
            group(hosts(1, 5), Some([0xab; 32])),
            group(hosts(6, 7), Some([0x12; 32])),
            group(hosts(8, 8), None),
            Group::unreachable(hosts(9, 9), Unreachable::NotJoined),
        ];
        let asked = Answered { groups, took: Duration::ZERO };
        let built = Built { folder: "out/lab".into(), image: "ab".repeat(32) };
        let want = "\
IMAGE         COUNT  NODES  NAMES
abababababab      5  1-5    dn[1-5]  as in out/lab
121212121212      2  6-7    dn[6-7]  differs from out/lab
none              1  8      dn8      booted no image of vmatic's
?                 1  9      dn9      has not joined
";
        assert_eq!(table(&plan, &asked, Some(&built)), want);
        assert!(!table(&plan, &asked, None).contains("out/lab"));
        assert_eq!(different(&asked, &built), hosts(6, 8));
    }
}
