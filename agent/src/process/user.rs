//! The users that processes of ours are: each guest's has one of its own.

use rustix::io::Errno;
use rustix::process::{Gid, Uid};
use rustix::thread::{self, CapabilitySet, CapabilitySets};

/// User and group of the first guest's process.
const GUEST_FIRST: u32 = 1_000_000;
/// The user that the switch becomes: below those of the guests.
pub const SWITCH: u32 = 999_999;

/// User and group of a guest's process.
pub fn user(guest: u32) -> u32 {
    GUEST_FIRST + guest
}

/// Whose process a user's is, if it is a guest's.
pub fn guest_of(user: u32) -> Option<u32> {
    user.checked_sub(GUEST_FIRST).filter(|guest| (1..=vmatic_plan::GUESTS_MAX).contains(guest))
}

/// Becomes a user and gives up everything but these rights; nothing if this process is not root's.
pub fn drop_privileges(user: u32, keep: CapabilitySet) -> Result<(), Errno> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let (user, group) = (Uid::from_raw(user), Gid::from_raw(user));
    thread::set_keep_capabilities(true)?;
    thread::set_thread_groups(&[])?;
    thread::set_thread_res_gid(group, group, group)?;
    thread::set_thread_res_uid(user, user, user)?;
    let sets = CapabilitySets { effective: keep, permitted: keep, inheritable: CapabilitySet::empty() };
    thread::set_capabilities(None, sets)?;
    thread::set_no_new_privs(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_is_known_by_its_user_and_nobody_else_is() {
        assert_eq!(guest_of(user(1)), Some(1));
        assert_eq!(guest_of(user(vmatic_plan::GUESTS_MAX)), Some(vmatic_plan::GUESTS_MAX));
        for other in [0, SWITCH, user(0), user(vmatic_plan::GUESTS_MAX + 1)] {
            assert_eq!(guest_of(other), None, "{other}");
        }
    }
}
