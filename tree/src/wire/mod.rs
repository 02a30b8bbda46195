//! What is said on a link: messages ([`message`]), the orders that some of them carry ([`order`]), and the frames in
//! which they travel ([`frame`]); what a guest is told of its
//! ports ([`guest_ports`]); how a guest's stream goes on with another node ([`resync`]). No state.

pub mod frame;
pub mod guest_ports;
pub mod message;
pub mod order;
pub mod resync;
