//! What a boot loader reads: scripts for iPXE, PXELINUX and GRUB. Pure text.
//!
//! Each hands the agent what the loader learned: the address (`ip=`) and the card (`BOOTIF=`). GRUB
//! does not know the netmask and router, so there the agent asks DHCP again.

/// The product by which boot.ipxe knows a machine that `vmatic boot` starts under emulation.
pub const TCG_PRODUCT: &str = "vmatic-tcg";
/// Words of every host's kernel command line. Without a speed the serial line runs at 9600 baud, on which a host says
/// little; what an operator wants instead goes into the spec's own words, of which the last counts.
const WORDS: &str = "console=ttyS0,115200 quiet loglevel=4 panic=10";

/// The words that a spec's hosts boot with, whatever loads them.
pub fn words(cmdline: &str) -> String {
    format!("{WORDS} {}", cmdline.trim()).trim_end().to_owned()
}

/// The boot files of a spec, by their path in the output folder.
pub fn boot_files(name: &str, cmdline: &str) -> Vec<(&'static str, String)> {
    let words = words(cmdline);
    vec![("boot.ipxe", ipxe(&words)), ("pxelinux.cfg/default", pxelinux(&words)), ("grub/grub.cfg", grub(name, &words))]
}

fn ipxe(words: &str) -> String {
    format!(
        "#!ipxe
# vmatic boot names the machines that it starts under emulation {TCG_PRODUCT}: their own guests get
# stuck unless the host never sleeps, and a timer that comes late is no reason to panic.
set vmatic_tcg:string
iseq ${{product}} {TCG_PRODUCT} && set vmatic_tcg:string idle=poll no_timer_check ||
kernel vmlinuz initrd=initramfs {words} \
ip=${{netX/ip}}::${{netX/gateway}}:${{netX/netmask}}:${{netX/hostname:uristring}} \
BOOTIF=01-${{netX/mac:hexhyp}} ${{vmatic_tcg}} || goto failed
initrd initramfs || goto failed
boot || goto failed
:failed
echo VMatic: this machine could not load its image. It tries again in 10 seconds.
sleep 10
reboot
"
    )
}

fn pxelinux(words: &str) -> String {
    format!(
        "DEFAULT vmatic
PROMPT 0
LABEL vmatic
  KERNEL vmlinuz
  INITRD initramfs
  APPEND {words}
  IPAPPEND 3
"
    )
}

/// Debian's signed GRUB has `/grub` built in as the folder of its config, and cannot see whether a file is there.
fn grub(name: &str, words: &str) -> String {
    format!(
        "set default=0
set timeout=0
# GRUB reads grub/grub.cfg at the TFTP root, wherever it came from itself. A copy of this file there leads machines to
# the cluster whose folder their GRUB came from.
if [ \"$config_directory\" = \"$prefix\" -a \"$vmatic_from\" != \"$cmdpath\" ]; then
  set vmatic_from=\"$cmdpath\"
  export vmatic_from
  configfile \"$cmdpath/grub/grub.cfg\"
fi
# Kernel and image lie beside this file's folder.
regexp --set=1:vmatic '^(.*)/grub$' \"$config_directory\"
export vmatic
menuentry \"VMatic {name}\" {{
  linux $vmatic/vmlinuz {words} BOOTIF=01-${{net_default_mac}}
  initrd $vmatic/initramfs
}}
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_loader_gets_the_words_of_the_spec() {
        for (path, text) in boot_files("laptop", " mitigations=off ") {
            let line = text.lines().find(|line| line.contains("panic=10")).unwrap();
            assert!(line.contains("quiet loglevel=4 panic=10 mitigations=off"), "{path}: {line}");
        }
    }

    #[test]
    fn no_loader_looks_at_the_tftp_root_for_kernel_and_image() {
        for (path, text) in boot_files("laptop", "") {
            let absolute = text.split_whitespace().any(|word| ["/vmlinuz", "/initramfs"].contains(&word));
            assert!(!absolute, "{path}: {text}");
        }
    }

    #[test]
    fn the_ipxe_script_is_one() {
        let files = boot_files("laptop", "");
        let ipxe = &files[0].1;
        assert!(ipxe.starts_with("#!ipxe\n"));
        assert!(ipxe.contains(
            "panic=10 ip=${netX/ip}::${netX/gateway}:${netX/netmask}:${netX/hostname:uristring} BOOTIF=01-${netX/mac:hexhyp} ${vmatic_tcg}"
        ));
    }
}
