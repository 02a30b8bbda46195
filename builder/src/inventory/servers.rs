//! Settings for the servers that hand addresses out: dnsmasq, ISC dhcpd, Kea. Each host gets its address by its MAC,
//! and a boot file that its firmware can run.
//!
//! What firmware asks for is told by its architecture (RFC 4578, section 2.1): 0 is BIOS, 7 and 9 are UEFI on x86-64. A
//! card that runs iPXE says so as its user class, and gets the script.

use std::io::{self, Write};

use serde_json::json;

use super::record::{Inventory, Record};
use crate::spec::values::LoaderName;

/// What cards load that run iPXE.
const SCRIPT: &str = "boot.ipxe";
/// What every one of these files says first, a line each.
const ABOUT: [&str; 3] = [
    "The MACs are those of the machines that `vmatic boot` starts: write those of your machines in their place.",
    "A host knows its number by this address, whatever its MAC.",
    "The boot files lie in the output folder, which a TFTP server has to serve.",
];

/// The boot files of cards without iPXE, of the first loaders of the spec that serve them: for BIOS, for UEFI.
fn boot_files(loaders: &[LoaderName]) -> (Option<&'static str>, Option<&'static str>) {
    let bios = loaders.iter().find_map(|loader| match loader {
        LoaderName::Ipxe => Some("undionly.kpxe"),
        LoaderName::Pxelinux => Some("pxelinux.0"),
        LoaderName::Grub | LoaderName::Uki => None,
    });
    let uefi = loaders.iter().find_map(|loader| match loader {
        LoaderName::Ipxe => Some("snponly.efi"),
        LoaderName::Grub => Some("grubnetx64.efi"),
        LoaderName::Uki => Some("vmatic.efi"),
        LoaderName::Pxelinux => None,
    });
    (bios, uefi)
}

/// What is said where no loader of the spec serves a firmware.
fn unserved(firmware: &str, loaders: &str) -> String {
    format!("cards with {firmware} and without iPXE get no boot file: add {loaders} to loaders in the spec")
}

/// Says of each firmware what it loads, by what the format makes of it, or why it loads nothing.
fn each_firmware(
    inventory: &Inventory,
    out: &mut dyn Write,
    mark: &str,
    write_one: &mut dyn FnMut(&mut dyn Write, &str, &str) -> io::Result<()>,
) -> io::Result<()> {
    let (bios, uefi) = boot_files(inventory.loaders);
    let rows =
        [("bios", "BIOS", "\"ipxe\" or \"pxelinux\"", bios), ("uefi", "UEFI", "\"ipxe\", \"grub\" or \"uki\"", uefi)];
    for (tag, firmware, loaders, file) in rows {
        match file {
            Some(file) => write_one(out, tag, file)?,
            None => writeln!(out, "{mark} {}", unserved(firmware, loaders))?,
        }
    }
    Ok(())
}

/// Settings of dnsmasq, dnsmasq(8).
pub fn dnsmasq(inventory: &Inventory, out: &mut dyn Write) -> io::Result<()> {
    let network = inventory.plan.host_network;
    writeln!(out, "# hosts of the cluster {}", inventory.plan.name)?;
    ABOUT.iter().try_for_each(|line| writeln!(out, "# {line}"))?;
    let first = network.nth(0).map_or_else(String::new, |address| address.to_string());
    writeln!(out, "dhcp-range={first},static,{}", network.netmask())?;
    writeln!(out, "dhcp-userclass=set:ipxe,iPXE\ndhcp-boot=tag:ipxe,{SCRIPT}")?;
    each_firmware(inventory, out, "#", &mut |out, tag, file| {
        let architectures: &[u8] = if tag == "bios" { &[0] } else { &[7, 9] };
        for architecture in architectures {
            writeln!(out, "dhcp-match=set:{tag},option:client-arch,{architecture}")?;
        }
        writeln!(out, "dhcp-boot=tag:!ipxe,tag:{tag},{file}")
    })?;
    writeln!(out, "# dnsmasq serves files, too:\n#enable-tftp\n#tftp-root=/srv/tftp")?;
    inventory.each(|Record { mac, ipv4, name, .. }| writeln!(out, "dhcp-host={mac},{ipv4},{name}"))
}

/// Settings of ISC dhcpd, dhcpd.conf(5).
pub fn dhcpd(inventory: &Inventory, out: &mut dyn Write) -> io::Result<()> {
    let network = inventory.plan.host_network;
    writeln!(out, "# hosts of the cluster {}", inventory.plan.name)?;
    ABOUT.iter().try_for_each(|line| writeln!(out, "# {line}"))?;
    let first = network.nth(0).map_or_else(String::new, |address| address.to_string());
    writeln!(out, "option architecture code 93 = unsigned integer 16;")?;
    writeln!(out, "subnet {first} netmask {} {{", network.netmask())?;
    writeln!(out, "  # the TFTP server, if it is another machine:\n  #next-server ADDRESS;")?;
    writeln!(out, "  if exists user-class and option user-class = \"iPXE\" {{\n    filename \"{SCRIPT}\";")?;
    each_firmware(inventory, out, "  #", &mut |out, tag, file| {
        let wanted = if tag == "bios" {
            "option architecture = 0"
        } else {
            "option architecture = 7 or option architecture = 9"
        };
        writeln!(out, "  }} elsif {wanted} {{\n    filename \"{file}\";")
    })?;
    writeln!(out, "  }}\n}}")?;
    inventory.each(|Record { mac, ipv4, name, .. }| {
        let identity = format!("hardware ethernet {mac}; fixed-address {ipv4}; option host-name \"{name}\";");
        writeln!(out, "host {name} {{ {identity} }}")
    })
}

/// Settings of Kea's DHCPv4 server: JSON, so that what the others say in comments stands in `comment`.
pub fn kea(inventory: &Inventory, out: &mut dyn Write) -> io::Result<()> {
    let (bios, uefi) = boot_files(inventory.loaders);
    let ipxe = "substring(option[77].hex,0,4) == 'iPXE' or substring(option[77].hex,1,4) == 'iPXE'";
    let class = |name: &str, test: &str, file: &str| json!({ "name": name, "test": test, "boot-file-name": file });
    let without_ipxe = |test: &str| format!("not member('vmatic-ipxe') and ({test})");
    let mut classes = vec![class("vmatic-ipxe", ipxe, SCRIPT)];
    classes.extend(bios.map(|file| class("vmatic-bios", &without_ipxe("option[93].hex == 0x0000"), file)));
    let uefi_test = without_ipxe("option[93].hex == 0x0007 or option[93].hex == 0x0009");
    classes.extend(uefi.map(|file| class("vmatic-uefi", &uefi_test, file)));
    let mut comment = vec![format!("hosts of the cluster {}.", inventory.plan.name)];
    comment.extend(ABOUT.map(str::to_owned));
    comment.push("Set next-server if that is another machine, and the interfaces to listen on.".to_owned());
    let (pairs, loaders) =
        ([("BIOS", bios), ("UEFI", uefi)], ["\"ipxe\" or \"pxelinux\"", "\"ipxe\", \"grub\" or \"uki\""]);
    let lacking = pairs.iter().zip(loaders).filter(|((_, file), _)| file.is_none());
    comment.extend(lacking.map(|((firmware, _), loaders)| format!("{}.", unserved(firmware, loaders))));
    let head = json!({
        "comment": comment.join(" "),
        "interfaces-config": { "interfaces": [] },
        "client-classes": classes,
    });
    let subnet = json!({ "id": 1, "subnet": inventory.plan.host_network.to_string() });
    // Both go on with the hosts, which are too many for one value.
    let (head, subnet) = (json!({ "Dhcp4": head }).to_string(), subnet.to_string());
    let (head, subnet) = (head.strip_suffix("}}").unwrap_or(&head), subnet.strip_suffix('}').unwrap_or(&subnet));
    write!(out, "{head},\n\"subnet4\":[{subnet},\"reservations\":[")?;
    let mut before = "\n";
    inventory.each(|Record { mac, ipv4, name, .. }| {
        let record = json!({ "hw-address": mac.to_string(), "ip-address": ipv4, "hostname": name });
        write!(out, "{before}{record}")?;
        before = ",\n";
        Ok(())
    })?;
    writeln!(out, "\n]}}]}}}}")
}
