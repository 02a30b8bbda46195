//! Snapshots: a template in a file, and the template again from the file, after a reboot or on another machine of the
//! same kind. A file whose machine or software is another is refused
//! with what differs: the caller boots a template then, as if there were no file.
//!
//! The file is [`MAGIC`]; the header's length (8 bytes) and CRC-32 (4 bytes, both the last byte first); the
//! header (postcard, [`Header`]); the pages that the header lists, in its order. Whoever can write it decides
//! what guests run, as with the guests' kernel: it lies where only root writes. Its sums find damage and
//! mistakes, no malice.

use crate::config::{Discovery, Share, Software};
use crate::error::{Context, Error};
use crate::kvm::vcpu;
use crate::machine;
use crate::memory;
use kvm_bindings::CpuId;
use kvm_ioctls::Kvm;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

/// How a file with a template begins. The last byte rises with every change of what follows.
pub const MAGIC: &[u8; 16] = b"vmatic template\x02";
/// Most bytes of a header: that of a guest of 1 GiB in which every second page is empty.
const HEADER_BYTES_MAX: u64 = 2 << 20;
const PAGE: usize = 4096;
/// Bytes before the header.
const START: usize = MAGIC.len() + 8 + 4;
/// How much of a file that guests share is looked at: it may be large, and its length counts, too.
const SHARE_BYTES: u64 = 64 * 1024;
const HELP: &str = "save a template on this kind of machine, with this build";

/// What must be the same for a template to go on.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Kind {
    memory_mib: u32,
    cmdline: String,
    acpi: bool,
    kernel: Sum,
    initramfs: Sum,
    /// Whether guests see it as memory, and what it is.
    share: Option<(bool, Sum)>,
    /// Cards beyond the first, and their MTU.
    ports: (u8, u16),
    /// What a guest sees of the processor.
    features: CpuId,
}

/// A file's length and CRC-32 (IEEE 802.3).
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Sum {
    bytes: u64,
    crc: u32,
}

#[derive(Debug, Serialize, Deserialize)]
struct Header<F> {
    kind: Kind,
    /// The machine: borrowed to be written, owned when it was read.
    state: F,
    /// Number of the first page and how many follow each other; all others hold zeros.
    runs: Vec<(u32, u32)>,
    /// Of all pages that follow the header.
    pages_crc: u32,
}

/// What a file held.
pub(crate) struct Loaded {
    pub state: machine::MachineState,
    /// As [`memory::create_shared`] makes it, with its pages written.
    pub memory: Arc<File>,
}

impl Sum {
    fn of(path: &Path, bytes_max: u64) -> Result<Self, Error> {
        let tried = format!("read {}", path.display());
        let mut file = File::open(path).context(&tried, "build the host's image again")?;
        let bytes = file.metadata().context(&tried, "try again")?.len();
        let mut hasher = crc32fast::Hasher::new();
        let mut buffer = [0; 64 * 1024];
        let mut rest = bytes.min(bytes_max);
        while rest > 0 {
            let part = rest.min(buffer.len() as u64) as usize;
            file.read_exact(&mut buffer[..part]).context(&tried, "try again")?;
            hasher.update(&buffer[..part]);
            rest -= part as u64;
        }
        Ok(Self { bytes, crc: hasher.finalize() })
    }
}

impl Kind {
    fn of(kvm: &Kvm, software: &Software, memory_mib: u32, ports: (u8, u16)) -> Result<Self, Error> {
        let share = match &software.share {
            Some(Share::Disk(path)) => Some((false, Sum::of(path, SHARE_BYTES)?)),
            Some(Share::Memory(path)) => Some((true, Sum::of(path, SHARE_BYTES)?)),
            None => None,
        };
        Ok(Self {
            memory_mib,
            cmdline: software.cmdline.clone(),
            acpi: software.discovery == Discovery::Acpi,
            kernel: Sum::of(&software.kernel, u64::MAX)?,
            initramfs: Sum::of(&software.initramfs, u64::MAX)?,
            share,
            ports,
            features: vcpu::features(kvm)?,
        })
    }

    /// The first thing that differs.
    fn difference(&self, other: &Self) -> Option<&'static str> {
        let pairs = [
            (self.features == other.features, "the processor has other features"),
            (self.kernel == other.kernel, "the guests' kernel is another"),
            (self.initramfs == other.initramfs, "the guests' image is another"),
            (self.memory_mib == other.memory_mib, "guests have another size"),
            (self.cmdline == other.cmdline, "the guests' command line is another"),
            (self.acpi == other.acpi, "guests find their devices in another way"),
            (self.share == other.share, "the file that guests share is another"),
            (self.ports == other.ports, "guests have other network cards"),
        ];
        pairs.into_iter().find_map(|(same, what)| (!same).then_some(what))
    }
}

/// Writes a template to a file, whole or not at all; gives the file's length.
pub(crate) fn write(
    path: &Path,
    kvm: &Kvm,
    software: &Software,
    memory_mib: u32,
    pages: &File,
    state: &machine::MachineState,
) -> Result<u64, Error> {
    let tried = format!("save the template to {}", path.display());
    let next = "make room there, or name another file";
    let (runs, pages_crc) = used(pages, memory_mib).context(&tried, next)?;
    let header = Header { kind: Kind::of(kvm, software, memory_mib, state.devices.ports())?, state, runs, pages_crc };
    let part = path.with_extension("part");
    let written = write_parts(&part, &header, pages).and_then(|bytes| std::fs::rename(&part, path).map(|()| bytes));
    written.inspect_err(|_| drop(std::fs::remove_file(&part))).context(&tried, next)
}

fn write_parts(part: &Path, header: &Header<&machine::MachineState>, pages: &File) -> io::Result<u64> {
    let encoded = postcard::to_allocvec(header).map_err(io::Error::other)?;
    if encoded.len() as u64 > HEADER_BYTES_MAX {
        return Err(io::Error::other("its memory is too scattered"));
    }
    let mut out = BufWriter::new(File::create(part)?);
    out.write_all(MAGIC)?;
    out.write_all(&(encoded.len() as u64).to_le_bytes())?;
    out.write_all(&crc32fast::hash(&encoded).to_le_bytes())?;
    out.write_all(&encoded)?;
    let mut count = 0;
    each_page(&header.runs, |number| {
        let mut page = [0; PAGE];
        pages.read_exact_at(&mut page, u64::from(number) * PAGE as u64)?;
        count += 1;
        out.write_all(&page)
    })?;
    out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    Ok((START + encoded.len()) as u64 + count * PAGE as u64)
}

/// The pages that hold something, and the sum of them all.
fn used(pages: &File, memory_mib: u32) -> io::Result<(Vec<(u32, u32)>, u32)> {
    let (mut runs, mut hasher) = (Vec::<(u32, u32)>::new(), crc32fast::Hasher::new());
    for number in 0..page_count(memory_mib) {
        let mut page = [0; PAGE];
        pages.read_exact_at(&mut page, u64::from(number) * PAGE as u64)?;
        if page.iter().all(|byte| *byte == 0) {
            continue;
        }
        hasher.update(&page);
        match runs.last_mut() {
            Some((first, count)) if *first + *count == number => *count += 1,
            _ => runs.push((number, 1)),
        }
    }
    Ok((runs, hasher.finalize()))
}

fn page_count(memory_mib: u32) -> u32 {
    // Less than 2^32: a guest has at most 2^20 MiB.
    memory_mib * ((1 << 20) / PAGE as u32)
}

fn each_page(runs: &[(u32, u32)], mut act: impl FnMut(u32) -> io::Result<()>) -> io::Result<()> {
    runs.iter().flat_map(|(first, count)| *first..first + count).try_for_each(&mut act)
}

/// Reads a template; an error says what is wrong with the file, or what differs here.
pub(crate) fn read(
    path: &Path,
    kvm: &Kvm,
    software: &Software,
    memory_mib: u32,
    ports: (u8, u16),
) -> Result<Loaded, Error> {
    let tried = format!("restore the template from {}", path.display());
    let mut file = File::open(path).context(&tried, HELP)?;
    let header = read_header(&mut file).context(&tried, HELP)?;
    if let Some(what) = header.kind.difference(&Kind::of(kvm, software, memory_mib, ports)?) {
        return Err(Error::new(tried, what, HELP));
    }
    // The mapping goes away at once: a template keeps none.
    let (_, memory) = memory::create_shared(memory_mib)?;
    read_pages(&mut file, &header, &memory).context(&tried, HELP)?;
    Ok(Loaded { state: header.state, memory })
}

fn read_header(file: &mut impl Read) -> io::Result<Header<machine::MachineState>> {
    let mut start = [0; START];
    read_whole(file, &mut start)?;
    let (magic, numbers) = start.split_at(MAGIC.len());
    if magic != MAGIC {
        return Err(io::Error::other("it is no template of this version"));
    }
    let (length, crc) = numbers.split_at(8);
    let length = u64::from_le_bytes(length.try_into().map_err(io::Error::other)?);
    if length > HEADER_BYTES_MAX {
        return Err(io::Error::other("its header is longer than any"));
    }
    let mut bytes = vec![0; length as usize];
    read_whole(file, &mut bytes)?;
    if crc != crc32fast::hash(&bytes).to_le_bytes() {
        return Err(io::Error::other("its header is damaged"));
    }
    let header: Header<machine::MachineState> =
        postcard::from_bytes(&bytes).map_err(|e| io::Error::other(format!("its header: {e}")))?;
    check_runs(&header.runs, header.kind.memory_mib)?;
    Ok(header)
}

fn read_whole(file: &mut impl Read, bytes: &mut [u8]) -> io::Result<()> {
    file.read_exact(bytes).map_err(|e| match e.kind() {
        io::ErrorKind::UnexpectedEof => io::Error::other("it is cut short"),
        _ => e,
    })
}

/// Runs rise, and end within the guest's memory.
pub(crate) fn check_runs(runs: &[(u32, u32)], memory_mib: u32) -> io::Result<()> {
    if memory_mib > memory::MEMORY_MIB_MAX {
        return Err(io::Error::other("its guest has more memory than any"));
    }
    let mut free = 0;
    for (first, count) in runs {
        let end = first.checked_add(*count).filter(|end| *first >= free && *end <= page_count(memory_mib));
        free = end.ok_or_else(|| io::Error::other("its list of pages does not fit its memory"))?;
    }
    Ok(())
}

fn read_pages(file: &mut File, header: &Header<machine::MachineState>, memory: &File) -> io::Result<()> {
    let mut file = io::BufReader::with_capacity(64 * 1024, file);
    let mut hasher = crc32fast::Hasher::new();
    each_page(&header.runs, |number| {
        let mut page = [0; PAGE];
        read_whole(&mut file, &mut page)?;
        hasher.update(&page);
        memory.write_all_at(&page, u64::from(number) * PAGE as u64)
    })?;
    if hasher.finalize() != header.pages_crc {
        return Err(io::Error::other("its pages are damaged"));
    }
    Ok(())
}

#[cfg(any(test, fuzzing))]
#[path = "../../../fuzz/targets/vmm/snapshot.rs"]
pub(crate) mod fuzz;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Seek;

    fn file_with(bytes: &[u8]) -> File {
        let mut file = File::from(rustix::fs::memfd_create(c"saved", rustix::fs::MemfdFlags::CLOEXEC).unwrap());
        file.write_all(bytes).unwrap();
        file.rewind().unwrap();
        file
    }

    #[test]
    fn only_runs_within_memory_are_read() {
        let last = page_count(1);
        for good in [vec![], vec![(0, last)], vec![(0, 1), (1, 1), (last - 1, 1)]] {
            assert!(check_runs(&good, 1).is_ok(), "{good:?}");
        }
        for bad in
            [vec![(0, last + 1)], vec![(last, 1)], vec![(1, 1), (0, 1)], vec![(0, 2), (1, 1)], vec![(u32::MAX, 2)]]
        {
            assert!(check_runs(&bad, 1).is_err(), "{bad:?}");
        }
        assert!(check_runs(&[], memory::MEMORY_MIB_MAX + 1).is_err());
    }

    #[test]
    fn used_pages_are_found_and_empty_ones_are_not_kept() {
        let mut bytes = vec![0; 1 << 20];
        for at in [0, PAGE, 5 * PAGE + 4095, (1 << 20) - 1] {
            bytes[at] = 1;
        }
        let (runs, crc) = used(&file_with(&bytes), 1).unwrap();
        assert_eq!(runs, [(0, 2), (5, 1), (255, 1)]);
        let kept: Vec<u8> = [0, 1, 5, 255].iter().flat_map(|n| bytes[n * PAGE..][..PAGE].to_vec()).collect();
        assert_eq!(crc, crc32fast::hash(&kept));
    }

    #[test]
    fn a_header_too_long_or_of_another_version_is_refused() {
        let refused = |bytes: &[u8]| read_header(&mut file_with(bytes)).unwrap_err().to_string();
        assert!(refused(b"vmatic template\x03\0\0\0\0\0\0\0\0\0\0\0\0").contains("no template of this version"));
        assert!(refused(&[&MAGIC[..], &u64::MAX.to_le_bytes(), &[0; 4]].concat()).contains("longer than any"));
        assert!(refused(&[&MAGIC[..], &8u64.to_le_bytes(), &[1; 7]].concat()).contains("cut short"));
        assert!(refused(&[&MAGIC[..], &1u64.to_le_bytes(), &[1; 5]].concat()).contains("header is damaged"));
    }

    proptest! {
        #[test]
        fn no_header_panics(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
            let length = (bytes.len() as u64).to_le_bytes();
            let all = [&MAGIC[..], &length, &crc32fast::hash(&bytes).to_le_bytes(), &bytes].concat();
            let _ = read_header(&mut file_with(&all));
        }
    }
}
