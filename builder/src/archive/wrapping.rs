//! What an image may be wrapped in: a unified kernel image (an EFI program), U-Boot's header, a boot configuration
//! appended for the kernel.
//!
//! Takes a file's bytes; gives those that the kernel gets as its initramfs, and what is to be said. Formats: the PE
//! specification of Microsoft and the UAPI group's of unified kernel images; U-Boot's `include/image.h`; the kernel's
//! `Documentation/admin-guide/bootconfig.rst`. Every offset is checked.

use std::borrow::Cow;
use std::io;

/// Bytes of U-Boot's header, and what it begins with.
const UBOOT_HEADER_BYTES: usize = 64;
const UBOOT_MAGIC: [u8; 4] = [0x27, 0x05, 0x19, 0x56];
/// U-Boot's types of images.
const UBOOT_RAMDISK: u8 = 3;
const UBOOT_MULTI: u8 = 4;
/// Most images in one of U-Boot's files: kernel, initramfs, device tree, and room for more.
const UBOOT_IMAGES_MAX: usize = 16;

const SECTION_HEADER_BYTES: usize = 40;
const BOOTCONFIG_MAGIC: &[u8] = b"#BOOTCONFIG\n";
/// GRUB pads an initramfs to four bytes, behind the configuration too.
const BOOTCONFIG_PADDING_BYTES_MAX: usize = 3;

/// The initramfs in a file, and what is to be said of the file.
pub fn unwrap(bytes: &[u8]) -> io::Result<(Cow<'_, [u8]>, Vec<String>)> {
    let mut notes = Vec::new();
    let bytes = if bytes.starts_with(b"MZ") {
        from_uki(bytes)?
    } else if bytes.starts_with(&UBOOT_MAGIC) {
        Cow::Borrowed(from_uboot(bytes, &mut notes)?)
    } else {
        Cow::Borrowed(bytes)
    };
    let end = without_bootconfig(&bytes, &mut notes);
    let bytes = match bytes {
        Cow::Borrowed(bytes) => Cow::Borrowed(&bytes[..end]),
        Cow::Owned(mut bytes) => {
            bytes.truncate(end);
            Cow::Owned(bytes)
        }
    };
    Ok((bytes, notes))
}

/// What systemd's stub hands to the kernel: the section `.ucode`, then `.initrd`, each padded to four bytes.
fn from_uki(bytes: &[u8]) -> io::Result<Cow<'_, [u8]>> {
    let part = |name| section(bytes, name);
    let no_program = || io::Error::other("it begins as an EFI program, and its headers are damaged");
    let (early, initrd) = (part(b".ucode").ok_or_else(no_program)?, part(b".initrd").ok_or_else(no_program)?);
    match (early, initrd) {
        (None, Some(initrd)) => Ok(Cow::Borrowed(initrd)),
        (Some(early), Some(initrd)) => {
            let mut all = early.to_vec();
            all.resize(all.len().next_multiple_of(4), 0);
            all.extend_from_slice(initrd);
            Ok(Cow::Owned(all))
        }
        (_, None) => Err(io::Error::other(
            "it is an EFI program without a section .initrd: a kernel or a boot loader, not a unified kernel image",
        )),
    }
}

/// A section of a PE file, as long as it is in memory; None if the headers are damaged, Some(None) if there is none.
#[expect(clippy::option_option, reason = "damaged and absent are two answers")]
fn section<'a>(bytes: &'a [u8], name: &[u8]) -> Option<Option<&'a [u8]>> {
    let word = |at: usize| {
        let four = bytes.get(at..at.checked_add(4)?)?;
        Some(u32::from_le_bytes(four.try_into().ok()?) as usize)
    };
    let half = |at: usize| Some(word(at)? & 0xffff);
    let pe = word(0x3c)?;
    if bytes.get(pe..pe.checked_add(4)?)? != b"PE\0\0" {
        return None;
    }
    let (count, optional_bytes) = (half(pe + 6)?, half(pe + 20)?);
    for index in 0..count {
        let at = pe + 24 + optional_bytes + index * SECTION_HEADER_BYTES;
        let header = bytes.get(at..at + SECTION_HEADER_BYTES)?;
        if header[..8].strip_prefix(name).is_none_or(|rest| rest.iter().any(|byte| *byte != 0)) {
            continue;
        }
        let (in_memory, in_file, offset) = (word(at + 8)?, word(at + 16)?, word(at + 20)?);
        let size = if in_memory == 0 { in_file } else { in_memory.min(in_file) };
        return Some(Some(bytes.get(offset..offset.checked_add(size)?)?));
    }
    Some(None)
}

/// The initramfs behind U-Boot's header; of several images in one file the second, as U-Boot's `bootm` takes it.
fn from_uboot<'a>(bytes: &'a [u8], notes: &mut Vec<String>) -> io::Result<&'a [u8]> {
    let cut = || io::Error::other("U-Boot's header is cut off");
    let header = bytes.first_chunk::<UBOOT_HEADER_BYTES>().ok_or_else(cut)?;
    let word = |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let (size, kind) = (word(12) as usize, header[30]);
    let behind = &bytes[UBOOT_HEADER_BYTES..];
    let image = behind.get(..size).unwrap_or(behind);
    let mut summed = *header;
    summed[4..8].fill(0);
    if crc32(&summed) != word(4) {
        notes.push("the checksum of U-Boot's header is wrong: U-Boot refuses the file".to_owned());
    } else if image.len() < size {
        let why = format!("it is cut off: U-Boot's header speaks of {size} bytes, and {} are there", image.len());
        notes.push(why);
    } else if crc32(image) != word(24) {
        notes.push("the checksum in U-Boot's header is wrong: U-Boot refuses the file".to_owned());
    }
    match kind {
        UBOOT_RAMDISK => Ok(image),
        UBOOT_MULTI => second_of_several(image).ok_or_else(|| {
            io::Error::other("U-Boot's header speaks of several images, and there is no second, which is the initramfs")
        }),
        _ => Err(io::Error::other(format!(
            "U-Boot's header says that it is of type {kind}: an initramfs is {UBOOT_RAMDISK} (ramdisk) or in \
             {UBOOT_MULTI} (multi)"
        ))),
    }
}

/// A list of sizes that ends with a zero, then the images, each padded to four bytes.
fn second_of_several(bytes: &[u8]) -> Option<&[u8]> {
    let words = bytes.chunks_exact(4).take(UBOOT_IMAGES_MAX + 1);
    let sizes: Vec<usize> = words
        .map(|word| word.iter().fold(0usize, |number, byte| number << 8 | usize::from(*byte)))
        .take_while(|size| *size != 0)
        .collect();
    let [first, second, ..] = sizes[..] else { return None };
    let at = (sizes.len() + 1) * 4 + first.next_multiple_of(4);
    bytes.get(at..at + second)
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut sum = flate2::Crc::new();
    sum.update(bytes);
    sum.sum()
}

/// Where the initramfs ends: before a boot configuration, which the kernel cuts off first, or at the end.
fn without_bootconfig(bytes: &[u8], notes: &mut Vec<String>) -> usize {
    let all = bytes.len();
    let ends = (0..=BOOTCONFIG_PADDING_BYTES_MAX).filter_map(|padding| all.checked_sub(padding));
    let Some(end) = ends.into_iter().find(|end| bytes[..*end].ends_with(BOOTCONFIG_MAGIC)) else { return all };
    let Some(words) = (end - BOOTCONFIG_MAGIC.len()).checked_sub(8) else { return all };
    let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    let (size, sum) = (word(words) as usize, word(words + 4));
    let Some(start) = words.checked_sub(size) else {
        notes.push("the boot configuration at its end is longer than the file: the kernel does not take it".to_owned());
        return all;
    };
    if bytes[start..words].iter().fold(0u32, |sum, byte| sum.wrapping_add(u32::from(*byte))) != sum {
        notes.push("the boot configuration at its end has a wrong checksum: the kernel does not take it".to_owned());
        return all;
    }
    start
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uboot(kind: u8, image: &[u8]) -> Vec<u8> {
        let mut header = [0; UBOOT_HEADER_BYTES];
        header[..4].copy_from_slice(&UBOOT_MAGIC);
        header[12..16].copy_from_slice(&(image.len() as u32).to_be_bytes());
        header[24..28].copy_from_slice(&crc32(image).to_be_bytes());
        header[30] = kind;
        let sum = crc32(&header);
        header[4..8].copy_from_slice(&sum.to_be_bytes());
        [&header[..], image].concat()
    }

    fn unwrapped(bytes: &[u8]) -> (Vec<u8>, Vec<String>) {
        let (bytes, notes) = unwrap(bytes).unwrap();
        (bytes.into_owned(), notes)
    }

    #[test]
    fn u_boots_header_is_taken_off_and_its_sums_are_looked_at() {
        let mut file = uboot(UBOOT_RAMDISK, b"archive");
        file.extend(b"padding");
        assert_eq!(unwrapped(&file), (b"archive".to_vec(), Vec::new()));
        let (bytes, notes) = unwrapped(&file[..UBOOT_HEADER_BYTES + 4]);
        assert_eq!((&bytes[..], notes.len()), (&b"arch"[..], 1));
        for (at, want) in [(UBOOT_HEADER_BYTES, "checksum in U-Boot's"), (40, "checksum of U-Boot's header")] {
            let mut file = file.clone();
            file[at] ^= 1;
            assert!(unwrapped(&file).1[0].contains(want));
        }
        let several = [&7u32.to_be_bytes()[..], &3u32.to_be_bytes(), &[0; 4], b"kernel!\0", b"two\0"].concat();
        assert_eq!(unwrapped(&uboot(UBOOT_MULTI, &several)).0, b"two");
        for wrong in [uboot(2, b"kernel"), uboot(UBOOT_MULTI, b"\0\0\0\x01\0\0\0\0x"), file[..40].to_vec()] {
            assert!(unwrap(&wrong).is_err());
        }
    }

    #[test]
    fn a_boot_configuration_is_no_part_of_an_image() {
        let config = |sum: u32, size: u32| {
            [b"image", &b"a=b\0"[..], &size.to_le_bytes(), &sum.to_le_bytes(), BOOTCONFIG_MAGIC].concat()
        };
        let sum = b"a=b\0".iter().map(|byte| u32::from(*byte)).sum();
        for padding in 0..=BOOTCONFIG_PADDING_BYTES_MAX {
            let bytes = [config(sum, 4), vec![0; padding]].concat();
            assert_eq!(unwrapped(&bytes), (b"image".to_vec(), Vec::new()));
        }
        let one_more = [config(sum, 4), vec![0; BOOTCONFIG_PADDING_BYTES_MAX + 1]].concat();
        assert_eq!(unwrapped(&one_more).0, one_more);
        for wrong in [config(sum + 1, 4), config(sum, u32::MAX), config(sum, 10)] {
            assert_eq!((unwrapped(&wrong).0 == wrong, unwrapped(&wrong).1.len()), (true, 1));
        }
        assert_eq!(unwrapped(BOOTCONFIG_MAGIC).0, BOOTCONFIG_MAGIC);
    }

    #[test]
    fn a_program_without_an_initramfs_is_told_apart_from_a_damaged_one() {
        let error = |bytes: &[u8]| unwrap(bytes).unwrap_err().to_string();
        assert!(error(b"MZ").contains("damaged"));
        let mut program = vec![0; 0x100];
        program[..2].copy_from_slice(b"MZ");
        program[0x3c] = 0x40;
        program[0x40..0x44].copy_from_slice(b"PE\0\0");
        assert!(error(&program).contains("without a section .initrd"));
        program[0x46] = 9;
        assert!(error(&program).contains("damaged"));
    }
}
