//! The file that guests share.
//!
//! Takes the path of a file that guests share; gives it opened, once for a template and
//! all of its clones.

use crate::config::Share;
use crate::devices::virtio::pmem::Mapped;
use crate::error::{Context, Error};
use std::fs::File;
use std::sync::Arc;

/// The file, and how guests see it.
#[derive(Clone)]
pub(crate) enum Opened {
    Disk(Arc<File>),
    Memory(Arc<File>),
}

impl Opened {
    /// Opens it to be read.
    pub fn new(share: &Share) -> Result<Self, Error> {
        let (Share::Disk(path) | Share::Memory(path)) = share;
        let tried = format!("open {}, which guests share", path.display());
        let file = Arc::new(File::open(path).context(tried, "build or copy a file system there")?);
        Ok(match share {
            Share::Disk(_) => Self::Disk(file),
            Share::Memory(_) => Self::Memory(file),
        })
    }

    /// Its pages, if they are to be the guest's memory.
    pub fn map(&self) -> Result<Option<Mapped>, Error> {
        match self {
            Self::Disk(_) => Ok(None),
            Self::Memory(file) => Mapped::new(file).map(Some),
        }
    }
}
