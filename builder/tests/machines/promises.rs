//! Level three: what the README promises of the small kernels, those of `vmatic kernel build`: sizes of the image,
//! least RAM of a host and of a guest. Where they are not built, `.ci/machines` says that this was not run; run all
//! the same, it fails with what to do. The demo's cluster and clones are `boot` and `clones`, which `.ci/run` runs
//! with these kernels too.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::cluster::Workplace;
use crate::output::stdout;

/// Both kernels by name, so that nothing else is taken in their place.
const KERNELS: &str = "[host]\nkernel = \"built:host\"\n[guest]\nkernel = \"built:guest\"\n";
/// The README's figures, in its units.
const IMAGE_BYTES_MAX: u64 = 20_000_000;
const WIRE_BYTES_MAX: u64 = 12_000_000;
const HOST_MIB: u32 = 64;
const GUEST_MIB: u32 = 16;

fn write(place: &Workplace, spec: &str) -> std::path::PathBuf {
    let file = place.path("spec.toml");
    fs::write(&file, spec).unwrap();
    file
}

/// The bytes of all files of the host image, among them guest kernel and guest image.
fn unpacked_bytes(place: &Workplace, out: &str) -> u64 {
    let listing: Value = serde_json::from_str(&stdout(&place.vmatic(&["list", "--json", out]))).unwrap();
    let files = listing.as_array().or_else(|| listing["files"].as_array()).expect("a list of files");
    files.iter().map(|file| file["size"].as_u64().unwrap_or(0)).sum()
}

#[test]
#[ignore = "level three: make test-machines, once vmatic kernel build has run"]
fn an_image_fits_20_mb_and_its_guests_16() {
    let place = Workplace::new();
    let plan = "name = \"small\"\n[plan]\nhosts = 1\nguests = 4\n";
    let spec = write(&place, &format!("{plan}{KERNELS}memory_mib = {GUEST_MIB}\n"));
    let out = place.build(&spec);
    let unpacked = unpacked_bytes(&place, &out);
    assert!((1_000_000..=IMAGE_BYTES_MAX).contains(&unpacked), "{unpacked} bytes unpacked");
    let size = |name: &str| fs::metadata(Path::new(&out).join(name)).unwrap().len();
    let wire = size("vmlinuz") + size("initramfs");
    assert!(wire <= WIRE_BYTES_MAX, "{wire} bytes on the wire");
    let mut booting = place.boot(&spec, &out);
    booting.wait_for("guests: 4 of 4 up");
    place.until_said(&["run", "./.", "--", "uname", "-s"], "1/1-4: Linux");
    let total = stdout(&place.vmatic(&["run", "1/1", "--", "sed", "-n", "s/MemTotal: *//p", "/proc/meminfo"]));
    let kib: u32 = total.split_ascii_whitespace().nth(1).and_then(|word| word.parse().ok()).unwrap();
    assert!(kib <= GUEST_MIB * 1024, "a guest has {total}");
    assert_eq!(booting.interrupt(), Some(0));
    place.assert_nothing_left();
}

#[test]
#[ignore = "level three: make test-machines, once vmatic kernel build has run"]
fn a_host_of_64_mib_joins() {
    let place = Workplace::new();
    let plan = "name = \"least\"\n[plan]\nhosts = 1\nguests = 0\n";
    let spec =
        write(&place, &format!("{plan}{}", KERNELS.replace("[host]\n", &format!("[host]\nmemory_mib = {HOST_MIB}\n"))));
    let out = place.build(&spec);
    let mut booting = place.boot(&spec, &out);
    booting.wait_for("up: try");
    place.until_said(&["run", ".", "--", "uname", "-s"], "1: Linux");
    assert_eq!(booting.interrupt(), Some(0));
    place.assert_nothing_left();
}
