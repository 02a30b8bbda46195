//! `vmatic list`: the files of an image.

use crate::Exit;
use crate::error::Result;
use crate::manifest::FileRecord;
use crate::output::inspect::ImageArgs;
use crate::ui::print::{print, print_json};

/// List the files of an image
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

/// A line a file: kind and mode, owner, size, layer, path.
pub fn lines(files: &[FileRecord]) -> String {
    let layer = files.iter().map(|file| file.layer.len()).max().unwrap_or(0);
    let line = |file: &FileRecord| {
        let target = file.target.as_ref().map_or_else(String::new, |target| format!(" -> {target}"));
        let kind = match file.kind.as_str() {
            "directory" => 'd',
            "link" => 'l',
            "device" => 'c',
            _ => '-',
        };
        let owner = format!("{}:{}", file.uid, file.gid);
        format!("{kind}{} {owner:>5} {:>10} {:layer$} {}{target}\n", file.mode, file.size, file.layer, file.path)
    };
    files.iter().map(line).collect()
}
