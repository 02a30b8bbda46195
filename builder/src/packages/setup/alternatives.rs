//! update-alternatives: several programs for one name, and which of them it leads to.
//!
//! Takes the choices that packages register (`--install LINK NAME PATH PRIORITY`, with slaves that follow), or the
//! database that a root has of them; gives links as dpkg makes them: LINK to /etc/alternatives/NAME, and that to the
//! choice of the highest priority among those that are there.

use std::collections::BTreeMap;

use super::step::{Choice, Slave, image_path};

/// The folder of the names.
pub const FOLDER: &str = "/etc/alternatives";

/// Whether a name may stand in [`FOLDER`].
pub fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains('/') && name != "." && name != ".." && !name.contains(char::is_control)
}

/// The choice of each name that its link leads to: the highest priority among those that are `there`; of equal ones the
/// first by its path, as dpkg sorts them.
pub fn best(choices: &[Choice], there: &dyn Fn(&str) -> bool) -> Vec<Choice> {
    let mut best: BTreeMap<&str, &Choice> = BTreeMap::new();
    for choice in choices.iter().filter(|choice| there(&choice.path)) {
        let other = best.entry(&choice.name).or_insert(choice);
        if (choice.priority, std::cmp::Reverse(&choice.path)) > (other.priority, std::cmp::Reverse(&other.path)) {
            *other = choice;
        }
    }
    best.into_values().cloned().collect()
}

/// The links of a choice: path and target. A slave whose file is not there has none.
pub fn links(choice: &Choice, there: &dyn Fn(&str) -> bool) -> Vec<(String, String)> {
    let master = [(&choice.link, &choice.name, &choice.path)].into_iter();
    let slaves = choice.slaves.iter().map(|slave| (&slave.link, &slave.name, &slave.path));
    let links = master.chain(slaves).filter(|(_, _, path)| there(path));
    links
        .flat_map(|(link, name, path)| {
            let middle = format!("{FOLDER}/{name}");
            [(link.clone(), middle.clone()), (middle, path.clone())]
        })
        .collect()
}

/// Reads a file of /var/lib/dpkg/alternatives: its choices. `chosen` is what /etc/alternatives/NAME leads to: set by
/// hand it wins over every priority.
pub fn read(name: &str, text: &str, chosen: Option<&str>) -> Option<Vec<Choice>> {
    let mut lines = text.lines();
    let manual = lines.next()? == "manual";
    let link = image_path(lines.next()?)?;
    let mut slaves = Vec::new();
    loop {
        let name = lines.next()?;
        if name.is_empty() {
            break;
        }
        slaves.push((name.to_owned(), image_path(lines.next()?)?));
    }
    let mut choices = Vec::new();
    while let Some(path) = lines.next().filter(|path| !path.is_empty()) {
        let priority = lines.next()?.parse().ok()?;
        let mut followers = Vec::new();
        for (name, link) in &slaves {
            if let Some(path) = image_path(lines.next()?).filter(|_| is_name(name)) {
                followers.push(Slave { link: link.clone(), name: name.clone(), path });
            }
        }
        let priority = if manual && chosen == Some(path) { i64::MAX } else { priority };
        let (name, link) = (name.to_owned(), link.clone());
        choices.push(Choice { link, name, path: image_path(path)?, priority, slaves: followers });
    }
    is_name(name).then_some(choices)
}

/// Reads the words after `update-alternatives`; none where it installs nothing.
pub(super) fn install(words: &[&str]) -> Option<Choice> {
    let at = words.iter().position(|word| *word == "--install")?;
    let [link, name, path, priority, ..] = words[at + 1..] else { return None };
    let good = |link: &str, name: &str, path: &str| {
        Some((image_path(link)?, Some(name).filter(|name| is_name(name))?.to_owned(), image_path(path)?))
    };
    let (link, name, path) = good(link, name, path)?;
    let priority = priority.parse().ok()?;
    let mut slaves = Vec::new();
    for (at, _) in words.iter().enumerate().filter(|(_, word)| **word == "--slave") {
        let [link, name, path, ..] = words[at + 1..] else { continue };
        if let Some((link, name, path)) = good(link, name, path) {
            slaves.push(Slave { link, name, path });
        }
    }
    Some(Choice { link, name, path, priority, slaves })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choice(words: &str) -> Choice {
        install(&words.split(' ').collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn the_highest_priority_that_is_there_wins_and_slaves_follow() {
        let legacy = choice(
            "--install /usr/sbin/x x /usr/sbin/x-legacy 10 --slave /usr/sbin/x-save x-save /usr/sbin/x-legacy-save",
        );
        let nft = choice(
            "--quiet --install /usr/sbin/x x /usr/sbin/x-nft 20 --slave /usr/sbin/x-save x-save /usr/sbin/x-nft-save",
        );
        let all = [legacy.clone(), nft.clone()];
        assert_eq!(best(&all, &|_| true)[0], nft);
        assert_eq!(best(&all, &|path| path != "/usr/sbin/x-nft"), [legacy]);
        assert!(best(&all, &|_| false).is_empty());
        let made = links(&nft, &|path| !path.ends_with("save"));
        let link = |path: &str, target: &str| (path.to_owned(), target.to_owned());
        assert_eq!(made, [link("/usr/sbin/x", "/etc/alternatives/x"), link("/etc/alternatives/x", "/usr/sbin/x-nft")]);
        let equal = [choice("--install /l n /b 1"), choice("--install /l n /a 1")];
        assert_eq!(best(&equal, &|_| true)[0].path, "/a");
    }

    #[test]
    fn a_database_is_read_and_what_was_set_by_hand_wins() {
        let text = "auto\n/usr/bin/awk\nawk.1.gz\n/usr/share/man/man1/awk.1.gz\nnawk\n/usr/bin/nawk\n\n/usr/bin/gawk\n10\n/m/gawk.1.gz\n/usr/bin/gawk\n/usr/bin/mawk\n5\n\n/usr/bin/mawk\n\n";
        let choices = read("awk", text, Some("/usr/bin/mawk")).unwrap();
        assert_eq!((choices.len(), choices[1].priority, choices[1].slaves.len()), (2, 5, 1));
        assert_eq!(best(&choices, &|_| true)[0].path, "/usr/bin/gawk");
        let manual = read("awk", &text.replacen("auto", "manual", 1), Some("/usr/bin/mawk")).unwrap();
        assert_eq!(best(&manual, &|_| true)[0].path, "/usr/bin/mawk");
        for broken in ["", "auto", "auto\nx\n\n", "auto\n/x\n\n/y\nten\n", "auto\n/x\nslave\n"] {
            assert_eq!(read("x", broken, None), None, "{broken:?}");
        }
        assert_eq!(read("../x", "auto\n/x\n\n/y\n1\n", None), None);
    }

    #[test]
    fn words_that_install_nothing_are_none() {
        for words in
            ["--remove x /y", "--install", "--install /x ../y /z 1", "--install /x y /z much", "--install x y /z 1"]
        {
            assert_eq!(install(&words.split(' ').collect::<Vec<_>>()), None, "{words}");
        }
    }
}
