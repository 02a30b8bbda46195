//! Secrets in an image: it is served to everybody by TFTP, so nothing in it is one.
//!
//! Takes the tree and the paths that the spec says hold secrets on purpose; gives the paths of others that look like
//! secrets: private keys (PEM, ssh's and dropbear's host keys, WireGuard's) and hashes of passwords. What Debian's
//! packages have below /usr is published already, and programs that can write keys are none.

use crate::rootfs::tree::{Content, FileTree, LayerName};

/// How much of a file is looked at.
const LOOKED_AT_BYTES: usize = 1 << 16;

/// The paths that look like secrets, each with what it is.
pub fn found(tree: &FileTree, on_purpose: &[String]) -> Vec<String> {
    let named =
        |path: &str| on_purpose.iter().any(|known| path == known || known.ends_with('/') && path.starts_with(known));
    let mut found = Vec::new();
    for (path, entry) in tree.iter() {
        let Content::File { data, .. } = &entry.content else { continue };
        let packaged = path.starts_with("usr/") && !path.starts_with("usr/local/");
        let published = entry.why.layer == LayerName::Binaries && packaged && !entry.why.reason.starts_with("likely: ");
        if published || matches!(entry.why.layer, LayerName::Vmatic | LayerName::Modules) {
            continue;
        }
        let path = format!("/{path}");
        if let Some(what) = secret(&path, data).filter(|_| !named(&path)) {
            found.push(format!("{path} ({what})"));
        }
    }
    found
}

/// What secret a file of an image holds, by its path and its first bytes.
pub fn secret(path: &str, data: &[u8]) -> Option<&'static str> {
    let data = &data[..data.len().min(LOOKED_AT_BYTES)];
    let name = path.rsplit('/').next().unwrap_or_default();
    let host_key = name.starts_with("ssh_host_") && name.ends_with("_key");
    let dropbear = name.starts_with("dropbear_") && name.ends_with("_host_key");
    if (host_key || dropbear) && !data.is_empty() {
        return Some("a host key");
    }
    if data.starts_with(b"\x7fELF") || data.starts_with(b"#!") {
        return None;
    }
    let mut lines = data.split(|byte| *byte == b'\n');
    if path == "/etc/shadow" || path == "/etc/gshadow" || path == "/etc/shadow-" {
        return lines.any(is_hash).then_some("hashes of passwords");
    }
    lines.find_map(|line| {
        let line = line.trim_ascii();
        let pem = line.starts_with(b"-----BEGIN ") && line.ends_with(b"PRIVATE KEY-----");
        let putty = line.starts_with(b"PuTTY-User-Key-File-");
        if pem || putty {
            return Some("a private key");
        }
        let (key, value) = line.split_at_checked(line.iter().position(|byte| *byte == b'=')?)?;
        let wireguard = key.trim_ascii().eq_ignore_ascii_case(b"PrivateKey") && value[1..].trim_ascii().len() == 44;
        wireguard.then_some("a private key")
    })
}

/// Whether a line of shadow has a password: what crypt(3) can give.
fn is_hash(line: &[u8]) -> bool {
    let password = line.split(|byte| *byte == b':').nth(1).unwrap_or_default();
    let password = password.strip_prefix(b"!").unwrap_or(password);
    password.starts_with(b"$") || password.starts_with(b"_") || password.len() == 13
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_hashes_are_told_from_what_only_looks_like_them() {
        let key = Some("a private key");
        assert_eq!(secret("/x", b"-----BEGIN OPENSSH PRIVATE KEY-----\r\n"), key);
        assert_eq!(secret("/x", b"a\n  -----BEGIN PRIVATE KEY-----\nb"), key);
        assert_eq!(secret("/x", b"PuTTY-User-Key-File-3: ssh-ed25519\n"), key);
        assert_eq!(secret("/x", b"-----BEGIN PUBLIC KEY-----\n-----BEGIN CERTIFICATE-----\n"), None);
        assert_eq!(secret("/x", b"\x7fELF\n-----BEGIN PRIVATE KEY-----\n"), None);
        assert_eq!(secret("/x", b"PrivateKey = short\n=\n"), None);
        assert_eq!(secret("/etc/ssh/ssh_host_rsa_key", b"any"), Some("a host key"));
        assert_eq!(secret("/etc/ssh/ssh_host_rsa_key.pub", b"ssh-rsa AAAA"), None);
        assert_eq!(secret("/etc/dropbear/dropbear_rsa_host_key", b"\0"), Some("a host key"));
        let hashes = Some("hashes of passwords");
        assert_eq!(secret("/etc/shadow", b"a:*:\nb:!$y$j9T$x:1\n"), hashes);
        assert_eq!(secret("/etc/shadow", b"root:*:0:0:99999:7:::\nx:!:\ny::\nz:!*:\nbad\n"), None);
    }
}
