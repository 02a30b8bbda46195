//! The parser of specs, from TOML text to [`Spec`]: includes first, then what the file itself says, then the defaults.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};

use toml::de::DeTable;
use vmatic_plan::GuestReach;

use super::check;
use super::data::{FileSpec, HOST_MEMORY_MIB, ImageSpec, Source, Spec};
use super::diagnose::{Files, Problems, SpecText};
use super::draft::{Draft, DraftImage, DraftPlan};
use super::kinds;
use super::network;
use super::table::{Located, Table};
use super::table_of_hosts;
use super::values::{Compression, Depth, Input, KernelChoice, LoaderName, PackageName, RECIPES};
use crate::error::{Error, Kind, PathContext, Result};
use crate::fs::{clean_path, octal};
use crate::ui::suggest;

/// Deepest nesting of includes.
pub const INCLUDE_DEPTH_MAX: usize = 8;

/// What [host] or [guest] has when the spec does not say.
struct Defaults {
    /// The recipe of a kernel of our own, taken where it was built.
    recipe: &'static str,
    /// RAM of the machine in MiB; None where the kernel decides.
    memory_mib: Option<u32>,
    modules: &'static [&'static str],
    compression: Compression,
}

const KERNEL: PackageName = PackageName::known("linux-image-cloud-amd64");

const HOST: Defaults = Defaults {
    recipe: "host",
    memory_mib: Some(HOST_MEMORY_MIB),
    modules: &["virtio_pci", "virtio_net", "virtio_rng", "kvm_intel", "kvm_amd", "tun"],
    compression: Compression::Zstd,
};

/// The guest's image lies in the host's, which is packed as a whole: packed on its own it would save
/// nothing on the wire, and every guest would spend time and memory to unpack it.
const GUEST: Defaults = Defaults {
    recipe: "guest",
    memory_mib: None,
    modules: &["virtio_mmio", "virtio_net", "vmw_vsock_virtio_transport", "virtio_rng"],
    compression: Compression::None,
};

/// Reads a spec and all that it includes: what came of it, and what is wrong in each file, the spec's own last.
pub fn read(path: &Path) -> Result<(Option<Spec>, Files)> {
    let mut files = Files::new();
    let mut draft = Draft::default();
    read_file(path, 0, &mut draft, &mut files)?;
    let (spec, tables) = match files.last_mut() {
        Some((source, problems)) => finish(path, draft, source, problems),
        None => (None, Files::new()),
    };
    // The spec's own text stays the last.
    let own = files.len().saturating_sub(1);
    files.splice(own..own, tables);
    Ok((spec, files))
}

fn read_file(path: &Path, depth: usize, draft: &mut Draft, files: &mut Vec<(SpecText, Problems)>) -> Result<()> {
    if depth > INCLUDE_DEPTH_MAX {
        return Err(Error::new(format!("cannot read the spec {}", path.display()))
            .because(format!("specs include each other more than {INCLUDE_DEPTH_MAX} deep"))
            .help("remove the include that leads back")
            .of_kind(Kind::Spec));
    }
    let text = fs::read_to_string(path).at("read the spec", path).map_err(|error| {
        error.help("name an existing file, or write one with `vmatic new FILE`").of_kind(Kind::Spec)
    })?;
    let source = SpecText { path: path.to_owned(), text };
    let folder = path.parent().unwrap_or(Path::new("")).to_owned();
    let problems = RefCell::new(Problems::default());
    let (table, errors) = DeTable::parse_recoverable(&source.text);
    for error in errors {
        let span = error.span().unwrap_or(0..0);
        problems.borrow_mut().add(
            span,
            format!("not TOML: {}", error.message().trim()),
            "see https://toml.io for the syntax",
        );
    }
    let table = Table::new(table.get_ref(), "", &problems);
    for include in table.strings("include", "base.toml").unwrap_or_default() {
        let inside = folder.join(&include.value);
        if inside.is_file() {
            read_file(&inside, depth + 1, draft, files)?;
        } else {
            let message = format!("the included spec {} does not exist", inside.display());
            problems.borrow_mut().add(include.span, message, "correct the path: it is relative to this file");
        }
    }
    read_draft(&table, &folder, draft, &problems);
    if let (Some(inside), Some(span)) = (table.table("network"), table.key_span("network")) {
        problems.borrow_mut().note_place("network".to_owned(), "", span.clone());
        let (network, wrong_files) = network::read(&inside, span, &folder, &source.text, &problems);
        inside.finish();
        draft.network = Some(network);
        files.extend(wrong_files);
    }
    table.finish();
    files.push((source, problems.into_inner()));
    Ok(())
}

/// Sets what the file says, and leaves the rest.
fn set<T>(place: &mut Option<T>, value: Option<T>) {
    if value.is_some() {
        *place = value;
    }
}

fn read_draft(table: &Table, folder: &Path, draft: &mut Draft, problems: &RefCell<Problems>) {
    // What an included file said has its place in another text: it keeps the value and loses the place.
    draft.forget_places();
    set(&mut draft.name, table.string("name", "laptop"));
    draft.has_name |= table.has("name");
    if let Some(texts) = table.strings("loaders", "pxelinux") {
        draft.loaders = Some(texts.into_iter().filter_map(|text| read_loader(text, problems)).collect());
    }
    if let Some(plan) = table.table("plan") {
        draft.has_hosts |= plan.has("hosts");
        let draft = &mut draft.plan;
        read_hosts(&plan, folder, draft, problems);
        set(&mut draft.guests, plan.number("guests", 0..=i64::from(vmatic_plan::GUESTS_MAX)));
        set(&mut draft.host_network, plan.string_or_strings("host_network", "172.20.0.0/16"));
        set(&mut draft.guest_network, plan.string("guest_network", "10.0.0.0/8"));
        if let Some(text) = plan.string("guest_reach", "guests") {
            set(&mut draft.guest_reach, read_reach(text, problems));
        }
        set(&mut draft.fanout, plan.number("fanout", 2..=64));
        set(&mut draft.port, plan.number("port", 1..=65535));
        plan.finish();
    }
    for (key, image) in [("host", &mut draft.host), ("guest", &mut draft.guest)] {
        if let Some(table) = table.table(key) {
            read_image(&table, folder, image, problems);
            if key == "guest" {
                set(&mut draft.backend, kinds::read_backend(&table, problems));
                set(&mut draft.kinds, kinds::read(&table, folder, problems));
            }
            table.finish();
        }
    }
}

/// A pattern or a count, or a table of machines: the later of two files has the one that counts.
fn read_hosts(plan: &Table, folder: &Path, draft: &mut DraftPlan, problems: &RefCell<Problems>) {
    match plan.table_there("hosts") {
        Some((table, span)) => {
            let source = table_of_hosts::read(&table, folder, problems);
            table.finish();
            draft.table = source.map(|value| Located { value, span });
            draft.hosts = None;
        }
        None => {
            let example = "hosts = \"dn[1-16]\", hosts = 16 or hosts = { file = \"hosts\" }";
            let hosts = plan.string_or_number("hosts", example);
            draft.table = draft.table.take().filter(|_| hosts.is_none());
            set(&mut draft.hosts, hosts);
        }
    }
}

fn read_image(table: &Table, folder: &Path, image: &mut DraftImage, problems: &RefCell<Problems>) {
    let wrong = |span, message: String, remedy: &str| problems.borrow_mut().add(span, message, remedy);
    let values = |list: Vec<Located<String>>| list.into_iter().map(|item| item.value).collect();
    set(&mut image.memory_mib, table.number("memory_mib", 16..=1 << 20));
    set(&mut image.cpus, table.number("cpus", 1..=1024));
    set(&mut image.cmdline, table.string("cmdline", "quiet"));
    if let Some(texts) = table.string_or_strings("kernel", &format!("debian:{KERNEL}")) {
        image.kernels = Some(texts.into_iter().filter_map(|text| read_kernel(text, folder, problems)).collect());
    }
    if let Some(text) = table.string("base", "busybox") {
        let path = folder.join(&text.value);
        if text.value == "busybox" {
            image.base = Some(None);
        } else if path.is_dir() {
            image.base = Some(Some(path));
        } else {
            wrong(
                text.span,
                format!("the base {} does not exist", path.display()),
                "write \"busybox\", or a folder relative to this file",
            );
        }
    }
    if let Some(list) = table.strings("overlays", "overlays/host") {
        for item in list.iter().filter(|item| !folder.join(&item.value).is_dir()) {
            let message = format!("the overlay {} does not exist", folder.join(&item.value).display());
            wrong(item.span.clone(), message, "correct the path: it is relative to this file");
        }
        image.overlays = Some(list.into_iter().map(|item| (item.value.clone(), folder.join(item.value))).collect());
    }
    if let Some(text) = table.string("root", "/") {
        let path = folder.join(&text.value);
        if !path.is_dir() {
            wrong(
                text.span,
                format!("the root {} does not exist", path.display()),
                "write \"/\" or the folder of an unpacked system",
            );
        }
        image.root = Some(path);
    }
    set(&mut image.binaries, table.strings("binaries", "strace").map(values));
    read_packages(table, image, problems);
    let folder_of_root = "write the path of a folder of the root, such as \"/opt/lib\"";
    set(&mut image.library_path, absolute_paths(table.strings("library_path", "/opt/lib"), folder_of_root, problems));
    let strict = table.flag("strict");
    set(&mut image.strict, table.has("strict").then_some(strict));
    set(&mut image.modules, table.strings("modules", "virtio_net").map(values));
    let secrets = table.strings("secrets", "/etc/ssh/ssh_host_ed25519_key");
    set(
        &mut image.secrets,
        absolute_paths(secrets, "write a path of the image, or of a folder with / behind", problems),
    );
    if let Some(text) = table.string("compression", "zstd") {
        image.compression = read_compression(text, problems);
    }
    const FILES: &str = "files = [{ from = \"motd\", to = \"/etc/motd\" }]";
    if let Some(list) = table.tables("files", FILES) {
        image.files = Some(list.into_iter().filter_map(|item| read_copy(item, folder, problems)).collect());
    }
}

/// Paths that must begin at the root; `remedy` says what to write instead of another.
fn absolute_paths(
    list: Option<Vec<Located<String>>>,
    remedy: &str,
    problems: &RefCell<Problems>,
) -> Option<Vec<String>> {
    let list = list?;
    for item in list.iter().filter(|item| !item.value.starts_with('/')) {
        let message = format!("{:?} is not an absolute path", item.value);
        problems.borrow_mut().add(item.span.clone(), message, remedy);
    }
    Some(list.into_iter().map(|item| item.value).collect())
}

fn read_kernel(text: Located<String>, folder: &Path, problems: &RefCell<Problems>) -> Option<KernelChoice> {
    let choice = KernelChoice::parse(&text.value, folder);
    let (message, remedy) = match &choice {
        None => (
            format!("unknown input {:?}", text.value),
            "write \"debian:PACKAGE\", \"dir:FOLDER\" or \"built:RECIPE\"".to_owned(),
        ),
        Some(KernelChoice::Input(Input::Folder(path))) if !path.is_dir() => (
            format!("the folder {} does not exist", path.display()),
            "correct the path: it is relative to this file".to_owned(),
        ),
        Some(KernelChoice::BuiltFrom(path)) if !path.is_file() => (
            format!("the kernel recipe {} does not exist", path.display()),
            "correct the path: it is relative to this file".to_owned(),
        ),
        Some(KernelChoice::Built(recipe)) if !RECIPES.contains(&recipe.as_str()) => {
            let near = suggest::nearest(recipe, RECIPES.into_iter());
            let remedy = match near {
                Some(near) => format!("did you mean {near:?}?"),
                None => format!("name one of {}, or a file NAME.config", RECIPES.join(", ")),
            };
            (format!("cannot find the kernel recipe {recipe:?}"), remedy)
        }
        Some(_) => return choice,
    };
    problems.borrow_mut().add(text.span, message, remedy);
    None
}

fn read_loader(text: Located<String>, problems: &RefCell<Problems>) -> Option<LoaderName> {
    let loader = LoaderName::by_name(&text.value);
    if loader.is_none() {
        let names = LoaderName::ALL.map(|loader| format!("{:?}", loader.name()));
        let message = format!("unknown boot loader {:?}", text.value);
        problems.borrow_mut().add(text.span, message, format!("write some of {}", names.join(", ")));
    }
    loader
}

fn read_packages(table: &Table, image: &mut DraftImage, problems: &RefCell<Problems>) {
    let wrong = |span, message: String, remedy: &str| problems.borrow_mut().add(span, message, remedy);
    if let Some(list) = table.strings("packages", "git") {
        let mut packages = Vec::new();
        for item in list {
            match PackageName::parse(&item.value) {
                Some(name) => packages.push(name),
                None => {
                    let message = format!("invalid package name {:?}", item.value);
                    wrong(item.span, message, "write the name of a Debian package, such as \"git\"");
                }
            }
        }
        image.packages = Some(packages);
    }
    if let Some(text) = table.string_or_number("package_depth", "package_depth = \"all\" or package_depth = 0") {
        image.package_depth = Depth::parse(&text.value);
        if image.package_depth.is_none() {
            wrong(
                text.span,
                format!("invalid package depth {:?}", text.value),
                "write \"all\", or how many steps to follow",
            );
        }
    }
}

fn read_compression(text: Located<String>, problems: &RefCell<Problems>) -> Option<Compression> {
    let compression = Compression::by_name(&text.value);
    if compression.is_none() {
        let names = Compression::ALL.map(|compression| format!("{:?}", compression.name()));
        let message = format!("unknown compression {:?}", text.value);
        problems.borrow_mut().add(text.span, message, format!("write one of {}", names.join(", ")));
    }
    compression
}

fn read_reach(text: Located<String>, problems: &RefCell<Problems>) -> Option<GuestReach> {
    let reach = text.value.parse();
    if reach.is_err() {
        let words = GuestReach::ALL.map(|reach| format!("{:?}", reach.word()));
        let message = format!("unknown reach of guests {:?}", text.value);
        let remedy = match suggest::nearest(&text.value, GuestReach::ALL.iter().map(|reach| reach.word())) {
            Some(near) => format!("did you mean {near:?}?"),
            None => format!("write one of {}: each opens more than the one before", words.join(", ")),
        };
        problems.borrow_mut().add(text.span, message, remedy);
    }
    reach.ok()
}

fn read_copy(item: Located<Table>, folder: &Path, problems: &RefCell<Problems>) -> Option<FileSpec> {
    let table = item.value;
    let wrong = |span, message: String, remedy: &str| problems.borrow_mut().add(span, message, remedy);
    let (from, to) = (table.string("from", "motd"), table.string("to", "/etc/motd"));
    let (mode, owner) = (table.string("mode", "0644"), table.string("owner", "0:0"));
    table.finish();
    let (Some(from), Some(to)) = (from, to) else {
        wrong(item.span, "a file needs both from and to".to_owned(), "write { from = \"motd\", to = \"/etc/motd\" }");
        return None;
    };
    let path = folder.join(&from.value);
    if !path.is_file() {
        wrong(
            from.span,
            format!("the file {} does not exist", path.display()),
            "correct the path: it is relative to this file",
        );
    }
    if !to.value.starts_with('/') || clean_path(&to.value).is_err() {
        wrong(to.span, format!("invalid path in an image: {:?}", to.value), "write an absolute path without `..`");
    }
    let bits = match mode {
        None => None,
        Some(mode) => match octal(&mode.value) {
            None => {
                wrong(mode.span, format!("invalid mode {:?}", mode.value), "write octal digits, e.g. \"0755\"");
                return None;
            }
            bits => bits,
        },
    };
    let ids = owner.map_or(Some((0, 0)), |owner| {
        let ids = owner.value.split_once(':').and_then(|(uid, gid)| Some((uid.parse().ok()?, gid.parse().ok()?)));
        if ids.is_none() {
            wrong(owner.span, format!("invalid owner {:?}", owner.value), "write two numbers, e.g. \"0:0\"");
        }
        ids
    });
    Some(FileSpec { from: path, written: from.value, to: to.value, mode: bits, owner: ids? })
}

/// Fills in the defaults and checks what needs the whole.
fn finish(path: &Path, draft: Draft, source: &SpecText, problems: &mut Problems) -> (Option<Spec>, Files) {
    let names = check::Names::of(&draft);
    let (plan, tables) = check::plan(&draft, source, problems);
    let Some(plan) = plan else { return (None, tables) };
    let kinds = draft.kinds.unwrap_or_default();
    kinds::check(&kinds, plan.guests, problems);
    let network = draft.network.and_then(|network| {
        let size = (plan.hosts.len(), plan.guests);
        network::finish(network, size, plan.guest_network, &kinds, source, problems)
    });
    let host = image(draft.host, &HOST);
    let guest = image(draft.guest, &GUEST);
    // A name that is missing is noted already.
    let name = draft.name.map_or_else(|| "x".to_owned(), |name| name.value);
    let spec = Spec {
        path: path.to_owned(),
        name,
        loaders: draft.loaders.unwrap_or_default(),
        plan,
        host,
        guest,
        backend: draft.backend.unwrap_or_default(),
        kinds: kinds.into_iter().map(|kind| kind.value).collect(),
        network,
        source: Source::default(),
    };
    check::whole(&spec, &names, problems);
    (Some(spec), tables)
}

fn image(draft: DraftImage, defaults: &Defaults) -> ImageSpec {
    let number = |value: Option<Located<i64>>| value.map(|value| value.value as u32);
    let kernels = draft.kernels.filter(|kernels| !kernels.is_empty());
    ImageSpec {
        memory_mib: number(draft.memory_mib).or(defaults.memory_mib),
        cpus: number(draft.cpus),
        kernels: kernels.unwrap_or_else(|| {
            let own = KernelChoice::Built(defaults.recipe.to_owned());
            vec![own, KernelChoice::Input(Input::Debian(KERNEL))]
        }),
        cmdline: draft.cmdline.map_or_else(String::new, |text| text.value),
        base: draft.base.flatten(),
        overlays: draft.overlays.unwrap_or_default(),
        root: draft.root.unwrap_or_else(|| PathBuf::from("/")),
        binaries: draft.binaries.unwrap_or_default(),
        library_path: draft.library_path.unwrap_or_default(),
        strict: draft.strict.unwrap_or_default(),
        packages: draft.packages.unwrap_or_default(),
        package_depth: draft.package_depth.unwrap_or_default(),
        modules: draft.modules.unwrap_or_else(|| defaults.modules.iter().map(|name| (*name).to_owned()).collect()),
        files: draft.files.unwrap_or_default(),
        secrets: draft.secrets.unwrap_or_default(),
        compression: draft.compression.unwrap_or(defaults.compression),
    }
}
