//! What each node wrote, as files of a folder: `NAME.out` and, where a node wrote to it, `NAME.err`.
//!
//! Takes folded answers. The folder takes its place whole, when all is written: it never holds results of two runs.

use std::fs::{self, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use vmatic_plan::{Node, Plan};
use vmatic_tree::answer::{Group, Outcome};

use crate::error::{Error, PathContext, Result};

/// Modes of folder and files, less what the umask takes.
const FOLDER_MODE: u32 = 0o777;

/// A folder that outputs go to, and where they are until all are written.
pub struct Folder {
    target: PathBuf,
    scratch: TempDir,
}

impl Folder {
    /// Makes room for outputs, before anything runs.
    ///
    /// # Errors
    /// When the folder is there and not empty, or none can be made beside it.
    pub fn begin(target: &Path) -> Result<Folder> {
        let refuse = |why: String| {
            let tried = format!("cannot write outputs to {}", target.display());
            Err(Error::new(tried).because(why).help("name a folder that is new or empty"))
        };
        match fs::read_dir(target).map(|mut entries| entries.next().is_none()) {
            Ok(false) => return refuse("it is not empty".into()),
            Err(error) if error.kind() != ErrorKind::NotFound => return refuse(error.to_string()),
            _ => {}
        }
        // Behind links, and what `.` stands for: the folder that takes another's place has to be beside it.
        let target = target.canonicalize().unwrap_or_else(|_| target.to_owned());
        let parent = target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::create_dir_all(parent).at("create", parent)?;
        let mode = Permissions::from_mode(FOLDER_MODE);
        let scratch = tempfile::Builder::new().permissions(mode).tempdir_in(parent).at("write in", parent)?;
        Ok(Folder { target, scratch })
    }

    /// Writes the outputs of all nodes that answered; gives how many files there are.
    ///
    /// # Errors
    /// When they cannot be written, or not be put in their place: what is written then stays, and it is said where.
    pub fn write(self, plan: &Plan, groups: &[Group]) -> Result<u64> {
        let Folder { target, scratch } = self;
        // From here on it holds what cannot be had again.
        let scratch = scratch.keep();
        let written = fill(&scratch, plan, groups).and_then(|files| {
            fs::rename(&scratch, &target).at("write", &target)?;
            Ok(files)
        });
        written.map_err(|error| error.help(format!("what was written is in {}", scratch.display())))
    }
}

fn fill(folder: &Path, plan: &Plan, groups: &[Group]) -> Result<u64> {
    let mut files = 0;
    for Group { outcome, output, nodes } in groups {
        if matches!(outcome, Outcome::Unreachable(_)) {
            continue;
        }
        for node in nodes.iter() {
            let name = name(plan, node);
            let streams = [("out", &output.stdout, true), ("err", &output.stderr, !output.stderr.is_empty())];
            for (kind, bytes, _) in streams.into_iter().filter(|(.., is_there)| *is_there) {
                let path = folder.join(format!("{name}.{kind}"));
                fs::write(&path, bytes).at("write", &path)?;
                files += 1;
            }
        }
    }
    Ok(files)
}

/// A node's name, which no slash is in.
pub fn name(plan: &Plan, node: Node) -> String {
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
        let write = |at: &Path| Folder::begin(at)?.write(&plan, &groups);
        assert_eq!(write(&at).unwrap(), 4);
        assert_eq!(names(&at), ["dn4.out", "dn5-g1.err", "dn5-g1.out", "dn5.out"]);
        assert_eq!(fs::read(at.join("dn5.out")).unwrap(), b"\xff\n");
        let error = write(&at).unwrap_err().to_string();
        assert!(error.contains("it is not empty"), "{error}");
        assert_eq!(names(at.parent().unwrap()), ["results"], "nothing else is left");
        let empty = folder.path().join("empty");
        fs::create_dir(&empty).unwrap();
        assert_eq!(write(&empty).unwrap(), 4);
        // A link leads to where it leads; what cannot take its place stays beside it.
        let (real, link) = (folder.path().join("real"), folder.path().join("link"));
        fs::create_dir(&real).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        assert_eq!(write(&link).unwrap(), 4);
        assert_eq!(names(&real).len(), 4);
        let begun = Folder::begin(&folder.path().join("late")).unwrap();
        fs::create_dir_all(folder.path().join("late/others")).unwrap();
        let error = begun.write(&plan, &groups).unwrap_err().to_string();
        let kept = error.split("what was written is in ").nth(1).unwrap();
        assert_eq!(names(Path::new(kept)).len(), 4, "{error}");
    }
}
