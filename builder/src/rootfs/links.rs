//! Symbolic links, followed by text: the same walk for a tree in memory and for a root on disk.

/// Most links followed for one path, as the kernel has it (path_resolution(7)).
pub const LINKS_FOLLOWED_MAX: usize = 40;

/// Follows every link of `path`; gives the real path, without a slash in front.
///
/// `read_link` is asked for each place on the way, by its real path, and gives a link's target. An error of
/// its own ends the walk; None as the error stands for more than [`LINKS_FOLLOWED_MAX`] links.
pub fn follow<E>(
    path: &str,
    mut read_link: impl FnMut(&str) -> Result<Option<String>, E>,
) -> Result<String, Option<E>> {
    let mut todo: Vec<String> = path.split('/').rev().map(str::to_owned).collect();
    let mut real: Vec<String> = Vec::new();
    let mut followed = 0;
    while let Some(part) = todo.pop() {
        match part.as_str() {
            "" | "." => continue,
            ".." => {
                real.pop();
                continue;
            }
            _ => real.push(part),
        }
        if let Some(target) = read_link(&real.join("/")).map_err(Some)? {
            followed += 1;
            if followed > LINKS_FOLLOWED_MAX {
                return Err(None);
            }
            real.pop();
            if target.starts_with('/') {
                real.clear();
            }
            todo.extend(target.split('/').rev().map(str::to_owned));
        }
    }
    Ok(real.join("/"))
}
