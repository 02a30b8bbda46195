//! What an image is wrapped in. Oracles: what comes out is a piece of what went in, or two that are padded; wrapped
//! again in U-Boot's header, it comes out as it went in.

use crate::archive::wrapping::unwrap;

/// U-Boot's header for a ramdisk, with right checksums.
fn uboot(image: &[u8]) -> Vec<u8> {
    let crc = |bytes: &[u8]| {
        let mut sum = flate2::Crc::new();
        sum.update(bytes);
        sum.sum().to_be_bytes()
    };
    let mut header = [0; 64];
    header[..4].copy_from_slice(&[0x27, 0x05, 0x19, 0x56]);
    header[12..16].copy_from_slice(&(image.len() as u32).to_be_bytes());
    header[24..28].copy_from_slice(&crc(image));
    header[30] = 3;
    let sum = crc(&header);
    header[4..8].copy_from_slice(&sum);
    [&header[..], image].concat()
}

fn with_config(image: &[u8], text: &[u8]) -> Vec<u8> {
    let sum = text.iter().map(|byte| u32::from(*byte)).sum::<u32>();
    [image, text, &(text.len() as u32).to_le_bytes(), &sum.to_le_bytes(), b"#BOOTCONFIG\n"].concat()
}

pub fn seeds() -> Vec<Vec<u8>> {
    let several = [&4u32.to_be_bytes()[..], &5u32.to_be_bytes(), &[0; 4], b"onlyimage"].concat();
    let mut multi = uboot(&several);
    multi[30] = 4;
    let stub = super::uki::seeds().swap_remove(0);
    let parts: [(&str, &[u8]); 2] = [(".ucode", b"early"), (".initrd", b"image")];
    let uki = crate::bootloader::uki::assemble(&stub, &parts).unwrap_or_default();
    vec![uboot(b"image"), multi, with_config(b"image", b"a=b\0"), [with_config(b"", b""), vec![0; 3]].concat(), uki]
}

pub fn run(data: &[u8]) {
    let (image, notes) = match unwrap(data) {
        Ok(unwrapped) => unwrapped,
        Err(why) => return assert!(!why.to_string().is_empty()),
    };
    assert!(image.len() <= 2 * data.len() + 3 && notes.iter().all(|note| !note.is_empty()));
    let wrapped = uboot(&image);
    let (again, notes) = unwrap(&wrapped).expect("we wrapped it");
    assert!(notes.iter().all(|note| !note.contains("U-Boot")), "{notes:?}");
    // Of a boot configuration behind another, the kernel cuts off the last.
    assert!(image.starts_with(&again));
    let configured = with_config(&image, b"key = value\n");
    if !image.starts_with(b"MZ") && !image.starts_with(&[0x27, 0x05, 0x19, 0x56]) {
        let (again, notes) = unwrap(&configured).expect("we wrote the configuration");
        assert!(*again == *image && notes.is_empty());
    }
}
