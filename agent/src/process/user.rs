//! The users that processes of ours are: each guest's has one of its own.

use rustix::io::Errno;
use rustix::process::{Gid, Uid};
use rustix::thread::{self, CapabilitySet, CapabilitySets};
use vmatic_plan::{GUESTS_MAX, GuestId};

/// User and group of the first guest's process.
const GUEST_FIRST: u32 = 1_000_000;
/// The user that the switch becomes: below those of the guests.
pub const SWITCH: u32 = 999_999;

/// User and group of a guest's process.
pub fn user(guest: GuestId) -> u32 {
    GUEST_FIRST + guest.0
}

/// Whose process a user's is, if it is a guest's.
pub fn guest_of(user: u32) -> Option<GuestId> {
    let guest = user.checked_sub(GUEST_FIRST).filter(|guest| (1..=GUESTS_MAX).contains(guest))?;
    Some(GuestId(guest))
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
        assert_eq!(guest_of(user(GuestId(1))), Some(GuestId(1)));
        assert_eq!(guest_of(user(GuestId(GUESTS_MAX))), Some(GuestId(GUESTS_MAX)));
        for other in [0, SWITCH, user(GuestId(0)), user(GuestId(GUESTS_MAX + 1))] {
            assert_eq!(guest_of(other), None, "{other}");
        }
    }
}
