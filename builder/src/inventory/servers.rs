//! Settings for the servers that hand addresses out: dnsmasq, ISC dhcpd, Kea. Each host gets its address by its MAC,
//! and a boot file that its firmware can run.
//!
//! What firmware asks for is told by its architecture (RFC 4578, section 2.1): 0 is BIOS, 7 and 9 are UEFI on x86-64. A
//! card that runs iPXE says so as its user class, and gets the script.

use std::io::{self, Write};
use std::net::Ipv4Addr;

use serde_json::json;
use vmatic_plan::Ipv4Net;

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

/// The same of a site whose table has the machines.
fn about(inventory: &Inventory) -> Vec<String> {
    let Some(site) = inventory.site else { return ABOUT.map(str::to_owned).to_vec() };
    let mut lines = vec![
        format!("Names, MACs and addresses are those of the site's table ({} bytes in the image).", site.bytes()),
        ABOUT[2].to_owned(),
    ];
    match inventory.without_mac() {
        0 => {}
        count => lines.push(format!("{} without a known MAC left out: add them to the table.", hosts(count))),
    }
    lines
}

fn hosts(count: u64) -> String {
    crate::ui::size::count(count, "host")
}

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
    writeln!(out, "# hosts of the cluster {}", inventory.plan.name)?;
    about(inventory).iter().try_for_each(|line| writeln!(out, "# {line}"))?;
    for network in inventory.plan.host_networks() {
        writeln!(out, "dhcp-range={},static,{}", Ipv4Addr::from(network.base()), network.netmask())?;
    }
    writeln!(out, "dhcp-userclass=set:ipxe,iPXE\ndhcp-boot=tag:ipxe,{SCRIPT}")?;
    each_firmware(inventory, out, "#", &mut |out, tag, file| {
        let architectures: &[u8] = if tag == "bios" { &[0] } else { &[7, 9] };
        for architecture in architectures {
            writeln!(out, "dhcp-match=set:{tag},option:client-arch,{architecture}")?;
        }
        writeln!(out, "dhcp-boot=tag:!ipxe,tag:{tag},{file}")
    })?;
    writeln!(out, "# dnsmasq serves files, too:\n#enable-tftp\n#tftp-root=/srv/tftp")?;
    inventory
        .each(|Record { mac, ipv4, name, .. }| mac.map_or(Ok(()), |mac| writeln!(out, "dhcp-host={mac},{ipv4},{name}")))
}

/// Settings of ISC dhcpd, dhcpd.conf(5).
pub fn dhcpd(inventory: &Inventory, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "# hosts of the cluster {}", inventory.plan.name)?;
    about(inventory).iter().try_for_each(|line| writeln!(out, "# {line}"))?;
    writeln!(out, "option architecture code 93 = unsigned integer 16;")?;
    for network in inventory.plan.host_networks() {
        dhcpd_subnet(inventory, out, network)?;
    }
    inventory.each(|Record { mac, ipv4, name, .. }| {
        let Some(mac) = mac else { return Ok(()) };
        let identity = format!("hardware ethernet {mac}; fixed-address {ipv4}; option host-name \"{name}\";");
        writeln!(out, "host {name} {{ {identity} }}")
    })
}

fn dhcpd_subnet(inventory: &Inventory, out: &mut dyn Write, network: Ipv4Net) -> io::Result<()> {
    writeln!(out, "subnet {} netmask {} {{", Ipv4Addr::from(network.base()), network.netmask())?;
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
    writeln!(out, "  }}\n}}")
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
    comment.extend(about(inventory));
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
    let head = json!({ "Dhcp4": head }).to_string();
    // It goes on with the networks, and each with its hosts, which are too many for one value.
    write!(out, "{},\n\"subnet4\":[", head.strip_suffix("}}").unwrap_or(&head))?;
    let mut end = "";
    for (id, network) in (1..).zip(inventory.plan.host_networks()) {
        let subnet = json!({ "id": id, "subnet": network.to_string() }).to_string();
        write!(out, "{end}{},\"reservations\":[", subnet.strip_suffix('}').unwrap_or(&subnet))?;
        let mut before = "\n";
        inventory.each(|Record { mac, ipv4, name, .. }| {
            let Some(mac) = mac.filter(|_| network.contains(ipv4)) else { return Ok(()) };
            let record = json!({ "hw-address": mac.to_string(), "ip-address": ipv4, "hostname": name });
            write!(out, "{before}{record}")?;
            before = ",\n";
            Ok(())
        })?;
        end = "\n]},\n";
    }
    writeln!(out, "\n]}}]}}}}")
}
