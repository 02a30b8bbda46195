//! The files of one package, and which of them may be started by name.
//!
//! Takes the paths of dpkg's list; answers what lies below a folder and on the path, and gives the shapes of the names
//! of programs and modules, each made once, when first asked for.

use std::cell::OnceCell;

use crate::elf::shapes::Shapes;
use crate::rootfs::root::PROGRAM_FOLDERS;

/// The files of a package, each without /usr in front, sorted.
#[derive(Debug, Default)]
pub struct Files {
    paths: Vec<String>,
    programs: OnceCell<Vec<usize>>,
    helper_shapes: OnceCell<Shapes>,
    module_shapes: OnceCell<Shapes>,
    program_shapes: OnceCell<Shapes>,
}

impl Files {
    /// Of such paths, in any order.
    pub fn of(mut paths: Vec<String>) -> Files {
        paths.sort_unstable();
        paths.dedup();
        Files { paths, ..Files::default() }
    }

    /// Whether the package has a path.
    pub fn has(&self, path: &str) -> bool {
        self.paths.binary_search_by(|known| known.as_str().cmp(short(path))).is_ok()
    }

    /// The package's paths below a folder, without /usr in front.
    pub fn below<'a>(&'a self, folder: &str) -> impl Iterator<Item = &'a str> + use<'a> {
        let folder = format!("{}/", short(folder).trim_end_matches('/'));
        let start = self.paths.partition_point(|known| *known < folder);
        self.paths[start..].iter().map(String::as_str).take_while(move |path| path.starts_with(&folder))
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &str> {
        self.paths.iter().map(String::as_str)
    }

    /// Those in folders where programs are looked for.
    pub fn programs(&self) -> impl Iterator<Item = &str> {
        let on_path = |path: &str| {
            let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
            PROGRAM_FOLDERS.iter().any(|known| short(known) == folder)
        };
        let found = self.programs.get_or_init(|| {
            self.paths.iter().enumerate().filter(|(_, path)| on_path(path)).map(|(at, _)| at).collect()
        });
        found.iter().map(|at| self.paths[*at].as_str())
    }

    /// The shapes of names of files that may be programs, wherever they lie.
    pub fn helper_shapes(&self) -> &Shapes {
        self.helper_shapes.get_or_init(|| self.all().filter(|path| self.may_run(path)).map(name_of).collect())
    }

    /// The shapes of names of modules, with and without their ends.
    pub fn module_shapes(&self) -> &Shapes {
        self.module_shapes.get_or_init(|| {
            let names = || self.all().map(name_of).filter(|name| stem(name) != *name);
            names().chain(names().map(stem)).collect()
        })
    }

    /// Whether a path is neither a folder, nor a text for readers, nor a library in the system's folder.
    fn may_run(&self, path: &str) -> bool {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let systems = folder == "/lib" || folder.starts_with("/lib/") && folder.ends_with("-linux-gnu");
        let text = || TEXTS.iter().any(|part| path.contains(part));
        path != "/usr"
            && name.starts_with(|first: char| first.is_ascii_alphanumeric())
            && !(systems && name.contains(".so"))
            && !text()
            && self.below(path).next().is_none()
    }

    /// The shapes of names of programs.
    pub fn program_shapes(&self) -> &Shapes {
        self.program_shapes.get_or_init(|| self.programs().map(name_of).collect())
    }
}

/// Where packages have what people and compilers read.
const TEXTS: [&str; 9] = [
    "/share/doc/",
    "/share/man/",
    "/share/info/",
    "/share/locale/",
    "/share/lintian/",
    "/share/doc-base/",
    "/share/bug/",
    "/include/",
    "/src/",
];

/// A library's name without its end: what libltdl adds.
pub fn stem(name: &str) -> &str {
    name.split(".so").next().unwrap_or(name).trim_end_matches(".la")
}

fn name_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

/// A path without /usr in front: a package of before merged /usr lists /lib for what lies in /usr/lib.
pub fn short(path: &str) -> &str {
    path.strip_prefix("/usr").filter(|rest| rest.starts_with('/')).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_told_from_texts_and_libraries() {
        let paths = [
            "/usr",
            "/bin",
            "/bin/tool",
            "/lib/tool",
            "/lib/tool/worker",
            "/lib/tool/part.so",
            "/share/doc/tool",
            "/share/doc/tool/copyright",
            "/lib/x86_64-linux-gnu/libtool.so.1",
            "/include/tool.h",
        ];
        let files = Files::of(paths.map(str::to_owned).to_vec());
        assert_eq!(files.programs().collect::<Vec<_>>(), ["/bin/tool"]);
        assert_eq!(
            files.all().filter(|path| files.may_run(path)).collect::<Vec<_>>(),
            ["/bin/tool", "/lib/tool/part.so", "/lib/tool/worker"]
        );
        assert!(files.module_shapes().may_have(b"part") && files.module_shapes().may_have(b"part.so"));
        assert!(!files.helper_shapes().may_have(b"copyright"));
        assert!(Files::default().helper_shapes().is_empty());
    }
}
