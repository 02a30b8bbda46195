//! What each node wrote, as files of a folder: `NAME.out` and, where a node wrote to it, `NAME.err`.
//!
//! Takes outputs piece by piece, as they come ([`crate::client::stream`]), so that nothing is held. The folder takes
//! its place whole, when all is written: it never holds results of two runs.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use vmatic_plan::{Node, Plan};
use vmatic_tree::answer::{Group, Outcome};
use vmatic_tree::stream::Stream;

use crate::client::stream::Sink;
use crate::error::{Error, PathContext, Result};

/// Modes of folder and files, less what the umask takes.
const FOLDER_MODE: u32 = 0o777;

/// Most files that are open at a time.
const OPEN_MAX: usize = 200;

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

    /// Takes what nodes write from now on.
    pub fn open<'a>(self, plan: &'a Plan) -> Files<'a> {
        let Folder { target, scratch } = self;
        // From here on it holds what cannot be had again.
        Files { target, scratch: scratch.keep(), plan, open: BTreeMap::new(), order: VecDeque::new() }
    }
}

/// Files that are being written.
pub struct Files<'a> {
    target: PathBuf,
    scratch: PathBuf,
    plan: &'a Plan,
    open: BTreeMap<(Node, Stream), File>,
    /// In the order in which they were opened.
    order: VecDeque<(Node, Stream)>,
}

impl Sink for Files<'_> {
    fn write(&mut self, node: Node, stream: Stream, bytes: &[u8], end: bool) -> Result<()> {
        if !bytes.is_empty() {
            let path = self.path(node, stream);
            let written = self.file(node, stream).and_then(|file| file.write_all(bytes).at("write", &path));
            written.map_err(|error| error.help(self.kept()))?;
        }
        if end {
            self.open.remove(&(node, stream));
        }
        Ok(())
    }
}

impl Files<'_> {
    /// Takes outputs that came whole, with their answers.
    ///
    /// # Errors
    /// As for a piece.
    pub fn take(&mut self, groups: &[Group]) -> Result<()> {
        for Group { output, nodes, .. } in groups {
            for node in nodes.iter() {
                self.write(node, Stream::Out, &output.stdout, true)?;
                self.write(node, Stream::Err, &output.stderr, true)?;
            }
        }
        Ok(())
    }

    /// All has come: every node that answered has a file, and the folder takes its place. Gives how many files there
    /// are.
    ///
    /// # Errors
    /// When they cannot be written, or not be put in their place: what is written then stays, and it is said where.
    pub fn finish(mut self, groups: &[Group]) -> Result<u64> {
        let finished = self.complete(groups);
        finished.map_err(|error| error.help(self.kept()))
    }

    fn complete(&mut self, groups: &[Group]) -> Result<u64> {
        self.open.clear();
        for group in groups.iter().filter(|group| !matches!(group.outcome, Outcome::Unreachable(_))) {
            for node in group.nodes.iter() {
                let path = self.path(node, Stream::Out);
                OpenOptions::new().append(true).create(true).open(&path).at("write", &path)?;
            }
        }
        let files = fs::read_dir(&self.scratch).at("read", &self.scratch)?.count() as u64;
        fs::rename(&self.scratch, &self.target).at("write", &self.target)?;
        Ok(files)
    }

    fn kept(&self) -> String {
        format!("what was written is in {}", self.scratch.display())
    }

    fn path(&self, node: Node, stream: Stream) -> PathBuf {
        let kind = if stream == Stream::Out { "out" } else { "err" };
        self.scratch.join(format!("{}.{kind}", name(self.plan, node)))
    }

    /// The file of an output, which goes on where it ended.
    fn file(&mut self, node: Node, stream: Stream) -> Result<&mut File> {
        while self.open.len() >= OPEN_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.open.remove(&oldest);
        }
        let path = self.path(node, stream);
        match self.open.entry((node, stream)) {
            Entry::Occupied(file) => Ok(file.into_mut()),
            Entry::Vacant(none) => {
                let file = OpenOptions::new().append(true).create(true).open(&path).at("write", &path)?;
                self.order.push_back((node, stream));
                Ok(none.insert(file))
            }
        }
    }
}

/// A node's name, which no slash is in.
pub fn name(plan: &Plan, node: Node) -> String {
    plan.node_name(node).unwrap_or_else(|| node.to_string().replace('/', "-"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use vmatic_plan::{HostId, HostNames, NodeSet, RangeSet};
    use vmatic_tree::answer::Output;
    use vmatic_tree::unreachable::Unreachable;

    #[test]
    fn more_files_than_may_be_open_each_have_all_that_is_theirs() {
        let hosts = OPEN_MAX as u32 + 50;
        let plan = Plan::new("t", HostNames::count(hosts).expect("hosts"));
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().join("out");
        let mut files = Folder::begin(&at).unwrap().open(&plan);
        for round in 0..3 {
            for host in 1..=hosts {
                let text = format!("{round} {host}\n");
                files.write(Node::host(HostId(host)), Stream::Out, text.as_bytes(), false).unwrap();
                assert!(files.open.len() <= OPEN_MAX);
            }
        }
        assert_eq!(files.finish(&[]).unwrap(), u64::from(hosts));
        for host in 1..=hosts {
            let path = at.join(format!("{}.out", plan.hosts.name(HostId(host)).unwrap()));
            assert_eq!(fs::read_to_string(path).unwrap(), format!("0 {host}\n1 {host}\n2 {host}\n"));
        }
    }

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
        let fill = |folder: Folder| {
            let mut files = folder.open(&plan);
            files.take(&groups)?;
            files.finish(&groups)
        };
        let write = |at: &Path| fill(Folder::begin(at)?);
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
        let error = fill(begun).unwrap_err().to_string();
        let kept = error.split("what was written is in ").nth(1).unwrap();
        assert_eq!(names(Path::new(kept)).len(), 4, "{error}");
    }
}
