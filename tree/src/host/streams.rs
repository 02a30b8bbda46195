//! A host's part in what programs write while they run: it goes up, several pieces in a message, and waits only
//! where nobody is there above.
//!
//! Only what was asked counts, until its answer: pieces of others are dropped, as is what waits too long. Whoever gets
//! the rest notices by its places ([`crate::stream::Gathering`]).

use super::Host;
use super::operations::Operation;
use super::peers::Direction;
use crate::id::{LinkId, OpId};
use crate::stream::{WRITTEN_MAX, WRITTEN_MAX_BYTES, Written};
use alloc::vec::Vec;
use vmatic_plan::Node;

/// How many bytes of what is written wait for another way up, where one broke.
const WRITTEN_ORPHAN_BYTES: usize = 256 * 1024;

impl Host {
    /// A task of this host has written something.
    pub(super) fn written_here(&mut self, op: OpId, written: Written) {
        self.pass_written(op, [written].into(), |operation, node| operation.local.contains(node));
    }

    /// Something was written elsewhere, and came over a link.
    pub(super) fn written_there(&mut self, link: LinkId, side: Direction, op: OpId, mut pieces: Vec<Written>) {
        if let Direction::Guest(guest) = side {
            // A guest writes for itself, whatever it says.
            let node = self.membership.guest(guest);
            pieces.iter_mut().for_each(|piece| piece.node = node);
        }
        pieces.retain(|piece| piece.bytes.len() <= WRITTEN_MAX_BYTES);
        self.pass_written(op, pieces, |operation, node| {
            operation.outstanding.get(&link).is_some_and(|asked| asked.contains(node))
        });
    }

    fn pass_written(&mut self, op: OpId, pieces: Vec<Written>, is_asked: impl Fn(&Operation, Node) -> bool) {
        let now_ms = self.out.now_ms;
        for (_, operation) in self.operations.each_of(op) {
            for piece in &pieces {
                if is_asked(operation, piece.node) {
                    operation.write(piece.clone(), now_ms);
                }
            }
        }
    }
}

impl Operation {
    /// Adds what a program wrote. Where nobody is there above, so much of it waits.
    pub fn write(&mut self, written: Written, now_ms: u64) {
        if self.orphan_ms.is_some() && self.written_bytes > WRITTEN_ORPHAN_BYTES {
            return;
        }
        self.written_bytes += written.size();
        self.written.push(written);
        self.dirty_ms.get_or_insert(now_ms);
    }

    /// Whether so much waits here that whoever writes should.
    pub fn is_full(&self) -> bool {
        self.written_bytes > WRITTEN_ORPHAN_BYTES / 4
    }

    #[cfg(test)]
    pub fn waiting_bytes(&self) -> usize {
        self.written_bytes
    }

    /// Takes what was written and not passed on, in batches that each need no room of their own.
    pub fn take_written(&mut self) -> Vec<Vec<Written>> {
        self.written_bytes = 0;
        let (mut batches, mut size): (Vec<Vec<Written>>, usize) = (Vec::new(), 0);
        for piece in core::mem::take(&mut self.written) {
            size += piece.size();
            match batches.last_mut() {
                Some(batch) if size <= WRITTEN_MAX_BYTES && batch.len() < WRITTEN_MAX => batch.push(piece),
                _ => {
                    size = piece.size();
                    batches.push([piece].into());
                }
            }
        }
        batches
    }
}

#[cfg(test)]
#[path = "streams_tests.rs"]
mod tests;
