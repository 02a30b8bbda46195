//! `vmatic list`: the files of an image.

use crate::Exit;
use crate::error::Result;
use crate::manifest::FileRecord;
use crate::names::show;
use crate::output::inspect::ImageArgs;
use crate::ui::print::{print, print_json};

/// List the files of an image
///
/// What is shown is what a kernel has that boots the image: where that is not what the archive says, a warning gives
/// the place and the reason. Images of others too, in a unified kernel image or behind U-Boot's header as well. Names
/// are shown so that no two look alike: control characters, bytes that are not UTF-8 and the like as \xNN, a backslash
/// as \\. In JSON, a byte that is not part of UTF-8 is the code point U+10F700 plus the byte.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    image: ImageArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub fn run(args: Args) -> Result<Exit> {
    let view = args.image.open()?;
    if args.json {
        print_json(&view.files)?
    } else {
        print(&lines(&view.files))?
    }
    Ok(Exit::Ok)
}

/// A line a file: kind and mode, owner, size or a device's number, layer, path.
pub fn lines(files: &[FileRecord]) -> String {
    let layer = files.iter().map(|file| file.layer.len()).max().unwrap_or(0);
    let line = |file: &FileRecord| {
        let target = file.target.as_ref().map_or_else(String::new, |target| format!(" -> {}", show(target)));
        let device = file.device.as_deref().unwrap_or_default();
        let kind = match file.kind.as_str() {
            "directory" => 'd',
            "link" => 'l',
            "device" if device.starts_with('b') => 'b',
            "device" => 'c',
            "fifo" => 'p',
            "socket" => 's',
            _ => '-',
        };
        let size = match device.split_once(' ') {
            Some((_, number)) => number.replace(' ', ","),
            None => file.size.to_string(),
        };
        let owner = format!("{}:{}", file.uid, file.gid);
        format!("{kind}{} {owner:>5} {size:>10} {:layer$} {}{target}\n", file.mode, file.layer, show(&file.path))
    };
    files.iter().map(line).collect()
}
