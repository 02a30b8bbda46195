//! `vmatic why`: the reason for a file, up to what the spec says.

use std::ffi::OsString;

use serde_json::json;

use crate::Exit;
use crate::error::{Error, Result};
use crate::manifest::FileRecord;
use crate::names::{self, show};
use crate::output::inspect::{ImageArgs, View};
use crate::ui::print::{print, print_json};
use crate::ui::suggest;

/// Explain why a file is in an image
///
/// Shows the layer that brought it, where its content came from, what it replaced, and the chain of
/// those that asked for it.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// A path in the image, as it is or as `vmatic list` shows it
    path: OsString,
    #[command(flatten)]
    image: ImageArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub fn run(args: Args) -> Result<Exit> {
    let view = args.image.open()?;
    let path = names::from_os(&args.path);
    let shown = names::unshow(&path).filter(|shown| find(&view, &path).is_none() && find(&view, shown).is_some());
    let chain = chain(&view, shown.as_deref().unwrap_or(&path))?;
    if args.json {
        print_json(&json!({ "image": view.name, "path": chain[0].path, "chain": chain }))?;
    } else {
        print(&text(&chain))?;
    }
    Ok(Exit::Ok)
}

/// The file and then each that asked for the one before.
fn chain<'a>(view: &'a View, path: &str) -> Result<Vec<&'a FileRecord>> {
    let tried = || Error::new(format!("cannot say why {} is in {}", show(path), view.name));
    if !view.explained {
        return Err(tried()
            .because("an image file alone holds no reasons")
            .help("name the output folder that `vmatic build` wrote; `vmatic list` shows any image"));
    }
    let first = find(view, path).ok_or_else(|| {
        let known = view.files.iter().map(|file| file.path.as_str());
        let error = tried().because("it is not there");
        match suggest::nearest(path, known) {
            Some(near) => error.help(format!("did you mean {}?", show(near))),
            None => error.help("`vmatic list` shows all that is there"),
        }
    })?;
    let mut chain = vec![first];
    while let Some(next) = chain.last().and_then(|file| file.needed_by.as_ref()).and_then(|path| find(view, path)) {
        if chain.iter().any(|file| file.path == next.path) {
            break;
        }
        chain.push(next);
    }
    Ok(chain)
}

/// The record of a path, links among its folders followed.
fn find<'a>(view: &'a View, path: &str) -> Option<&'a FileRecord> {
    let mut path = format!("/{}", path.trim_matches('/'));
    for _ in 0..crate::rootfs::links::LINKS_FOLLOWED_MAX {
        if let Some(file) = view.files.iter().find(|file| file.path == path) {
            return Some(file);
        }
        let folders = path.match_indices('/').skip(1).map(|(at, _)| at);
        let link = folders.filter_map(|at| {
            let link = view.files.iter().find(|file| file.path == path[..at])?;
            Some((at, link.target.as_ref()?.trim_matches('/').to_owned(), link.path.rsplit_once('/')?.0.to_owned()))
        });
        let (at, target, folder) = link.last()?;
        let absolute = view.files.iter().any(|file| file.path == format!("/{target}"));
        path = if absolute { format!("/{target}{}", &path[at..]) } else { format!("{folder}/{target}{}", &path[at..]) };
    }
    None
}

/// Where it came from: a path, or a package with spaces in its description.
fn show_origin(origin: &str) -> String {
    origin.split(' ').map(show).collect::<Vec<_>>().join(" ")
}

fn text(chain: &[&FileRecord]) -> String {
    let mut text = String::new();
    for (depth, file) in chain.iter().enumerate() {
        let indent = "  ".repeat(depth);
        let target = file.target.as_ref().map_or_else(String::new, |target| format!(" -> {}", show(target)));
        let asked = if depth == 0 { "" } else { "needed by " };
        text.push_str(&format!("{indent}{asked}{}{target}: {} ({})\n", show(&file.path), file.reason, file.layer));
        if let Some(origin) = &file.origin {
            text.push_str(&format!("{indent}  from {}\n", show_origin(origin)));
        }
        if let Some(rule) = &file.mode_rule {
            text.push_str(&format!("{indent}  mode {}, {rule}\n", file.mode));
        }
        if !file.overrode.is_empty() {
            text.push_str(&format!("{indent}  in place of the one of {}\n", file.overrode.join(", ")));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(path: &str, reason: &str, needed_by: Option<&str>, target: Option<&str>) -> FileRecord {
        FileRecord {
            path: path.to_owned(),
            reason: reason.to_owned(),
            layer: "binaries".to_owned(),
            needed_by: needed_by.map(str::to_owned),
            target: target.map(str::to_owned),
            ..FileRecord::default()
        }
    }

    fn view() -> View {
        View {
            name: "x".to_owned(),
            packed_bytes: 0,
            unpacked_bytes: 0,
            explained: true,
            members: Vec::new(),
            early: Vec::new(),
            files: vec![
                record("/lib", "link", None, Some("usr/lib")),
                record("/usr/lib/libc.so.6", "library libc.so.6", Some("/usr/lib/libz.so.1"), None),
                record("/usr/lib/libz.so.1", "library libz.so.1", Some("/usr/bin/zcat"), None),
                record("/usr/bin/zcat", "binary named in the spec", None, None),
            ],
        }
    }

    #[test]
    fn the_chain_leads_to_the_spec() {
        let view = view();
        let chain = chain(&view, "/lib/libc.so.6").unwrap();
        let expected = "\
/usr/lib/libc.so.6: library libc.so.6 (binaries)
  needed by /usr/lib/libz.so.1: library libz.so.1 (binaries)
    needed by /usr/bin/zcat: binary named in the spec (binaries)
";
        assert_eq!(text(&chain), expected);
    }

    #[test]
    fn a_path_that_is_not_there_is_an_error_with_a_guess() {
        let error = chain(&view(), "/usr/bin/zcatt").unwrap_err().to_string();
        assert!(error.contains("did you mean /usr/bin/zcat?"), "{error}");
    }
}
