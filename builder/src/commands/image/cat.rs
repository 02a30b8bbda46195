//! `vmatic cat`: a file of an image, as it is.

use std::ffi::OsString;

use crate::Exit;
use crate::error::{Error, Result};
use crate::names;
use crate::output::inspect::ImageArgs;
use crate::rootfs::tree::Content;
use crate::ui::print::print_bytes;
use crate::ui::suggest;

/// Print a file of an image
#[derive(clap::Args, Debug)]
pub struct Args {
    /// A path in the image, as it is or as `vmatic list` shows it; links are followed
    path: OsString,
    #[command(flatten)]
    image: ImageArgs,
}

/// Runs the verb.
pub fn run(args: Args) -> Result<Exit> {
    let tree = args.image.tree()?;
    let path = names::from_os(&args.path);
    let tried = || Error::new(format!("cannot print {}", names::show(&path)));
    let as_shown = || tree.real_path(&names::unshow(&path)?);
    let real = tree.real_path(&path).or_else(as_shown).ok_or_else(|| {
        let wanted = path.trim_matches('/');
        let remedy = match suggest::nearest(wanted, tree.iter().map(|(path, _)| path)) {
            Some(near) => format!("did you mean /{}?", names::show(near)),
            None => "`vmatic list` shows all that is there".to_owned(),
        };
        tried().because("the image has no such file").help(remedy)
    })?;
    match tree.get(&real).map(|entry| &entry.content) {
        Some(Content::File { data, .. }) => print_bytes(data).map(|()| Exit::Ok),
        _ => Err(tried().because(format!("/{} is not a file", names::show(&real)))),
    }
}
