//! Symbol versions of a loading: whether each library has the versions that are asked of it.
//!
//! As glibc's loader does it at start (elf/dl-version.c): the library that answers to the name must define the
//! version, unless it has no versions at all, or the need is weak. musl does not look at versions.

use super::load::Loader;

impl Loader<'_, '_> {
    /// Notes every version that is asked for and not there.
    pub(super) fn check_versions(&mut self) {
        if self.musl.is_some() {
            return;
        }
        for at in 0..self.out.objects.len() {
            let needs = self.out.objects[at].needs.clone();
            for version in needs.versions.needed.iter().filter(|version| !version.weak) {
                let Some(library) = self.names.get(&version.library).map(|known| &self.out.objects[*known]) else {
                    continue;
                };
                let Some(defined) = &library.needs.versions.defined else { continue };
                if defined.contains(&version.hash) {
                    continue;
                }
                let hit = &self.out.objects[at].hit;
                let name = self.tables.place(hit.side).open(&hit.found.real).ok();
                let name = name.and_then(|source| needs.versions.name(&*source, version));
                let name = format!("version {} of {}", name.as_deref().unwrap_or("(unnamed)"), version.library);
                let tried = vec![format!("{} (it does not define it)", library.hit.found.real)];
                let remedy = format!(
                    "bring the {} that the program was built with, or a newer one: install its package in that root, \
                     or name its folder in library_path",
                    version.library
                );
                self.lack(at, &name, tried, remedy);
            }
        }
    }
}
