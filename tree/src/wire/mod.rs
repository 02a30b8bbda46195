//! What is said on a link: the words ([`message`]), the orders that some of them carry ([`order`]), and how they travel ([`frame`]). Holds no state.

pub mod frame;
pub mod message;
pub mod order;
