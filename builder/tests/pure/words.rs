//! Words that were replaced stay away, and what the documents name is there. The words are in docs/glossary.md.

use std::fs;

use crate::tidy::{report, root, sources};

/// Names of types, functions and constants that may not come back, and what stands instead.
const REPLACED: &[(&str, &str)] = &[
    ("Wires", "GuestChannels, Egress"),
    ("wires", "channels, egress"),
    ("forever", "run"),
    ("obey", "apply"),
    ("Turn", "RunStop"),
    ("unwished", "unexpected"),
    ("GRACE_MS", "HANG_UP_GRACE_MS"),
    ("Wish", "Desired"),
    ("Wishes", "DesiredStates"),
    ("wishes", "desired"),
    ("Ledger", "GuestStats"),
    ("ledger", "state, stats"),
    ("Cables", "SwitchSupervisor"),
    ("one_life", "run_once"),
    ("enter_empty_room", "isolate"),
    ("own_mib", "scratch_mib"),
    ("Asking", "ZygoteClient"),
    ("at_a_time", "max_concurrent_starts"),
    ("in_vain", "consecutive_failures"),
    ("PAUSES_S", "BACKOFF_S"),
    ("LOOK", "a name with the subject in front and _POLL_INTERVAL behind"),
    ("PATIENCE", "a name with the subject in front and _TIMEOUT behind"),
    ("ANSWER", "a name with the subject in front and _TIMEOUT behind"),
    ("Frozen", "VcpuState, VsockState, MachineState"),
    ("thaw", "restore"),
    ("thawed", "restored"),
    ("Anew", "HandoverState"),
    ("Will", "HandoverState"),
    ("GENERATION", "CLONES_PER_PROCESS_MAX"),
    ("Only", "ArgFilter"),
    ("Seen", "ReplayWindow"),
    ("Who", "PeerRole"),
    ("leafless", "unmanaged"),
    ("Verdict", "PolicyDecision"),
    ("Fate", "ShapeResult"),
    ("Spot", "CapturePoint"),
    ("Held", "QueuedFrame"),
    ("become_nobody", "drop_privileges"),
    ("become_somebody", "apply_identity"),
    ("harmless", "escape_control"),
    ("call_again_and_again", "reconnect_loop"),
    ("GUEST_ENDED", "GuestExit"),
    ("Describe", "Info"),
    ("Row", "the noun of what a row holds"),
    ("Act", "Action"),
    ("Place", "Rootfs, ClusterArgs"),
    ("Role", "BinaryKind, PeerRole"),
    ("Said", "SessionOutput, ZygoteReply"),
    ("Feed", "SessionInput"),
    ("Extra", "ExtraProgram"),
    ("Talk", "Operation"),
    ("Pace", "Admission"),
    ("Cable", "SwitchPort"),
    ("Saved", "Snapshot"),
    ("Reach", "Ping"),
    ("GRACE", "a name with the subject in front"),
];

/// Folders that a path in a document begins with, if it is one of the repository.
const FOLDERS: [&str; 10] =
    [".ci/", "agent/", "builder/", "docs/", "examples/", "fuzz/", "kernel-configs/", "plan/", "tree/", "vmm/"];

/// The code of a line: without its comment, and without what stands between quotes.
fn code(line: &str) -> String {
    let line = line.split("//").next().unwrap_or_default();
    line.split('"').step_by(2).collect::<Vec<_>>().join("\"\"")
}

#[test]
fn words_that_were_replaced_stay_away() {
    let mut wrong = Vec::new();
    for (path, text) in sources().iter().filter(|(path, _)| path != "builder/tests/pure/words.rs") {
        for (n, line) in text.lines().enumerate() {
            let code = code(line);
            let words = code.split(|c: char| !c.is_alphanumeric() && c != '_');
            for word in words {
                if let Some((_, instead)) = REPLACED.iter().find(|(old, _)| *old == word) {
                    wrong.push(format!("{path}:{}: {word} is {instead} now", n + 1));
                }
            }
        }
    }
    report("words", wrong);
}

#[test]
fn what_the_documents_name_is_there() {
    let mut wrong = Vec::new();
    let mut seen = 0;
    for document in
        ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "docs/glossary.md"]
    {
        let text = fs::read_to_string(root().join(document)).unwrap();
        for path in text.split('`').skip(1).step_by(2) {
            let plain = path.chars().all(|c| c.is_ascii_alphanumeric() || "._-/".contains(c));
            if plain && !path.contains("NAME") && FOLDERS.iter().any(|folder| path.starts_with(folder)) {
                seen += 1;
                if !root().join(path).exists() {
                    wrong.push(format!("{document}: {path}"));
                }
            }
        }
    }
    assert!(seen > 20, "the documents name {seen} paths only");
    report("paths that are not there", wrong);
}
