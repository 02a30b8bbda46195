//! sysusers.d(5): which users and groups a package needs.
//!
//! Takes such a file's text; gives the accounts, each with its line. What a line says that is not understood is left to
//! its default, and a line that names no account is passed over, as systemd-sysusers does.

use super::step::{Action, Group, NOLOGIN, User, image_path, is_account_name, owner};

/// Reads a file.
pub fn read(text: &str) -> Vec<(usize, Action)> {
    let mut actions = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let words = words(line);
        let word = |at: usize| words.get(at).map(String::as_str).filter(|word| *word != "-" && !word.is_empty());
        let (Some(kind), Some(name)) = (word(0), word(1).filter(|name| is_account_name(name))) else { continue };
        let mut add = |action| actions.push((number + 1, action));
        match kind.trim_end_matches('!') {
            "u" => {
                let (uid, group) = match word(2).map(|id| id.split_once(':').unwrap_or((id, ""))) {
                    Some((uid, group)) => (uid.parse().ok(), owner(group)),
                    None => (None, None),
                };
                add(Action::User(User {
                    name: name.to_owned(),
                    uid,
                    group: group.or_else(|| Some(name.to_owned())),
                    gecos: word(3).unwrap_or_default().to_owned(),
                    home: word(4).and_then(image_path).unwrap_or_else(|| "/".to_owned()),
                    makes_home: false,
                    shell: word(5).and_then(image_path).unwrap_or_else(|| NOLOGIN.to_owned()),
                }));
            }
            "g" => add(Action::Group(Group { name: name.to_owned(), gid: word(2).and_then(|id| id.parse().ok()) })),
            "m" => {
                if let Some(group) = word(2).filter(|group| is_account_name(group)) {
                    add(Action::Member(name.to_owned(), group.to_owned()));
                }
            }
            _ => {}
        }
    }
    actions
}

/// The words of a line, with quotes as systemd has them; none of a comment.
pub(super) fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut chars = line.trim().chars().peekable();
    if chars.peek() == Some(&'#') {
        return words;
    }
    while let Some(first) = chars.find(|c| !c.is_whitespace()) {
        let quote = ['"', '\''].into_iter().find(|quote| *quote == first);
        let mut word = if quote.is_some() { String::new() } else { first.to_string() };
        while let Some(c) = chars.next() {
            match quote {
                Some(quote) if c == quote => break,
                None if c.is_whitespace() => break,
                _ if c == '\\' => word.extend(chars.next()),
                _ => word.push(c),
            }
        }
        words.push(word);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_groups_and_members_are_read() {
        let text = "# x\nu sshd 74:nogroup \"Privilege-separated SSH\" /run/sshd\ng render 105\nm sshd render\nu! plain - - -\nu bad/name 1\nr - 1-2\n";
        let actions = read(text);
        let user = |name: &str, uid, group: &str, gecos: &str, home: &str| {
            let (name, gecos, home) = (name.to_owned(), gecos.to_owned(), home.to_owned());
            let (group, shell) = (Some(group.to_owned()), "/usr/sbin/nologin".to_owned());
            Action::User(User { name, uid, group, gecos, home, makes_home: false, shell })
        };
        let render = Group { name: "render".to_owned(), gid: Some(105) };
        assert_eq!(
            actions,
            [
                (2, user("sshd", Some(74), "nogroup", "Privilege-separated SSH", "/run/sshd")),
                (3, Action::Group(render)),
                (4, Action::Member("sshd".to_owned(), "render".to_owned())),
                (5, user("plain", None, "plain", "", "/")),
            ]
        );
    }

    #[test]
    fn quotes_keep_words_whole() {
        assert_eq!(words("a \"b c\" 'd e' f\\ g"), ["a", "b c", "d e", "f g"]);
        assert!(words("  # a").is_empty() && words("\"").len() == 1);
    }
}
