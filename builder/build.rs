//! The build script: embeds what the vmatic program brings along, so that it works from anywhere: the BusyBox base
//! (initramfs/), the fragments and patches of kernels (kernel-configs/), and where it is built to be one file, the
//! agents.

use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    embed("initramfs", "base.rs")?;
    embed("kernel-configs", "kernel_configs.rs")?;
    carry()
}

/// Writes a table of the agents that the program carries, packed by gzip: those of the folder `VMATIC_CARRY`. Without
/// that variable there are none, and they are looked for beside the program.
fn carry() -> io::Result<()> {
    println!("cargo::rerun-if-env-changed=VMATIC_CARRY");
    let mut code = String::from("&[\n");
    if let Some(folder) = env::var_os("VMATIC_CARRY") {
        for name in ["vmatic-agent", "vmatic-leaf"] {
            let file = PathBuf::from(&folder).join(format!("{name}.gz")).canonicalize()?;
            println!("cargo::rerun-if-changed={}", file.display());
            let _ = writeln!(code, "    ({name:?}, include_bytes!({file:?})),");
        }
    }
    code.push_str("]\n");
    fs::write(PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("carried.rs"), code)
}

/// Writes a table of a folder's files: path, whether its owner may run it, content.
fn embed(name: &str, table: &str) -> io::Result<()> {
    let folder = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default()).join("..").join(name);
    let folder = folder.canonicalize()?;
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut files = Vec::new();
    walk(&folder, &mut files)?;
    files.sort();
    let mut code = String::from("&[\n");
    for file in files {
        let inside = file.strip_prefix(&folder).map_err(io::Error::other)?;
        let runs = fs::metadata(&file)?.permissions().mode() & 0o100 != 0;
        let _ = writeln!(code, "    ({inside:?}, {runs}, include_bytes!({file:?})),");
    }
    code.push_str("]\n");
    fs::write(PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join(table), code)
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() { walk(&path, files)? } else { files.push(path) }
    }
    Ok(())
}
