//! Records of newc archives, byte for byte as a test wants them: right, odd and wrong ones.

/// Types with usual modes.
pub const DIR: u32 = 0o40755;
pub const FILE: u32 = 0o100644;
pub const RUNS: u32 = 0o100755;
pub const LINK: u32 = 0o120777;
pub const FIFO: u32 = 0o010644;
pub const SOCKET: u32 = 0o140644;
pub const CHARACTER: u32 = 0o020620;
pub const BLOCK: u32 = 0o060660;

/// A record; what is not said is 0.
#[derive(Clone)]
pub struct Record {
    pub name: Vec<u8>,
    pub data: Vec<u8>,
    pub magic: &'static [u8; 6],
    pub inode: u32,
    pub mode: u32,
    pub owner: (u32, u32),
    pub links: u32,
    pub mtime: u32,
    pub device: (u32, u32),
    pub checksum: u32,
    /// What is said of the data's length, where that is not true.
    pub size: Option<u32>,
}

/// A record of this name, type and data.
pub fn record(name: impl AsRef<[u8]>, mode: u32, data: impl AsRef<[u8]>) -> Record {
    Record {
        name: name.as_ref().to_vec(),
        data: data.as_ref().to_vec(),
        magic: b"070701",
        inode: 0,
        mode,
        owner: (0, 0),
        links: 1,
        mtime: 0,
        device: (0, 0),
        checksum: 0,
        size: None,
    }
}

impl Record {
    /// One name of several of an inode.
    pub fn linked(self, inode: u32) -> Record {
        Record { inode, links: 2, ..self }
    }

    /// The numbers of a device.
    pub fn device(self, major: u32, minor: u32) -> Record {
        Record { device: (major, minor), ..self }
    }

    /// Its bytes in an archive, with padding.
    pub fn bytes(&self) -> Vec<u8> {
        let size = self.size.unwrap_or(self.data.len() as u32);
        let (uid, gid) = self.owner;
        let (major, minor) = self.device;
        let fields = [self.inode, self.mode, uid, gid, self.links, self.mtime, size, 0, 0, major, minor];
        let mut bytes = self.magic.to_vec();
        for field in fields.into_iter().chain([self.name.len() as u32 + 1, self.checksum]) {
            bytes.extend(format!("{field:08X}").bytes());
        }
        bytes.extend(&self.name);
        bytes.push(0);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes.extend(&self.data);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }
}

/// Records, one after the other, and no trailer.
pub fn records(records: &[Record]) -> Vec<u8> {
    records.iter().flat_map(Record::bytes).collect()
}

/// Records and the trailer.
pub fn archive(all: &[Record]) -> Vec<u8> {
    [records(all), record("TRAILER!!!", 0, "").bytes()].concat()
}

/// Packed with gzip.
pub fn gzip(data: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all(data).unwrap();
    packed.finish().unwrap()
}
