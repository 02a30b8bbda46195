//! The first line of a script. Oracle: the interpreter is a word of that line.

use super::texts;
use crate::elf::script::{LINE_BYTES_MAX, interpreter};

pub fn seeds() -> Vec<Vec<u8>> {
    texts(&[
        "#!/bin/sh\n",
        "#! /usr/bin/env -S python3 -u\n",
        "#!/usr/bin/env A=1 'b c' perl\n",
        "#!/usr/bin/env -vS-uX -- ruby \\_x\n",
        "#!/usr/bin/env --split-string=\"tclsh\" 8.6",
    ])
}

pub fn run(data: &[u8]) {
    let Some(found) = interpreter(data) else { return };
    let line = String::from_utf8_lossy(&data[..data.len().min(LINE_BYTES_MAX + 2)]);
    assert!(!found.path.is_empty() && line.contains(&found.path), "{found:?} of {line:?}");
    assert!(found.program.is_none() || found.path.ends_with("env"), "{found:?}");
}
