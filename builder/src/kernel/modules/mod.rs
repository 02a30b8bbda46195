//! Kernel modules of an unpacked kernel: which there are, which an image wants, what it says of them.
//!
//! [`tree::ModuleTree`] is what lies on disk, [`tree::ChosenModules`] what one image takes of it. The state of a choice
//! while it is made is `choose`'s own. A package that was only unpacked has no modules.dep, and one that lies there may
//! be older than the folder: so what counts is the files themselves, each with its own .modinfo, in depmod's order of
//! folders.

pub mod choose;
pub mod depmod;
pub mod info;
mod lists;
pub mod modalias;
pub mod modprobe;
pub mod settings;
pub mod tree;
