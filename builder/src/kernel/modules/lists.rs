//! The files that tell an image of its modules: the list that the agents load by, and what modprobe reads.
//!
//! BusyBox's modprobe reads modules.dep, modules.alias and modules.builtin; kmod's takes soft and weak dependencies
//! from texts as well. By them the kernel gets what it asks for while it runs (/proc/sys/kernel/modprobe).

use std::collections::BTreeSet;

use super::tree::ChosenModules;
use crate::error::{Error, Result};

impl ChosenModules {
    /// The text of modules.dep: each module with all it needs, the one to load first last.
    pub fn modules_dep(&self) -> String {
        let mut lines: Vec<String> = self
            .modules
            .iter()
            .map(|(name, module)| {
                let needed = self.needed(name);
                let needed = self.order.iter().rev().filter(|name| needed.contains(*name));
                let paths: Vec<_> = needed.map(|name| self.modules[name].path.as_str()).collect();
                format!("{}: {}", module.path, paths.join(" ")).trim_end().to_owned() + "\n"
            })
            .collect();
        lines.sort();
        lines.concat()
    }

    /// The text of modules.alias: by which names and patterns modules are asked for.
    pub fn modules_alias(&self) -> String {
        // What has a blank in it would be another line's words.
        let sound = |alias: &&String| !alias.contains(|symbol: char| symbol.is_whitespace() || symbol.is_control());
        let modules =
            self.modules.iter().flat_map(|(name, module)| module.info.aliases.iter().map(move |alias| (name, alias)));
        modules.filter(|(_, alias)| sound(alias)).map(|(name, alias)| format!("alias {alias} {name}\n")).collect()
    }

    /// The text of modules.softdep.
    pub fn modules_softdep(&self) -> String {
        let mut text = String::new();
        for (name, module) in &self.modules {
            let soft = &module.info.soft;
            for (word, names) in [("pre:", &soft.before), ("post:", &soft.after)] {
                if !names.is_empty() {
                    text += &format!("softdep {name} {word} {}\n", names.join(" "));
                }
            }
        }
        text
    }

    /// The text of modules.weakdep.
    pub fn modules_weakdep(&self) -> String {
        let weak = self.modules.iter().filter(|(_, module)| !module.info.weak.is_empty());
        weak.map(|(name, module)| format!("weakdep {name} {}\n", module.info.weak.join(" "))).collect()
    }

    /// The text of modules.builtin, as far as modules of this image ask for it.
    pub fn modules_builtin(&self) -> String {
        self.builtin.values().map(|line| format!("{line}\n")).collect()
    }

    /// The list that the agents load by, of a kernel's folder in the image: modules in load order, each with its
    /// parameters ([`ListedModule`](vmatic_plan::modules::ListedModule)).
    pub fn load_list(&self, folder: &str) -> Result<String> {
        let mut list = String::new();
        for (name, module) in
            self.order.iter().map(|name| (name, &self.modules[name])).filter(|(_, module)| module.load)
        {
            if module.path.contains(|symbol: char| symbol.is_whitespace() || symbol.is_control()) {
                return Err(Error::new(format!("cannot load the kernel module {name}"))
                    .because(format!("its path {:?} has a blank in it", module.path))
                    .help("rename its folder"));
            }
            let options = self.options.get(name).map_or(String::new(), |options| format!(" {options}"));
            list += &format!("{folder}/{}{options}\n", module.path);
        }
        let most = vmatic_sys::modules::LIST_MAX_BYTES;
        if list.len() > most {
            return Err(Error::new("cannot load so many kernel modules")
                .because(format!("their list has {} bytes, and agents read {most}", list.len()))
                .help("name the classes or folders that the machines have"));
        }
        Ok(list)
    }

    fn needed(&self, name: &str) -> BTreeSet<String> {
        let mut needed = BTreeSet::new();
        let mut todo = vec![name];
        while let Some(name) = todo.pop() {
            for dependency in self.modules.get(name).map_or(&[][..], |module| &module.info.depends) {
                if self.modules.contains_key(dependency) && needed.insert(dependency.clone()) {
                    todo.push(dependency);
                }
            }
        }
        needed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::modules::info::ModuleInfo;
    use crate::kernel::modules::tree::Module;
    use std::collections::BTreeMap;

    fn module(path: &str, fields: &str) -> Module {
        let info = ModuleInfo::read(fields.as_bytes());
        Module { path: path.to_owned(), data: Vec::new(), info, load: !path.contains("weak"), needed_by: None }
    }

    fn chosen() -> ChosenModules {
        ChosenModules {
            order: ["c", "b", "a", "w"].map(str::to_owned).to_vec(),
            modules: BTreeMap::from([
                (
                    "a".to_owned(),
                    module("kernel/a.ko", "depends=b\0softdep=pre: x post: y z\0alias=fs-a\0alias=two words"),
                ),
                ("b".to_owned(), module("kernel/b.ko", "depends=c\0weakdep=w")),
                ("c".to_owned(), module("kernel/c.ko", "alias=pci:v*")),
                ("w".to_owned(), module("kernel/weak.ko", "")),
            ]),
            options: BTreeMap::from([("b".to_owned(), "n=3".to_owned())]),
            ..ChosenModules::default()
        }
    }

    #[test]
    fn modules_dep_lists_the_first_to_load_last() {
        let expected =
            "kernel/a.ko: kernel/b.ko kernel/c.ko\nkernel/b.ko: kernel/c.ko\nkernel/c.ko:\nkernel/weak.ko:\n";
        assert_eq!(chosen().modules_dep(), expected);
    }

    #[test]
    fn the_list_has_parameters_and_leaves_out_what_waits_to_be_asked_for() {
        assert_eq!(chosen().load_list("/m").unwrap(), "/m/kernel/c.ko\n/m/kernel/b.ko n=3\n/m/kernel/a.ko\n");
        assert_eq!(chosen().modules_alias(), "alias fs-a a\nalias pci:v* c\n");
        assert_eq!(chosen().modules_softdep(), "softdep a pre: x\nsoftdep a post: y z\n");
        assert_eq!(chosen().modules_weakdep(), "weakdep b w\n");
        let mut odd = chosen();
        odd.modules.insert("a".to_owned(), module("kernel/my folder/a.ko", ""));
        assert!(odd.load_list("/m").unwrap_err().to_string().contains("rename its folder"));
    }

    #[test]
    fn a_list_is_no_longer_than_agents_read() {
        let most = vmatic_sys::modules::LIST_MAX_BYTES;
        let mut long = chosen();
        let rest = long.load_list("/m").unwrap().len();
        for (length, fits) in [(most - rest, true), (most - rest + 1, false)] {
            long.options.insert("b".to_owned(), "n=3".to_owned() + &"x".repeat(length));
            assert_eq!(long.load_list("/m").is_ok(), fits);
        }
    }
}
