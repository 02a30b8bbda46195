//! What the firmware says of this machine (SMBIOS, DSP0134), as the kernel has it.

use std::fs;
use std::path::Path;

/// Where that is, and the files that tell machines apart.
const FOLDER: &str = "/sys/class/dmi/id";
const FILES: [&str; 6] =
    ["product_uuid", "product_serial", "chassis_serial", "board_serial", "chassis_asset_tag", "board_asset_tag"];

/// What the firmware says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Firmware {
    /// All that may tell it from others: UUID, serial numbers, asset tags. Of a UUID both orders of bytes: programs
    /// differ in which they print.
    pub machines: Vec<String>,
    /// Its serial number; empty if there is none.
    pub serial: String,
    /// Its UUID, likewise.
    pub uuid: String,
    /// Who made it, and what it is called there.
    pub product: String,
}

impl Firmware {
    /// That of this machine.
    pub fn read() -> Firmware {
        Firmware::of_folder(Path::new(FOLDER))
    }

    /// As these files have it.
    pub fn of_folder(folder: &Path) -> Firmware {
        let text = |file: &str| {
            fs::read_to_string(folder.join(file))
                .map(|text| text.trim().to_owned())
                .ok()
                .filter(|text| !text.is_empty())
        };
        let machines = FILES.iter().filter_map(|file| text(file));
        let product = [text("sys_vendor"), text("product_name")].into_iter().flatten().collect::<Vec<_>>().join(" ");
        Firmware {
            machines: machines.flat_map(|text| [turned(&text), Some(text)]).flatten().collect(),
            serial: text("product_serial").or_else(|| text("chassis_serial")).unwrap_or_default(),
            uuid: text("product_uuid").unwrap_or_default(),
            product,
        }
    }
}

/// A UUID with the bytes of its first three fields turned (SMBIOS 2.6 has them little-endian, 7.2.1).
fn turned(uuid: &str) -> Option<String> {
    let fields: Vec<&str> = uuid.split('-').collect();
    let lengths = fields.iter().map(|field| field.len());
    if !lengths.eq([8, 4, 4, 4, 12]) || !uuid.is_ascii() {
        return None;
    }
    let turn = |field: &str| (0..field.len()).step_by(2).rev().map(|at| &field[at..at + 2]).collect::<String>();
    let [a, b, c, d, e] = fields[..] else { return None };
    Some([turn(a), turn(b), turn(c), d.to_owned(), e.to_owned()].join("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_firmware_says_is_read_and_a_uuid_in_both_orders() {
        let folder = tempfile::tempdir().unwrap();
        let uuid = "4c4c4544-0039-3510-8052-b4c04f4d3732";
        for (file, text) in [
            ("product_uuid", uuid),
            ("product_serial", "S-1\n"),
            ("chassis_asset_tag", " Tag 9 "),
            ("board_serial", "\n"),
            ("sys_vendor", "ACME"),
            ("product_name", "Box 2"),
        ] {
            fs::write(folder.path().join(file), text).unwrap();
        }
        let firmware = Firmware::of_folder(folder.path());
        assert_eq!(firmware.machines, ["44454c4c-3900-1035-8052-b4c04f4d3732", uuid, "S-1", "Tag 9"]);
        assert_eq!((&firmware.serial[..], &firmware.uuid[..], &firmware.product[..]), ("S-1", uuid, "ACME Box 2"));
        assert_eq!(Firmware::of_folder(&folder.path().join("none")), Firmware::default());
    }
}
