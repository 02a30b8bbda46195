//! The host table of a site: its own machines, as a file that the site has anyway says them.
//!
//! Takes the files that a spec names; gives names, MACs, addresses and racks in the order of the hosts' numbers, and
//! the bytes that go into the image; what is wrong, with file, line and remedy; what was left out, and why. No state:
//! each file of `formats/` reads one format into [`record::Found`], `merge` puts together what several files say of one
//! machine, `arrange` gives the numbers and finds what contradicts itself, `networks` where the machines are, `show`
//! prints it folded.

mod arrange;
mod detect;
mod filter;
mod formats;
mod merge;
mod networks;
pub mod record;
pub mod show;
pub mod site;
mod source;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

pub use filter::Filter;
pub use formats::Format;
use record::{FileLine, Found, Mistake};
use site::{ReadFile, SiteTable};
pub use source::TableSource;

/// Most bytes of a file.
pub const FILE_BYTES_MAX: u64 = 64 << 20;
/// A table that was read: what there is, and what is wrong.
pub struct Reading {
    /// The site's hosts; none if there is no usable row.
    pub site: Option<SiteTable>,
    /// The files, in order.
    pub files: Vec<ReadFile>,
    /// What is wrong, in the order of files and lines.
    pub mistakes: Vec<Mistake>,
}

/// Reads a table.
///
/// # Errors
/// A file cannot be read: which, and why.
pub fn read(source: &TableSource) -> Result<Reading, (PathBuf, String)> {
    let mut texts = Vec::new();
    for path in &source.files {
        texts.push((path.clone(), read_file(path).map_err(|why| (path.clone(), why))?));
    }
    Ok(read_texts(source, texts))
}

/// The same of texts that were read already.
pub fn read_texts(source: &TableSource, texts: Vec<(PathBuf, String)>) -> Reading {
    let (mut files, mut parts, mut mistakes) = (Vec::new(), Vec::new(), Vec::new());
    for (n, (path, text)) in texts.into_iter().enumerate() {
        let said = source.formats.get(n).copied();
        let mut found = Found::new(n);
        match said.or_else(|| detect::format(&text)) {
            Some(format) => {
                format.read(&text, &mut found);
                files.push(ReadFile { path, text, format, said: said.is_some() });
            }
            None => {
                let message = "its content tells no format that is known here";
                found.mistake(1, message, format!("say which it is: format = \"csv\", or one of {}", Format::words()));
                files.push(ReadFile { path, text, format: Format::Csv, said: false });
            }
        }
        mistakes.append(&mut found.mistakes);
        parts.push(found);
    }
    let merged = merge::merge(parts, source, &files);
    let left = merged.left_out.len();
    let (site, mut more) = arrange::arrange(merged, source, &files);
    mistakes.append(&mut more);
    if site.is_none() && mistakes.is_empty() {
        let message = format!("it names no host, and {} of its entries were left out", left);
        let remedy = "name the file that has the machines first, or take less away with `only` and `except`".to_owned();
        mistakes.push(Mistake { place: FileLine { file: 0, line: 1 }, message, remedy });
    }
    mistakes.sort_by_key(|mistake| mistake.place);
    mistakes.dedup();
    Reading { site, files, mistakes }
}

fn read_file(path: &Path) -> Result<String, String> {
    let file = File::open(path).map_err(|e| e.to_string())?;
    if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
        return Err("it is a folder".to_owned());
    }
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(format!("it has more than {} MiB", FILE_BYTES_MAX >> 20));
    }
    let text = String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned());
    Ok(text.strip_prefix('\u{feff}').map_or(text.clone(), str::to_owned))
}
