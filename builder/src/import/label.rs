//! Names of nodes that are safe as names of hosts, whatever a file calls them.
//!
//! The rule: letters are lower case and without accents; all else that is no letter, digit or hyphen becomes a hyphen,
//! one for a run, and none at the ends; `x-g7`, which would be a guest of host x, is `xg7`; a name that would begin
//! with a digit, or be the word `node`, has an `n` in front; a hyphen parts a number of more than nine digits, which no
//! pattern of names has; it is cut to 56 bytes. Where several nodes would have one
//! name, each has its identifier in the file behind it; if that is one name still, a number.

use std::collections::{HashMap, HashSet};

/// Longest name of a host: a label of DNS (RFC 1035, 2.3.4) that has room for the numbers of its guests.
const NAME_BYTES_MAX: usize = 56;
/// Longest name before an identifier is put behind it.
const LABEL_BYTES_MAX: usize = 40;
/// Longest part of an identifier that is put behind a name.
const IDENTIFIER_BYTES_MAX: usize = 12;

/// Most digits of a number in a name ([`vmatic_plan::HostNames`]).
const DIGITS_MAX: usize = 9;

/// Letters with accents, and those without.
const ACCENTS: [(&str, &str); 27] = [
    ("àáâãåāăą", "a"),
    ("ä", "a"),
    ("æ", "ae"),
    ("çćčċ", "c"),
    ("ďđð", "d"),
    ("èéêëēėęě", "e"),
    ("ğģġ", "g"),
    ("ħ", "h"),
    ("ìíîïīįı", "i"),
    ("ķ", "k"),
    ("łļľĺ", "l"),
    ("ñńņň", "n"),
    ("òóôõőō", "o"),
    ("öø", "o"),
    ("œ", "oe"),
    ("ŕř", "r"),
    ("śşšș", "s"),
    ("ß", "ss"),
    ("ťţț", "t"),
    ("þ", "th"),
    ("ùúûūůűų", "u"),
    ("ü", "u"),
    ("ŵ", "w"),
    ("ýÿ", "y"),
    ("źżž", "z"),
    ("ŷ", "y"),
    ("ĵ", "j"),
];

/// A text as a part of a name; empty if nothing of it can be.
fn clean(text: &str, most: usize) -> String {
    let (mut name, mut digits) = (String::new(), 0);
    for c in text.chars().take(256).flat_map(char::to_lowercase) {
        let plain = ACCENTS.iter().find(|(letters, _)| letters.contains(c)).map(|(_, plain)| *plain);
        if let Some(plain) = plain {
            name.push_str(plain);
        } else if c.is_ascii_alphanumeric() {
            if c.is_ascii_digit() && digits == DIGITS_MAX {
                name.push('-');
            }
            name.push(c);
        } else if !name.ends_with('-') && !name.is_empty() {
            name.push('-');
        }
        digits = name.bytes().rev().take_while(u8::is_ascii_digit).count();
    }
    cut(&name, most)
}

/// The beginning of a name, which is ASCII.
fn cut(name: &str, most: usize) -> String {
    name[..name.len().min(most)].trim_end_matches('-').to_owned()
}

/// A name of its own.
fn whole(text: &str) -> String {
    let mut name = clean(text, NAME_BYTES_MAX);
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) || name == "node" {
        name.insert(0, 'n');
    }
    unlike_guest(cut(&name, NAME_BYTES_MAX))
}

/// A name that is none of a plan's guests: `x-g7` would be guest 7 of host x.
fn unlike_guest(name: String) -> String {
    let host = name.trim_end_matches(|c: char| c.is_ascii_digit());
    match host.strip_suffix("-g").filter(|_| host.len() < name.len()) {
        Some(before) => format!("{before}g{}", &name[host.len()..]),
        None => name,
    }
}

/// The name of one thing alone, such as a spec.
pub fn name(text: &str) -> String {
    whole(text)
}

/// The names of nodes, by what their file calls them and by their identifiers there.
pub fn names(labels: &[&str], identifiers: &[String]) -> Vec<String> {
    let plain: Vec<String> = labels.iter().map(|label| whole(label)).collect();
    let mut count: HashMap<&str, usize> = HashMap::new();
    plain.iter().for_each(|name| *count.entry(name).or_default() += 1);
    let mut taken: HashSet<String> = plain.iter().filter(|name| count[name.as_str()] == 1).cloned().collect();
    let mut next: HashMap<String, usize> = HashMap::new();
    let mut names = Vec::with_capacity(plain.len());
    for (at, name) in plain.iter().enumerate() {
        if count[name.as_str()] == 1 {
            names.push(name.clone());
            continue;
        }
        let id = identifiers.get(at).map(|id| clean(id, IDENTIFIER_BYTES_MAX)).unwrap_or_default();
        let short = cut(name, LABEL_BYTES_MAX);
        let base = if id.is_empty() || id == *name { short } else { unlike_guest(format!("{short}-{id}")) };
        let mut unique = base.clone();
        let number = next.entry(base.clone()).or_insert(1);
        while taken.contains(&unique) {
            *number += 1;
            unique = format!("{base}-{number}");
        }
        taken.insert(unique.clone());
        names.push(unique);
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(labels: &[&str]) -> Vec<String> {
        let ids: Vec<String> = (0..labels.len()).map(|id| id.to_string()).collect();
        names(labels, &ids)
    }

    #[test]
    fn names_follow_the_rule() {
        assert_eq!(of(&["São Paulo", "PC1", "10G?", "node", "", "--"])[..4], ["sao-paulo", "pc1", "n10g", "nnode"]);
        assert_eq!(of(&["a", "A", "a-1", "a_1"]), ["a-0", "a-1", "a-1-2", "a-1-3"]);
        assert_eq!(of(&["?", "!"]), ["n-0", "n-1"]);
        assert_eq!(of(&["x", "core-g7", "core-g"]), ["x", "coreg7", "core-g"]);
        assert_eq!(of(&["0a-000000000001", "x12345678901234567890"]), ["n0a-000000000-001", "x123456789-012345678-90"]);
        assert_eq!(names(&["x", "x"], &["g1".to_owned(), "g2".to_owned()]), ["xg1", "xg2"]);
    }

    proptest! {
        #[test]
        fn every_name_is_a_hosts_and_no_two_are_one(labels in prop::collection::vec(".{0,6}|[ab1-]{0,4}|[0-9g-]{9,30}|.{60,90}", 1..30)) {
            let texts: Vec<&str> = labels.iter().map(String::as_str).collect();
            let names = names(&texts, &labels);
            for name in &names {
                let host = vmatic_plan::HostNames::parse(name);
                prop_assert!(host.as_ref().is_ok_and(|host| host.len() == 1), "{name:?}: {host:?}");
                prop_assert!(name.len() <= NAME_BYTES_MAX && name != "node");
            }
            prop_assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len());
        }
    }
}
