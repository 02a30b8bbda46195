//! Formats, packings, and what ends an image too early.

use super::{Case, alone, case};
use crate::newc::{FILE, LINK, archive, gzip, record, records};

pub(super) fn cases(at: &str) -> Vec<Case> {
    [formats(at), gzipped(), packed(), ends()].into_iter().flatten().collect()
}

fn formats(at: &str) -> Vec<Case> {
    let p = |name: &str| format!("{at}{name}");
    let file = |name: &str, data: &str| record(p(name), FILE, data);
    let mut small = record(p("x"), FILE, "0123456789").linked(0xab_cdef).bytes();
    small[..110].make_ascii_lowercase();
    vec![
        case(at, "a checksum that is right", archive(&[summed(&p("x"), 0xc3)]), &["-0644 0:0 2 /x"], ""),
        case(at, "small digits", [small, archive(&[])].concat(), &["-0644 0:0 10 /x"], ""),
        case(
            at,
            "packed, then plain, then packed without a trailer",
            [
                aligned(gzip(&archive(&[file("a", "1")]))),
                records(&[file("b", "2")]),
                aligned(gzip(&records(&[file("c", "3")]))),
                archive(&[]),
            ]
            .concat(),
            &["-0644 0:0 1 /a", "-0644 0:0 1 /b", "-0644 0:0 1 /c"],
            "",
        ),
    ]
}

/// A record with a checksum; right for it is 0xc3.
fn summed(name: &str, checksum: u32) -> crate::newc::Record {
    crate::newc::Record { magic: b"070702", checksum, ..record(name, FILE, "ab") }
}

fn aligned(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn plain(names: &[&str]) -> Vec<u8> {
    archive(&names.iter().map(|name| record(name, FILE, "x")).collect::<Vec<_>>())
}

/// A gzip member whose length is no multiple of four.
fn odd_gzip(data: &[u8]) -> Vec<u8> {
    let member = |name: usize| named_gzip(flate2::GzBuilder::new().filename("n".repeat(name)), data);
    (1..5).map(member).find(|member| member.len() % 4 == 1).unwrap()
}

fn named_gzip(header: flate2::GzBuilder, data: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut packed = header.write(Vec::new(), flate2::Compression::default());
    packed.write_all(data).unwrap();
    packed.finish().unwrap()
}

fn gzipped() -> Vec<Case> {
    let (a, late) = (plain(&["a"]), plain(&["late"]));
    let only_a = ["-0644 0:0 1 /a"];
    let both = ["-0644 0:0 1 /a", "-0644 0:0 1 /late"];
    let behind = |member: Vec<u8>| [a.clone(), member].concat();
    let mut wrong_sum = gzip(&a);
    let sum = wrong_sum.len() - 8;
    wrong_sum[sum] ^= 1;
    let cut = gzip(&[&a[..112], &vec![7; 3000]].concat());
    vec![
        alone("two packed members at odd offsets", [odd_gzip(&a), odd_gzip(&late)].concat(), &both, ""),
        alone("an archive at an odd offset", [odd_gzip(&a), late.clone()].concat(), &only_a, "no multiple of 4"),
        alone(
            "zeros to an odd offset before a packed member",
            [&a[..], &[0; 5], &gzip(&late)].concat(),
            &only_a,
            "no multiple of 4",
        ),
        alone(
            "a packed member that ends inside a record",
            [aligned(gzip(&record("a", FILE, "12345678").bytes()[..116])), late.clone()].concat(),
            &["-0644 0:0 8 /a"],
            "ends inside a record",
        ),
        alone("a gzip checksum that is wrong", [aligned(wrong_sum), late.clone()].concat(), &both, "checksum"),
        alone(
            "a gzip header with a comment",
            [&a[..], &aligned(named_gzip(flate2::GzBuilder::new().comment("for you"), &a)), &late].concat(),
            &only_a,
            "do not pass over",
        ),
        alone("a gzip member that is cut off", behind(cut[..cut.len() - 12].to_vec()), &only_a, "damaged"),
        alone(
            "junk inside a packed member",
            [aligned(gzip(&[&a[..], b"junk"].concat())), late].concat(),
            &only_a,
            "junk",
        ),
    ]
}

fn packed() -> Vec<Case> {
    use std::io::Write;
    let (a, b, late) = (plain(&["a"]), plain(&["b"]), plain(&["late"]));
    let only_a = ["-0644 0:0 1 /a"];
    let both = ["-0644 0:0 1 /a", "-0644 0:0 1 /late"];
    let behind = |member: Vec<u8>| [a.clone(), member].concat();
    let xz = |check| {
        let mut options = lzma_rust2::XzOptions::with_preset(1);
        options.set_check_sum_type(check);
        let mut writer = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
        writer.write_all(&b).unwrap();
        writer.finish().unwrap()
    };
    let lzma = || {
        let options = lzma_rust2::LzmaOptions::with_preset(1);
        let mut writer = lzma_rust2::LzmaWriter::new_use_header(Vec::new(), &options, None).unwrap();
        writer.write_all(&late).unwrap();
        writer.finish().unwrap()
    };
    let bzip2 = || {
        let mut writer = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::new(9));
        writer.write_all(&late).unwrap();
        writer.finish().unwrap()
    };
    let lz4 = |data: &[u8]| {
        let block = lz4_flex::block::compress(data);
        [&[2, 0x21, 0x4c, 0x18][..], &(block.len() as u32).to_le_bytes(), &block].concat()
    };
    vec![
        alone(
            "xz with a check that kernels know",
            behind(xz(lzma_rust2::CheckType::Crc32)),
            &["-0644 0:0 1 /a", "-0644 0:0 1 /b"],
            "",
        ),
        alone(
            "xz with a check that kernels do not know",
            [&a[..], &aligned(xz(lzma_rust2::CheckType::Crc64)), &late].concat(),
            &only_a,
            "--check=crc32",
        ),
        alone("lzma", behind(lzma()), &both, ""),
        alone("bzip2", behind(bzip2()), &both, ""),
        alone("zstd", behind(zstd::encode_all(&late[..], 3).unwrap()), &both, ""),
        alone("lz4 in the old format", behind(lz4(&late)), &both, ""),
        alone("lz4 in the new format", behind(b"\x04\x22\x4d\x18dGp".to_vec()), &only_a, "lz4"),
    ]
}

fn ends() -> Vec<Case> {
    let (a, late) = (plain(&["a"]), plain(&["late"]));
    let only_a = ["-0644 0:0 1 /a"];
    let file = record("b", FILE, "12345678").bytes();
    let behind = |bytes: &[u8]| [&records(&[record("a", FILE, "x")])[..], bytes].concat();
    let mut no_nul = record("b", FILE, "").bytes();
    no_nul[111] = b'c';
    let mut odc = file.clone();
    odc[5] = b'7';
    let mut other = file.clone();
    other[5] = b'9';
    vec![
        alone(
            "a checksum that is wrong",
            [archive(&[summed("x", 0xc4)]), late.clone()].concat(),
            &["-0644 0:0 2 /x"],
            "checksum",
        ),
        alone("a file that is cut off", behind(&file[..116]), &["-0644 0:0 1 /a", "-0644 0:0 8 /b"], "cut off"),
        alone("a header that is cut off", behind(&file[..50]), &only_a, "cut off"),
        alone("a name that is cut off", behind(&file[..111]), &only_a, "cut off"),
        alone("a link that is cut off", behind(&record("l", LINK, "target").bytes()[..114]), &only_a, "cut off"),
        alone("a name without a NUL", behind(&[&no_nul[..], &late].concat()), &only_a, "NUL"),
        alone("an old portable archive", behind(&[&odc[..], &late].concat()), &only_a, "odc"),
        alone("no magic", behind(&[&other[..], &late].concat()), &only_a, "no newc header"),
        alone("junk behind the trailer", [&a[..], b"JUNK", &late].concat(), &only_a, "unknown magic"),
        alone("zeros, then more", [&a[..], &[0; 64], &late].concat(), &["-0644 0:0 1 /a", "-0644 0:0 1 /late"], ""),
        alone("a boot configuration behind", [&a[..], &boot_config(0)].concat(), &only_a, ""),
        alone("a boot configuration that is padded", [&a[..], &boot_config(0), &[0; 2]].concat(), &only_a, ""),
        alone("a boot configuration with a wrong checksum", [&a[..], &boot_config(1)].concat(), &only_a, "checksum"),
    ]
}

/// As `bootconfig -a` appends it.
fn boot_config(wrong: u32) -> Vec<u8> {
    let text = b"kernel.quiet\n\0\0\0";
    let sum = text.iter().map(|byte| u32::from(*byte)).sum::<u32>() + wrong;
    [&text[..], &(text.len() as u32).to_le_bytes(), &sum.to_le_bytes(), b"#BOOTCONFIG\n"].concat()
}
