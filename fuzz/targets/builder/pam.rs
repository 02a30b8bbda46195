//! Profiles and templates of PAM. Oracle: each line of a file is one of the template, or begins with a type of PAM's;
//! no place of a template is left in it.

use super::texts;
use crate::packages::setup::pam::{Profile, common};

pub fn seeds() -> Vec<Vec<u8>> {
    texts(&[
        "$auth_primary\nauth requisite pam_deny.so\n$auth_additional\0Name: a\nDefault: yes\nPriority: 9\nAuth-Type: Primary\n\
         Auth:\n\t[success=end default=ignore] pam_a.so\nAuth-Initial:\n\t[success=end] pam_b.so\n",
        "$session_nonint_additional\n\0Name: a\nDefault: yes\nSession-Type: Additional\nsession-interactive-only: yes\nSession:\n x\n\0\
         Name: b\nDefault: yes\nSession-Type: Additional\nSession:\n\trequired y.so\n",
    ])
}

pub fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (template, rest) = text.split_once('\0').unwrap_or((&text, ""));
    let profiles = rest.split('\0').enumerate().filter_map(|(at, text)| Some((at.to_string(), Profile::read(text)?)));
    let profiles: Vec<_> = profiles.collect();
    let made = common(template, &profiles);
    for line in made.split_terminator('\n') {
        let known = ["auth\t", "account\t", "password\t", "session\t"].iter().any(|kind| line.starts_with(kind));
        assert!(known || template.split('\n').any(|own| own == line), "{line:?}");
    }
    assert!(profiles.is_empty() || !made.lines().any(|line| line.trim() == "$auth_primary"));
}
