//! Boot loaders that a spec asks for besides the scripts: each with the Debian packages that it comes from and
//! the files that machines load by TFTP or HTTP.
//!
//! | loader | for | DHCP's boot file |
//! |---|---|---|
//! | `ipxe` | cards whose ROM is not iPXE | `undionly.kpxe` (BIOS), `snponly.efi` (UEFI), then `boot.ipxe` |
//! | `pxelinux` | BIOS | `pxelinux.0` |
//! | `grub` | UEFI, Secure Boot with Debian's signature | `grubnetx64.efi` |
//! | `uki` | UEFI, one file | `vmatic.efi` |

use std::path::Path;

use crate::bootloader::uki;
use crate::error::{Error, PathContext, Result};
use crate::spec::values::{LoaderName, PackageName};

/// A boot loader's files.
pub struct LoaderFiles {
    /// The loader whose files these are.
    pub loader: LoaderName,
    /// The packages, each with its files: in the package, in the output folder.
    packages: &'static [(PackageName, &'static [(&'static str, &'static str)])],
}

const STUB: &str = "usr/lib/systemd/boot/efi/linuxx64.efi.stub";

/// Every loader, with the packages that have its files.
pub const TABLE: &[LoaderFiles] = &[
    LoaderFiles {
        loader: LoaderName::Ipxe,
        packages: &[(
            PackageName::known("ipxe"),
            &[("usr/lib/ipxe/undionly.kpxe", "undionly.kpxe"), ("usr/lib/ipxe/snponly.efi", "snponly.efi")],
        )],
    },
    LoaderFiles {
        loader: LoaderName::Pxelinux,
        packages: &[
            (PackageName::known("pxelinux"), &[("usr/lib/PXELINUX/pxelinux.0", "pxelinux.0")]),
            (PackageName::known("syslinux-common"), &[("usr/lib/syslinux/modules/bios/ldlinux.c32", "ldlinux.c32")]),
        ],
    },
    LoaderFiles {
        loader: LoaderName::Grub,
        packages: &[(
            PackageName::known("grub-efi-amd64-signed"),
            &[("usr/lib/grub/x86_64-efi-signed/grubnetx64.efi.signed", "grubnetx64.efi")],
        )],
    },
    LoaderFiles {
        loader: LoaderName::Uki,
        packages: &[(PackageName::known("systemd-boot-efi"), &[(STUB, "vmatic.efi")])],
    },
];

/// What a unified kernel image holds.
pub struct UkiParts<'a> {
    /// The cluster's name.
    pub name: &'a str,
    /// The kernel's command line.
    pub cmdline: &'a str,
    /// The kernel's release.
    pub release: &'a str,
    /// The kernel: the bytes of a bzImage.
    pub kernel: &'a [u8],
    /// The packed host image.
    pub initramfs: &'a [u8],
}

impl LoaderName {
    /// The packages that it comes from.
    pub fn packages(self) -> impl Iterator<Item = &'static PackageName> {
        self.entry().packages.iter().map(|(package, _)| package)
    }

    /// What whoever serves its files has to know.
    pub fn note(self) -> Option<&'static str> {
        (self == LoaderName::Grub).then_some(
            "GRUB reads grub/grub.cfg at the TFTP root alone: if this folder will lie below it, copy the file there too",
        )
    }

    /// Its files of one package, unpacked in `folder`.
    pub fn files(self, package: &PackageName, folder: &Path, parts: &UkiParts) -> Result<Vec<(String, Vec<u8>)>> {
        let files = self.entry().packages.iter().filter(|(name, _)| name == package).flat_map(|(_, files)| *files);
        files.map(|(from, to)| Ok(((*to).to_owned(), self.file(&folder.join(from), parts)?))).collect()
    }

    fn file(self, path: &Path, parts: &UkiParts) -> Result<Vec<u8>> {
        let data = std::fs::read(path).at("read the boot loader", path)?;
        if self != LoaderName::Uki {
            return Ok(data);
        }
        let about = format!("ID=vmatic\nNAME=VMatic\nPRETTY_NAME=\"VMatic {}\"\n", parts.name);
        // The kernel comes last, as the tools of others have it: it may need room behind it.
        let sections = [
            (".osrel", about.as_bytes()),
            (".cmdline", parts.cmdline.as_bytes()),
            (".uname", parts.release.as_bytes()),
            (".initrd", parts.initramfs),
            (".linux", parts.kernel),
        ];
        uki::assemble(&data, &sections).map_err(|cause| {
            Error::new(format!("cannot make a unified kernel image from {}", path.display()))
                .because(cause)
                .help("fetch the package again with --refresh, or remove \"uki\" from loaders")
        })
    }

    fn entry(self) -> &'static LoaderFiles {
        TABLE.iter().find(|row| row.loader == self).unwrap_or(&TABLE[0])
    }
}
