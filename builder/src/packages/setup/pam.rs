//! What pam-auth-update(8) makes: the files `common-auth` and so on that services of PAM include, from the profiles of
//! packages (/usr/share/pam-configs) and the templates of libpam-runtime (/usr/share/pam).
//!
//! Takes texts; gives the text of a file. Of the profiles those count that are on unless somebody turns them off; the
//! first of them leads, whose lines for that place are its `-Initial` ones. `end` in a control is how many modules are
//! left of the primary block, as pam-auth-update puts it.

/// Where the templates lie.
pub const TEMPLATES: &str = "/usr/share/pam";
/// Where the profiles lie.
pub const PROFILES: &str = "/usr/share/pam-configs";

/// Most profiles, and most lines of one that are looked at.
pub const PROFILES_MAX: usize = 100;
const LINES_MAX: usize = 1000;

/// The places of a template: what it says, the field of a profile, the block, whether only sessions without a person
/// are meant.
const PLACES: [(&str, &str, &str, bool); 10] = [
    ("$auth_primary", "Auth", "Primary", false),
    ("$auth_additional", "Auth", "Additional", false),
    ("$account_primary", "Account", "Primary", false),
    ("$account_additional", "Account", "Additional", false),
    ("$password_primary", "Password", "Primary", false),
    ("$password_additional", "Password", "Additional", false),
    ("$session_primary", "Session", "Primary", false),
    ("$session_additional", "Session", "Additional", false),
    ("$session_nonint_primary", "Session", "Primary", true),
    ("$session_nonint_additional", "Session", "Additional", true),
];

/// A profile: its fields, each with its lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    fields: Vec<(String, Vec<String>)>,
    priority: i64,
}

impl Profile {
    /// Reads a profile; none if it has no name, or is off unless somebody turns it on.
    pub fn read(text: &str) -> Option<Profile> {
        let mut fields: Vec<(String, Vec<String>)> = Vec::new();
        for line in text.lines().filter(|line| !line.starts_with('#')).take(LINES_MAX) {
            let inside = line.starts_with([' ', '\t']);
            match line.split_once(':') {
                Some((name, value)) if !inside => fields.push((name.trim().to_owned(), vec![value.trim().to_owned()])),
                _ => fields.last_mut()?.1.push(line.trim().to_owned()),
            }
        }
        let mut profile = Profile { fields, priority: 0 };
        profile.priority = profile.value("Priority").and_then(|value| value.parse().ok()).unwrap_or(0);
        (profile.value("Name").is_some() && profile.value("Default") == Some("yes")).then_some(profile)
    }

    fn value(&self, name: &str) -> Option<&str> {
        let (_, lines) = self.fields.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        lines.first().map(String::as_str)
    }

    /// The modules of a field, without lines that say nothing.
    fn modules(&self, name: &str) -> Option<Vec<&str>> {
        let (_, lines) = self.fields.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        Some(lines.iter().map(String::as_str).filter(|line| !line.is_empty()).collect())
    }
}

/// The text of a file, from its template and the profiles, each with its file's name.
pub fn common(template: &str, profiles: &[(String, Profile)]) -> String {
    let mut sorted: Vec<&(String, Profile)> = profiles.iter().collect();
    sorted.sort_by_key(|(name, profile)| (std::cmp::Reverse(profile.priority), name.as_str()));
    let mut text = String::new();
    // Lines end as in the template: what they hold is not ours to change.
    for line in template.split_terminator('\n') {
        match PLACES.iter().find(|(place, ..)| *place == line.trim()) {
            Some((_, field, block, alone)) => {
                let chosen = sorted.iter().map(|(_, profile)| profile).filter(|profile| {
                    let people = profile.value("session-interactive-only") == Some("yes");
                    profile.value(&format!("{field}-Type")) == Some(*block) && !(*alone && people)
                });
                modules(&mut text, field, *block == "Primary", &chosen.collect::<Vec<_>>());
            }
            None => text = text + line + "\n",
        }
    }
    text
}

fn modules(text: &mut String, field: &str, primary: bool, profiles: &[&Profile]) {
    let kind = field.to_lowercase();
    let of = |(at, profile): (usize, &&Profile)| {
        let first = (at == 0 && primary).then(|| profile.modules(&format!("{field}-Initial"))).flatten();
        let lines = first.or_else(|| profile.modules(field)).unwrap_or_default();
        lines.into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let lines: Vec<String> = profiles.iter().enumerate().flat_map(of).collect();
    for (at, line) in lines.iter().enumerate() {
        let left = format!("={}", lines.len() - at);
        let (control, rest) = line.split_once(']').map_or(("", line.as_str()), |(control, rest)| (control, rest));
        let control = if primary { control.replace("=end", &left) } else { control.to_owned() };
        let end = if line.contains(']') { "]" } else { "" };
        *text += &format!("{kind}\t{control}{end}{rest}\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIX: &str = "Name: Unix authentication\nDefault: yes\nPriority: 256\nAuth-Type: Primary\nAuth:\n\
        \t[success=end default=ignore]\tpam_unix.so nullok try_first_pass\nAuth-Initial:\n\
        \t[success=end default=ignore]\tpam_unix.so nullok\nSession-Type: Additional\n\
        Session:\n\trequired\tpam_unix.so\n";
    const SSS: &str = "Name: SSS\nDefault: yes\nPriority: 128\nAuth-Type: Primary\nAuth:\n\
        \t[success=end default=ignore]\tpam_sss.so use_first_pass\n\nSession-Type: Additional\n\
        session-interactive-only: yes\nSession:\n\toptional pam_sss.so\n";

    fn profiles() -> Vec<(String, Profile)> {
        let off = "Name: Off\nDefault: no\nPriority: 900\nAuth-Type: Primary\nAuth:\n\trequired pam_off.so\n";
        let all = [("sss", SSS), ("unix", UNIX), ("off", off), ("broken", "no profile")];
        all.into_iter().filter_map(|(name, text)| Some((name.to_owned(), Profile::read(text)?))).collect()
    }

    #[test]
    fn modules_stand_as_pam_auth_update_puts_them() {
        let template = "# c\n$auth_primary\nauth\trequisite\tpam_deny.so\n$auth_additional\n";
        let wanted = "# c\nauth\t[success=2 default=ignore]\tpam_unix.so nullok\n\
             auth\t[success=1 default=ignore]\tpam_sss.so use_first_pass\nauth\trequisite\tpam_deny.so\n";
        assert_eq!(common(template, &profiles()), wanted);
        assert_eq!(
            common("$session_additional\n", &profiles()),
            "session\trequired\tpam_unix.so\nsession\toptional pam_sss.so\n"
        );
        assert_eq!(common("$session_nonint_additional", &profiles()), "session\trequired\tpam_unix.so\n");
    }
}
