//! What is said on a link: the words ([`message`]) and how they travel ([`frame`]). Holds no state.

pub mod frame;
pub mod message;
