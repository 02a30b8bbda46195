//! What is said on a link: messages ([`message`]), the orders that some of them carry ([`order`]), and the frames in
//! which they travel ([`frame`]). No state.

pub mod frame;
pub mod message;
pub mod order;
