//! The processes that hold guests: the monitor of one that boots cold, and the template
//! from which clones are forked.
//!
//! Takes open descriptors by number and the rest as arguments; gives a running
//! guest. Each ends with its guest or with the node.

use crate::cli::{self, GuestOptions};
use crate::error::{Context, Error};
use crate::guest::image;
use crate::process::{fd, spawn};
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use vmatic_plan::Plan;
use vmatic_tree::frame::FrameReader;
use vmatic_tree::message::{Message, VERSION};
use vmatic_vmm::stub::{self, StubFile};
use vmatic_vmm::zygote::ReexecCommand;
use vmatic_vmm::{Card, Exit, GuestConfig, Readiness, Software, Wires, zygote};

// The leaf calls the port that the monitor relays.
const _: () = assert!(vmatic_vmm::CONTROL_PORT == vmatic_tree::message::GUEST_PORT);

/// How a template's process starts itself anew; the number of a descriptor follows.
const ANEW: [&str; 3] = ["/proc/self/exe", "template", "--will-fd"];

/// Runs a guest that boots cold until it ends.
pub fn run(options: GuestOptions) -> Result<(), Error> {
    spawn::end_before_others();
    let wires = Wires {
        control: Some(fd::inherit(options.control_fd)?),
        serial: fd::inherit(options.serial_fd)?,
        card: options.tap_fd.map(fd::inherit).transpose()?.map_or(Card::Absent, Card::Plugged),
    };
    let user = options.user;
    let stub = stub(&options)?;
    match vmatic_vmm::run(config(options, wires, stub.as_ref()), user).context(|| "run the guest".into())? {
        Exit::Shutdown | Exit::Killed => Ok(()),
    }
}

/// Boots a template and forks its clones, until the node closes standard input's other end.
pub fn template(options: GuestOptions) -> Result<(), Error> {
    if let Some(will) = options.will_fd {
        // SAFETY: this role starts no thread, and its arguments are those of `ANEW`.
        return unsafe { zygote::resume_and_serve(fd::inherit(will)?) }.context(|| "hold a template".into());
    }
    spawn::end_before_others();
    let serial = match options.serial_fd {
        // Its last words on the console of whoever started it by hand.
        -1 => std::io::stderr().as_fd().try_clone_to_owned().context(|| "duplicate the console".into())?,
        fd => fd::inherit(fd)?,
    };
    let wires = Wires { control: None, serial, card: Card::Unplugged };
    // SAFETY: standard input is the node's socket; nothing in this process reads it, and
    // nothing opens files until it is closed, so its number stays its own.
    let socket = unsafe { OwnedFd::from_raw_fd(libc::STDIN_FILENO) };
    let (limit, files, stub) = (options.limit, options.files.clone(), stub(&options)?);
    let said = if stub.is_some() { stub_said } else { said };
    let config = config(options, wires, stub.as_ref());
    let anew = ReexecCommand::new(&ANEW).context(|| "open this program".into())?;
    // SAFETY: this role starts no thread.
    unsafe { zygote::boot_and_serve(socket, config, said, limit, &files, anew) }.context(|| "hold a template".into())
}

/// Whether a template's leaf has said, in whole, that it waits.
fn said(bytes: &[u8]) -> Readiness {
    let mut reader = FrameReader::new();
    reader.push(bytes);
    match reader.next_message() {
        Ok(Some(Message::Ready { version: VERSION })) => Readiness::Ready,
        Ok(None) => Readiness::Waiting,
        Ok(Some(_)) | Err(_) => Readiness::Wrong,
    }
}

fn stub_said(bytes: &[u8]) -> Readiness {
    if bytes == stub::READY { Readiness::Ready } else { Readiness::Waiting }
}

/// The stub that is to run instead of a kernel.
fn stub(options: &GuestOptions) -> Result<Option<StubFile>, Error> {
    options.stub_pages.map(StubFile::new).transpose().context(|| "make a stub".into())
}

fn config(options: GuestOptions, wires: Wires, stub: Option<&StubFile>) -> GuestConfig {
    GuestConfig {
        software: Software {
            kernel: stub.map_or(options.kernel, StubFile::path),
            initramfs: if stub.is_some() { "/dev/null".into() } else { options.initramfs },
            cmdline: options.cmdline,
            discovery: options.devices,
            share: options.share,
        },
        memory_mib: options.memory_mib,
        cid: options.cid,
        mac: options.mac,
        wires,
    }
}

/// What a monitor is to boot, as its arguments: the same for a template and a guest that boots cold but for the
/// command line.
pub fn words(plan: &Plan, cmdline: String) -> Vec<String> {
    let (memory, devices) = (plan.guest_memory_mib.to_string(), cli::devices_word(image::discovery()).into());
    let options = [
        ("--kernel", image::KERNEL.into()),
        ("--initramfs", image::INITRAMFS.into()),
        ("--cmdline", cmdline),
        ("--memory-mib", memory),
        ("--devices", devices),
    ];
    let words = options.into_iter().flat_map(|(option, value)| [option.into(), value]);
    words.chain(image::share_words(plan)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use vmatic_tree::frame;

    #[test]
    fn a_template_is_ready_when_it_has_said_so_in_whole() {
        let ready = frame::encode(&Message::Ready { version: VERSION }).unwrap();
        for cut in 0..ready.len() {
            assert_eq!(said(&ready[..cut]), Readiness::Waiting, "{cut} bytes");
        }
        assert_eq!(said(&ready), Readiness::Ready);
        assert_eq!(said(&frame::encode(&Message::Ready { version: VERSION + 1 }).unwrap()), Readiness::Wrong);
        assert_eq!(said(&frame::encode(&Message::Heartbeat).unwrap()), Readiness::Wrong);
        assert_eq!(said(&[0xff; 16]), Readiness::Wrong);
    }
}
