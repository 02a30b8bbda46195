//! Where a Python interpreter looks for modules (site.py, Debian's and others' folders), and how it finds one.

use std::collections::HashMap;

use crate::rootfs::root::{EntryKind, Rootfs};

/// Most lines of .pth files that name folders.
const PTH_FOLDERS_MAX: usize = 1000;

/// A module that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Module {
    /// A file of source, or an extension.
    File(String),
    /// A package: its folder, and its `__init__` where it has one.
    Package {
        /// The folder.
        folder: String,
        /// Its first module.
        init: Option<String>,
        /// All folders that it extends over.
        folders: Vec<String>,
    },
}

/// sys.path of a script.
pub struct ModulePath<'r> {
    root: &'r dyn Rootfs,
    /// The folders, in order.
    pub folders: Vec<String>,
    /// Those for what is installed beside Python itself.
    pub sites: Vec<String>,
    /// Those of the standard library.
    pub standard: Vec<String>,
    /// What makes a virtual environment one.
    pub environment: Option<String>,
    /// Files that site.py reads: those that name folders, and those that import, with what they say.
    pub settings: Vec<(String, Vec<String>)>,
    names: HashMap<String, Vec<String>>,
}

impl<'r> ModulePath<'r> {
    /// The path of a script in this folder, for this interpreter: as it was called, and its real path.
    pub fn new(root: &'r dyn Rootfs, asked: &str, real: &str, own_folder: &str) -> ModulePath<'r> {
        let prefix = |path: &str| path.split("/bin/").next().unwrap_or_default().to_owned();
        let name = real.rsplit('/').next().unwrap_or_default();
        let version = name.strip_prefix("python").filter(|rest| rest.contains('.')).unwrap_or("3").to_owned();
        let base = prefix(real);
        let versions = if version.contains('.') { vec![version] } else { versions(root, &base) };
        let settings = format!("{}/pyvenv.cfg", prefix(asked));
        let settings_text = root.text(&settings);
        let environment = settings_text.is_some().then_some(settings);
        let own_sites = settings_text.is_none_or(|text| {
            text.lines().any(|line| line.replace(' ', "").eq_ignore_ascii_case("include-system-site-packages=true"))
        });
        let (mut standard, mut sites) = (Vec::new(), Vec::new());
        for version in &versions {
            for lib in ["lib", "lib64"] {
                standard.push(format!("{base}/{lib}/python{version}"));
                standard.push(format!("{base}/{lib}/python{version}/lib-dynload"));
                if environment.is_some() {
                    sites.push(format!("{}/{lib}/python{version}/site-packages", prefix(asked)));
                }
                if own_sites {
                    sites.push(format!("/usr/local/{lib}/python{version}/dist-packages"));
                    sites.push(format!("/usr/local/{lib}/python{version}/site-packages"));
                    sites.push(format!("{base}/{lib}/python{version}/site-packages"));
                }
            }
            if own_sites {
                sites.push(format!("{base}/lib/python3/dist-packages"));
                sites.push(format!("{base}/lib/python{version}/dist-packages"));
            }
        }
        let there = |folder: &String| {
            matches!(root.find(folder).and_then(|found| root.kind(&found.real)), Some(EntryKind::Dir))
        };
        sites.retain(there);
        standard.retain(there);
        let mut known = std::collections::BTreeSet::new();
        sites.retain(|folder| known.insert(folder.clone()));
        let mut path = ModulePath {
            root,
            folders: vec![own_folder.to_owned()],
            sites,
            standard,
            environment,
            settings: Vec::new(),
            names: HashMap::new(),
        };
        path.folders.extend(path.standard.iter().cloned());
        path.folders.extend(path.sites.iter().cloned());
        path.read_pth();
        path
    }

    /// Files that name more folders (site.py).
    fn read_pth(&mut self) {
        let mut more = Vec::new();
        for site in self.sites.clone() {
            for name in self.names(&site).iter().filter(|name| name.ends_with(".pth")) {
                let file = format!("{site}/{name}");
                let text = self.root.text(&file).unwrap_or_default();
                let imports = text.lines().filter(|line| line.starts_with("import")).map(str::to_owned);
                self.settings.push((file, imports.take(PTH_FOLDERS_MAX).collect()));
                let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
                for line in lines.filter(|line| !line.starts_with("import")).take(PTH_FOLDERS_MAX) {
                    more.push(if line.starts_with('/') { line.to_owned() } else { format!("{site}/{line}") });
                }
            }
        }
        more.truncate(PTH_FOLDERS_MAX);
        self.folders.extend(more);
    }

    /// The names in a folder, which may be a link.
    pub fn names(&mut self, folder: &str) -> Vec<String> {
        if let Some(known) = self.names.get(folder) {
            return known.clone();
        }
        let names = self.root.find(folder).map(|found| self.root.list(&found.real)).unwrap_or_default();
        self.names.insert(folder.to_owned(), names.clone());
        names
    }

    /// A module by its last name, in these folders, in order.
    pub fn find(&mut self, folders: &[String], name: &str) -> Option<Module> {
        let mut portions = Vec::new();
        for folder in folders {
            let names = self.names(folder);
            if !names
                .iter()
                .any(|other| other.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
            {
                continue;
            }
            let own = format!("{folder}/{name}");
            let init = format!("{own}/__init__.py");
            if self.root.find_file(&init).is_some() {
                return Some(Module::Package { folder: own.clone(), init: Some(init), folders: vec![own] });
            }
            // An extension goes before source of its name.
            let extension = |other: &&String| {
                other.strip_prefix(name).is_some_and(|rest| rest.starts_with('.') && rest.ends_with(".so"))
            };
            if let Some(extension) = names.iter().find(extension) {
                return Some(Module::File(format!("{folder}/{extension}")));
            }
            if names.iter().any(|other| other.strip_prefix(name) == Some(".py")) {
                return Some(Module::File(format!("{own}.py")));
            }
            if names.iter().any(|other| other == name) && !self.names(&own).is_empty() {
                portions.push(own);
            }
        }
        let folder = portions.first()?.clone();
        Some(Module::Package { folder, init: None, folders: portions })
    }

    /// Whether a file is the standard library's.
    pub fn is_standard(&self, path: &str) -> bool {
        let below = |folder: &String| path.strip_prefix(folder.as_str()).is_some_and(|rest| rest.starts_with('/'));
        self.standard.iter().any(below) && !path.contains("/dist-packages/") && !path.contains("/site-packages/")
    }
}

/// The versions whose libraries are there, the newest first.
fn versions(root: &dyn Rootfs, base: &str) -> Vec<String> {
    let number = |path: &String| path.rsplit("python").next().unwrap_or_default().to_owned();
    let minor = |version: &String| version.rsplit('.').next().and_then(|text| text.parse::<u32>().ok()).unwrap_or(0);
    let mut versions: Vec<String> = root.glob(&format!("{base}/lib/python3.*")).iter().map(number).collect();
    versions.sort_by_key(|version| std::cmp::Reverse(minor(version)));
    versions.truncate(1);
    versions
}
