//! Input that waits for a program to take it, on a terminal or a pipe. Pure.

use alloc::vec::Vec;

/// What ends input on a terminal: Ctrl-D, as terminals are set up at first.
pub const END_OF_INPUT: u8 = 4;

/// Input that the program has not taken.
#[derive(Debug)]
pub struct Waiting {
    bytes: Vec<u8>,
    eof: bool,
    /// Whether the last byte that was taken ended a line.
    line_ended: bool,
}

/// What may be written to a program now.
#[derive(Debug, PartialEq, Eq)]
pub enum Next<'a> {
    /// Nothing now: more may come.
    Nothing,
    /// These bytes, as many of them as it takes.
    Bytes(&'a [u8]),
    /// On a terminal: that input has ended.
    End(&'a [u8]),
    /// On a pipe: nothing more, close it.
    Close,
}

impl Default for Waiting {
    fn default() -> Self {
        // Nothing was written yet, so a line would begin.
        Waiting { bytes: Vec::new(), eof: false, line_ended: true }
    }
}

impl Waiting {
    /// Takes what was typed, and whether input ends with it.
    pub fn add(&mut self, bytes: &[u8], eof: bool) {
        self.bytes.extend_from_slice(bytes);
        self.eof |= eof;
    }

    /// What is to be written next.
    pub fn next(&self, terminal: bool) -> Next<'_> {
        // A terminal ends input where a line begins; in a line, the first only hands the line on.
        const END: [u8; 2] = [END_OF_INPUT; 2];
        match (self.bytes.is_empty(), self.eof, terminal) {
            (false, _, _) => Next::Bytes(&self.bytes),
            (true, true, true) => Next::End(&END[usize::from(self.line_ended)..]),
            (true, true, false) => Next::Close,
            (true, false, _) => Next::Nothing,
        }
    }

    /// So many bytes were taken.
    pub fn took(&mut self, bytes: usize) {
        self.line_ended = bytes == 0 || self.bytes.get(bytes - 1) == Some(&b'\n');
        self.bytes.drain(..bytes);
    }

    /// The end was told.
    pub fn ended(&mut self) {
        self.eof = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_input_comes_after_it_and_at_the_start_of_a_line() {
        let mut waiting = Waiting::default();
        assert_eq!(waiting.next(true), Next::Nothing);
        waiting.add(b"ab\nc", true);
        assert_eq!(waiting.next(true), Next::Bytes(b"ab\nc"));
        waiting.took(3);
        assert_eq!(waiting.next(false), Next::Bytes(b"c"));
        waiting.took(1);
        assert_eq!(waiting.next(true), Next::End(&[4, 4]), "the first hands on the c");
        assert_eq!(waiting.next(false), Next::Close);
        waiting.ended();
        assert_eq!(waiting.next(true), Next::Nothing);
        waiting.add(b"x\n", true);
        waiting.took(2);
        assert_eq!(waiting.next(true), Next::End(&[4]));
    }
}
