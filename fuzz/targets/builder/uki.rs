//! An EFI stub that gets sections. Oracle: the result is a stub again, with so many sections more, that hold the parts;
//! an initramfs among them is found again.

use crate::archive::wrapping::unwrap;
use crate::bootloader::uki::assemble;

pub fn seeds() -> Vec<Vec<u8>> {
    let mut stub = vec![0; 0x400];
    stub[..2].copy_from_slice(b"MZ");
    stub[0x3c] = 0x40;
    stub[0x40..0x44].copy_from_slice(b"PE\0\0");
    let mut put = |at: usize, value: u32| stub[at..at + 4].copy_from_slice(&value.to_le_bytes());
    for (at, value) in
        [(0x46, 1), (0x54, 112), (0x58, 0x20b), (0x78, 0x200), (0x7c, 0x200), (0x90, 0x1400), (0x94, 0x200)]
    {
        put(at, value);
    }
    for (at, value) in [(8, 0x180), (12, 0x1000), (16, 0x200), (20, 0x200)] {
        put(0x58 + 112 + at, value);
    }
    vec![stub.clone(), [&stub[..], b"symbols"].concat(), stub[..0x200].to_vec()]
}

pub fn run(data: &[u8]) {
    let parts: [(&str, &[u8]); 4] =
        [(".cmdline", b"quiet"), (".linux", &[7; 700]), (".ucode", b"early"), (".initrd", b"image")];
    match assemble(data, &parts) {
        Ok(image) => {
            let at = u32::from_le_bytes([image[0x3c], image[0x3d], image[0x3e], image[0x3f]]) as usize;
            let count = |bytes: &[u8]| u16::from_le_bytes([bytes[at + 6], bytes[at + 7]]);
            assert_eq!(count(&image), count(data) + 4);
            assert!(image.windows(5).any(|window| window == b"quiet"));
            // A stub may have sections of these names before, which come first.
            if !data.windows(4).any(|window| window == b".uco" || window == b".ini") {
                let unwrapped = unwrap(&image).map(|(image, _)| image.into_owned());
                assert!(unwrapped.is_ok_and(|unwrapped| unwrapped == b"early\0\0\0image"));
            }
            // Its own headers are taken again, if there is room for more.
            if let Err(why) = assemble(&image, &[]) {
                panic!("what was assembled is no stub: {why}");
            }
        }
        Err(why) => assert!(!why.to_string().is_empty()),
    }
}
