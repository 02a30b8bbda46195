//! Kernels of an unpacked package: the boot image, its config and release, and the ELF vmlinux that
//! is packed inside a bzImage.
//!
//! A monitor that loads an ELF directly saves the guest its own unpacking (2.3 s against 0.75 s when
//! nested), so vmlinux is taken out here, once, at build time. The setup header says where the packed
//! kernel lies; every offset is checked.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::elf;
use crate::error::{At, Error, Result};

/// Largest vmlinux that is unpacked.
pub const VMLINUX_BYTES_MAX: u64 = 1 << 30;
/// Block size of the LZ4 legacy format.
const LZ4_BLOCK_BYTES: usize = 8 << 20;

/// A kernel package, unpacked.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// The release, e.g. 6.1.0-56-cloud-amd64.
    pub release: String,
    /// The boot image on the building machine.
    pub image: PathBuf,
    /// The text of its config; empty when the package has none.
    pub config: String,
    /// lib/modules/RELEASE on the building machine.
    pub modules: PathBuf,
}

impl Kernel {
    /// Finds the kernel in a folder with boot/vmlinuz-RELEASE and lib/modules/RELEASE.
    pub fn open(folder: &Path) -> Result<Kernel> {
        let boot = folder.join("boot");
        let tried = || Error::new(format!("cannot find a kernel in {}", folder.display()));
        let mut images: Vec<PathBuf> = fs::read_dir(&boot)
            .at("list", &boot)?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz-")))
            .collect();
        images.sort();
        let [image] = &images[..] else {
            return Err(tried()
                .because(format!("boot/ has {} files named vmlinuz-RELEASE instead of one", images.len()))
                .remedy("name a package that holds one kernel, such as debian:linux-image-cloud-amd64"));
        };
        let release = image.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let release = release.trim_start_matches("vmlinuz-").to_owned();
        let modules = ["lib/modules", "usr/lib/modules"]
            .iter()
            .map(|place| folder.join(place).join(&release))
            .find(|place| place.is_dir())
            .ok_or_else(|| tried().because(format!("it has no lib/modules/{release}")))?;
        let config = fs::read_to_string(boot.join(format!("config-{release}"))).unwrap_or_default();
        Ok(Kernel { release, image: image.clone(), config, modules })
    }

    /// The boot image's bytes.
    pub fn read_image(&self) -> Result<Vec<u8>> {
        fs::read(&self.image).at("read", &self.image)
    }

    /// The ELF vmlinux inside the boot image.
    pub fn vmlinux(&self) -> Result<Vec<u8>> {
        let image = self.read_image()?;
        extract_vmlinux(&image).map_err(|cause| {
            Error::new(format!("cannot take vmlinux out of {}", self.image.display()))
                .because(cause)
                .remedy("choose a kernel packed with lz4, gzip or zstd, or one that is an ELF file already")
        })
    }
}

/// Takes the ELF kernel out of a bzImage. An ELF file is given back as it is.
pub fn extract_vmlinux(image: &[u8]) -> std::result::Result<Vec<u8>, String> {
    if elf::is_elf(image) {
        return Ok(image.to_vec());
    }
    let payload = payload(image)?;
    let unpacked = if payload.starts_with(&[0x02, 0x21, 0x4c, 0x18]) {
        unpack_lz4_legacy(payload)?
    } else if payload.starts_with(&[0x1f, 0x8b]) {
        unpack_stream(flate2::read::GzDecoder::new(payload), "gzip")?
    } else if payload.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        let decoder = zstd::stream::Decoder::with_buffer(payload).map_err(|cause| cause.to_string())?;
        unpack_stream(decoder.single_frame(), "zstd")?
    } else if elf::is_elf(payload) {
        payload.to_vec()
    } else {
        let magic: Vec<_> = payload.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        return Err(format!("its payload is packed in an unknown way (it begins with {})", magic.join(" ")));
    };
    if !elf::is_elf(&unpacked) {
        return Err("its payload does not unpack to an ELF file".to_owned());
    }
    trim(unpacked)
}

/// The packed kernel: the setup header of the x86 boot protocol, 2.08 or later, says where it is.
fn payload(image: &[u8]) -> std::result::Result<&[u8], String> {
    let word =
        |at: usize| image.get(at..at + 4).map(|bytes| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]));
    if image.get(0x202..0x206) != Some(b"HdrS") {
        return Err("it is not a bzImage (no HdrS signature)".to_owned());
    }
    let version = word(0x206).map_or(0, |word| word & 0xffff);
    if version < 0x0208 {
        return Err(format!("its boot protocol {version:#x} is older than 2.08"));
    }
    let sectors = match image[0x1f1] {
        0 => 4,
        sectors => usize::from(sectors),
    };
    let (Some(offset), Some(length)) = (word(0x248), word(0x24c)) else {
        return Err("its setup header is cut off".to_owned());
    };
    let start = (sectors + 1) * 512 + offset as usize;
    image
        .get(start..start + length as usize)
        .ok_or_else(|| "its payload lies beyond the end of the file: it is cut off".to_owned())
}

fn unpack_stream(reader: impl Read, method: &str) -> std::result::Result<Vec<u8>, String> {
    let mut unpacked = Vec::new();
    // Both decoders stop after one member; the unpacked size that the kernel's build appends is not read.
    let read = reader.take(VMLINUX_BYTES_MAX).read_to_end(&mut unpacked);
    read.map_err(|cause| format!("its {method} payload is damaged: {cause}"))?;
    Ok(unpacked)
}

/// The LZ4 legacy format: a magic, then blocks of a length and that many bytes. Linux appends the
/// unpacked size, which looks like a length without a block.
fn unpack_lz4_legacy(payload: &[u8]) -> std::result::Result<Vec<u8>, String> {
    let mut unpacked = Vec::new();
    let mut rest = &payload[4..];
    let mut block = vec![0; LZ4_BLOCK_BYTES];
    while let Some((head, tail)) = rest.split_first_chunk::<4>() {
        let length = u32::from_le_bytes(*head) as usize;
        if tail.is_empty() {
            return if length == unpacked.len() {
                Ok(unpacked)
            } else {
                Err(format!("it unpacks to {} bytes instead of {length}", unpacked.len()))
            };
        }
        let packed = tail.get(..length).ok_or("an lz4 block is cut off")?;
        let size = lz4_flex::block::decompress_into(packed, &mut block)
            .map_err(|cause| format!("an lz4 block is damaged: {cause}"))?;
        if unpacked.len() as u64 + size as u64 > VMLINUX_BYTES_MAX {
            return Err(format!("it unpacks to more than {VMLINUX_BYTES_MAX} bytes"));
        }
        unpacked.extend_from_slice(&block[..size]);
        rest = &tail[length..];
    }
    Ok(unpacked)
}

/// Cuts what the boot wrapper appends to vmlinux (its relocations): the bytes after the last segment
/// and the section headers are of no use to a monitor.
fn trim(mut vmlinux: Vec<u8>) -> std::result::Result<Vec<u8>, String> {
    let parsed = goblin::elf::Elf::parse_header(&vmlinux).map_err(|cause| cause.to_string())?;
    let programs = goblin::elf::Elf::lazy_parse(parsed).map_err(|cause| cause.to_string())?;
    let ctx = goblin::container::Ctx::new(
        programs.header.container().map_err(|cause| cause.to_string())?,
        programs.header.endianness().map_err(|cause| cause.to_string())?,
    );
    let count = usize::from(programs.header.e_phnum);
    let headers = goblin::elf::ProgramHeader::parse(&vmlinux, programs.header.e_phoff as usize, count, ctx)
        .map_err(|cause| cause.to_string())?;
    let end = headers.iter().map(|header| header.p_offset.saturating_add(header.p_filesz)).max().unwrap_or(0);
    let end = usize::try_from(end).ok().filter(|end| (64..=vmlinux.len()).contains(end));
    let Some(end) = end else { return Err("the segments of its vmlinux lie beyond its end".to_owned()) };
    if parsed.e_ident[4] != 2 || parsed.e_ident[5] != 1 {
        return Ok(vmlinux);
    }
    vmlinux.truncate(end);
    // No section headers any more: e_shoff, e_shnum, e_shstrndx of a 64-bit header.
    vmlinux[0x28..0x30].fill(0);
    vmlinux[0x3c..0x40].fill(0);
    Ok(vmlinux)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;

    /// A 64-bit ELF file of one segment that covers it, and some bytes after it.
    fn vmlinux() -> (Vec<u8>, Vec<u8>) {
        let mut elf = vec![0; 120];
        elf[..16].copy_from_slice(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
        elf[16..20].copy_from_slice(&[2, 0, 62, 0]);
        elf[0x20] = 64;
        elf[0x34..0x3a].copy_from_slice(&[64, 0, 56, 0, 1, 0]);
        elf[64] = 1;
        elf.extend((0..20_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8));
        let size = elf.len() as u64;
        elf[64 + 32..64 + 40].copy_from_slice(&size.to_le_bytes());
        let trimmed = elf.clone();
        elf.extend([7; 100]);
        (elf, trimmed)
    }

    fn bzimage(payload: &[u8]) -> Vec<u8> {
        let mut image = vec![0; 1024 + 16];
        image[0x1f1] = 1;
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x206..0x208].copy_from_slice(&[0x0f, 0x02]);
        image[0x248..0x24c].copy_from_slice(&16u32.to_le_bytes());
        image[0x24c..0x250].copy_from_slice(&(payload.len() as u32).to_le_bytes());
        image.extend(payload);
        image.extend([0; 512]);
        image
    }

    fn with_size(mut packed: Vec<u8>, size: usize) -> Vec<u8> {
        packed.extend((size as u32).to_le_bytes());
        packed
    }

    fn lz4(data: &[u8]) -> Vec<u8> {
        let mut packed = vec![0x02, 0x21, 0x4c, 0x18];
        for block in data.chunks(8192) {
            let block = lz4_flex::block::compress(block);
            packed.extend((block.len() as u32).to_le_bytes());
            packed.extend(block);
        }
        with_size(packed, data.len())
    }

    #[test]
    fn every_packing_unpacks_to_the_same_kernel() {
        let (elf, trimmed) = vmlinux();
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
        gzip.write_all(&elf).unwrap();
        let gzip = with_size(gzip.finish().unwrap(), elf.len());
        let zstd = with_size(zstd::encode_all(&elf[..], 3).unwrap(), elf.len());
        for payload in [lz4(&elf), gzip, zstd, elf.clone()] {
            assert_eq!(extract_vmlinux(&bzimage(&payload)).unwrap(), trimmed);
        }
        assert_eq!(extract_vmlinux(&elf).unwrap(), elf, "an ELF file is given back as it is");
    }

    #[test]
    fn damage_is_named() {
        let (elf, _) = vmlinux();
        let good = bzimage(&lz4(&elf));
        for (image, cause) in [
            (b"MZ".to_vec(), "HdrS"),
            (good[..2000].to_vec(), "cut off"),
            (bzimage(b"\xfd7zXZ\0"), "unknown way (it begins with fd 37 7a 58)"),
            (bzimage(&lz4(b"no elf")), "ELF"),
            (bzimage(&with_size(lz4(&elf)[..lz4(&elf).len() - 4].to_vec(), 5)), "instead of 5"),
        ] {
            let error = extract_vmlinux(&image).unwrap_err();
            assert!(error.contains(cause), "{error}");
        }
    }

    proptest! {
        #[test]
        fn damage_never_panics(at in 0usize..4000, byte: u8, cut in 0usize..30000) {
            let mut image = bzimage(&lz4(&vmlinux().0));
            image.truncate(cut.max(16));
            let at = at % image.len();
            image[at] = byte;
            let _ = extract_vmlinux(&image);
        }
    }
}
