//! Calls under way, and what became of them.

use super::{CALL_MS, CALLS_MAX, Call, FirstWord, Probed, Purpose, RESTING_MAX, Seeker, Step};
use crate::host::event::{CallError, Target};
use crate::id::LinkId;
use alloc::vec::Vec;
use vmatic_plan::HostId;

impl Seeker {
    /// A call was taken: what is to be said first. None if nobody waits for it any more.
    pub fn called(&mut self, target: Target, link: LinkId, now_ms: u64) -> Option<FirstWord> {
        let call = self.calls.get_mut(&target).filter(|call| call.link.is_none())?;
        (call.link, call.until_ms) = (Some(link), now_ms + CALL_MS);
        let may_join = !matches!(call.purpose, Purpose::Tell | Purpose::Probe);
        if self.wordless.remove(&target) && may_join && self.joining.is_none() {
            self.joining_given = matches!(target, Target::Given(_));
            self.joining = Some((link, now_ms + CALL_MS));
            return Some(FirstWord::Hello);
        }
        Some(FirstWord::Seek)
    }

    /// Nobody took a call.
    pub fn failed(&mut self, target: Target, why: CallError, now_ms: u64) {
        let Some(call) = self.calls.remove(&target) else { return };
        if !self.has_probed(target, call.purpose, Probed::Not(why)) {
            self.rest(target, now_ms);
        }
    }

    /// Calls a host to hear whether it lives; none where it is called already.
    pub fn probe(&mut self, host: HostId, now_ms: u64) -> Option<Step> {
        let target = Target::Host(host);
        if self.calls.contains_key(&target) {
            return None;
        }
        self.calls.insert(target, Call { purpose: Purpose::Probe, link: None, until_ms: now_ms + CALL_MS });
        Some(Step::Call(target))
    }

    /// What came of these calls since this was asked last.
    pub fn probed(&mut self) -> Vec<(HostId, Probed)> {
        core::mem::take(&mut self.probed)
    }

    /// Notes what came of such a call; false if it was for something else.
    pub(super) fn has_probed(&mut self, target: Target, purpose: Purpose, probed: Probed) -> bool {
        let (Purpose::Probe, Target::Host(host)) = (purpose, target) else { return false };
        self.probed.push((host, probed));
        true
    }

    /// A link that it opened is closed.
    pub fn closed(&mut self, link: LinkId, now_ms: u64) {
        self.offers.retain(|offer| offer.link != link);
        if !self.offers.iter().any(|offer| offer.room) {
            self.first_offer_ms = None;
        }
        if self.joining.is_some_and(|(joining, _)| joining == link) {
            self.joining = None;
            self.turned_away(now_ms);
        }
        let target = self.calls.iter().find(|(_, call)| call.link == Some(link)).map(|(target, _)| *target);
        if let Some(target) = target {
            let purpose = self.calls.remove(&target).map_or(Purpose::Up, |call| call.purpose);
            if self.has_probed(target, purpose, Probed::Alive(None)) {
                return;
            }
            self.rest(target, now_ms);
            if self.wordless.len() < RESTING_MAX {
                self.wordless.insert(target);
            }
        }
    }

    pub(super) fn expire(&mut self, now_ms: u64) -> Vec<Step> {
        let mut steps = Vec::new();
        if let Some((link, _)) = self.joining.filter(|(_, until)| *until <= now_ms) {
            self.joining = None;
            self.turned_away(now_ms);
            steps.push(Step::Drop(link));
        }
        let late: Vec<Target> =
            self.calls.iter().filter(|(_, call)| call.until_ms <= now_ms).map(|(target, _)| *target).collect();
        for target in late {
            let Some(call) = self.calls.remove(&target) else { continue };
            steps.extend(call.link.map(Step::Drop));
            let probed = if call.link.is_some() { Probed::Alive(None) } else { Probed::Not(CallError::Silent) };
            if !self.has_probed(target, call.purpose, probed) {
                self.rest(target, now_ms);
            }
        }
        steps
    }

    pub(super) fn may_call(&self) -> bool {
        self.calls.values().filter(|call| call.purpose != Purpose::Probe).count() < 2 * CALLS_MAX
    }

    pub(super) fn call(&mut self, target: Target, purpose: Purpose, now_ms: u64, steps: &mut Vec<Step>) {
        if self.may_call() && !self.calls.contains_key(&target) {
            self.calls.insert(target, Call { purpose, link: None, until_ms: now_ms + CALL_MS });
            steps.push(Step::Call(target));
        }
    }
}
