//! The identity of a cluster: a hash of its plan and of the operator's key.

use ed25519_dalek::VerifyingKey;
use sha2::{Digest, Sha256};
use vmatic_plan::Plan;

/// The cluster's identity: what its plan says and whom it obeys. Commands are signed for one identity, so a
/// changed plan, in which numbers mean other machines, makes another cluster. The guests' RAM changes no number, and
/// depends on which kernel was there at build time: it does not count, so that one spec has one identity.
pub fn cluster_id(plan: &Plan, operator: &VerifyingKey) -> [u8; 16] {
    let law = Plan { cluster: [0; 16], guest_memory_mib: 0, ..plan.clone() }.encode();
    let hash = Sha256::new()
        .chain_update(b"vmatic cluster v2\0")
        .chain_update(law.as_bytes())
        .chain_update(b"\0")
        .chain_update(operator.as_bytes())
        .finalize();
    core::array::from_fn(|at| hash[at])
}

#[cfg(test)]
mod tests {
    use super::*;
    use ed25519_dalek::SigningKey;
    use vmatic_plan::HostNames;

    #[test]
    fn it_changes_with_the_plan_and_the_key_and_with_nothing_else() {
        let key = |byte| SigningKey::from_bytes(&[byte; 32]).verifying_key();
        let plan = Plan::new("t", HostNames::count(3).unwrap());
        let id = cluster_id(&plan, &key(1));
        assert_eq!(cluster_id(&Plan { cluster: id, guest_memory_mib: 64, ..plan.clone() }, &key(1)), id);
        assert_ne!(cluster_id(&Plan { guests_per_host: 5, ..plan.clone() }, &key(1)), id);
        assert_ne!(cluster_id(&plan, &key(2)), id);
    }
}
