//! What each node wrote, as files of a folder: `NAME.out` and, where a node wrote to it, `NAME.err`.
//!
//! Takes folded answers. The folder takes its place whole, when all is written: it never holds results of two runs.

use std::fs::{self, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use vmatic_plan::{Node, Plan};
use vmatic_tree::answer::{Group, Outcome};

use crate::error::{Error, PathContext, Result};

/// Modes of folder and files, less what the umask takes.
const FOLDER_MODE: u32 = 0o777;

/// Says before anything runs that a folder cannot take outputs.
///
/// # Errors
/// When it is there and not empty.
pub fn check(folder: &Path) -> Result<()> {
    let refuse = |why: String| {
        let tried = format!("cannot write outputs to {}", folder.display());
        Err(Error::new(tried).because(why).help("name a folder that is new or empty"))
    };
    match fs::read_dir(folder).map(|mut entries| entries.next().is_none()) {
        Ok(false) => refuse("it is not empty".into()),
        Err(error) if error.kind() != ErrorKind::NotFound => refuse(error.to_string()),
        _ => Ok(()),
    }
}

/// Writes the outputs of all nodes that answered; gives how many files there are.
///
/// # Errors
/// When the folder cannot be written: then it is as it was.
pub fn write(folder: &Path, plan: &Plan, groups: &[Group]) -> Result<u64> {
    check(folder)?;
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(parent).at("create", parent)?;
    let mode = Permissions::from_mode(FOLDER_MODE);
    let scratch = tempfile::Builder::new().permissions(mode).tempdir_in(parent).at("write in", parent)?;
    let mut files = 0;
    for Group { outcome, output, nodes } in groups {
        if matches!(outcome, Outcome::Unreachable(_)) {
            continue;
        }
        for node in nodes.iter() {
            let name = name(plan, node);
            let streams = [("out", &output.stdout, true), ("err", &output.stderr, !output.stderr.is_empty())];
            for (kind, bytes, _) in streams.into_iter().filter(|(.., is_there)| *is_there) {
                let path = scratch.path().join(format!("{name}.{kind}"));
                fs::write(&path, bytes).at("write", &path)?;
                files += 1;
            }
        }
    }
    fs::rename(scratch.path(), folder).at("write", folder)?;
    // It has another name now.
    let _ = scratch.keep();
    Ok(files)
}

/// A node's name, which no slash is in.
fn name(plan: &Plan, node: Node) -> String {
    plan.node_name(node).unwrap_or_else(|| node.to_string().replace('/', "-"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use vmatic_plan::{HostNames, NodeSet, RangeSet};
    use vmatic_tree::answer::Output;
    use vmatic_tree::unreachable::Unreachable;

    #[test]
    fn each_node_has_files_of_its_own_in_a_folder_of_one_run() {
        let plan = Plan { guests_per_host: 2, ..Plan::new("t", HostNames::parse("dn[4-6]").expect("a pattern")) };
        let nodes =
            |hosts: (u32, u32), guest| NodeSet::product(&RangeSet::span(hosts.0, hosts.1), &RangeSet::one(guest));
        let group = |nodes, stdout: &[u8], stderr: &[u8]| {
            let output = Output { stdout: stdout.into(), stderr: stderr.into(), truncated: false };
            Group { outcome: Outcome::Exit(0), output, nodes }
        };
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().join("new/results");
        let names = |at: &Path| {
            let mut names: Vec<_> =
                fs::read_dir(at).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        };
        let gone = Group::unreachable(nodes((3, 3), 0), Unreachable::NotJoined);
        let groups = [group(nodes((1, 2), 0), b"\xff\n", b""), group(nodes((2, 2), 1), b"", b"oh"), gone];
        assert_eq!(write(&at, &plan, &groups).unwrap(), 4);
        assert_eq!(names(&at), ["dn4.out", "dn5-g1.err", "dn5-g1.out", "dn5.out"]);
        assert_eq!(fs::read(at.join("dn5.out")).unwrap(), b"\xff\n");
        let error = write(&at, &plan, &groups).unwrap_err().to_string();
        assert!(error.contains("it is not empty"), "{error}");
        assert_eq!(names(at.parent().unwrap()), ["results"], "nothing else is left");
        let empty = folder.path().join("empty");
        fs::create_dir(&empty).unwrap();
        assert_eq!(write(&empty, &plan, &groups).unwrap(), 4);
    }
}
