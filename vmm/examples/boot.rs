//! Boots one guest: serial port to stdout, control stream to stdin and stdout, or
//! echoed back with `--echo`.
//!
//!     boot --kernel F --initramfs F --memory-mib N [--cmdline S] [--tap NAME] [--echo]
//!          [--cid N] [--command-line-devices] [--disk F | --pmem F]

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use vmatic_vmm::{
    Card, Discovery, Exit, GUEST_CMDLINE, GuestChannels, GuestConfig, Share, Software, TERMINATED_STATUS, open_tap, run,
};

type AnyError = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    match boot(std::env::args().skip(1)) {
        Ok(Exit::Shutdown) => ExitCode::SUCCESS,
        Ok(Exit::Killed) => ExitCode::from(TERMINATED_STATUS as u8),
        Err(error) => {
            eprintln!("boot: {error}");
            ExitCode::FAILURE
        }
    }
}

fn boot(mut args: impl Iterator<Item = String>) -> Result<Exit, AnyError> {
    let (near, far) = UnixStream::pair()?;
    let mut echo = false;
    let mut config = GuestConfig {
        software: Software {
            kernel: "vmlinux".into(),
            initramfs: "initramfs".into(),
            cmdline: GUEST_CMDLINE.into(),
            discovery: Discovery::Acpi,
            share: None,
        },
        memory_mib: 128,
        cid: 3,
        mac: vmatic_plan::Mac([2, 0, 0, 0, 0, 3]),
        ports: Default::default(),
        channels: GuestChannels {
            control: Some(near.into()),
            serial: std::os::fd::AsFd::as_fd(&std::io::stdout()).try_clone_to_owned()?,
            card: Card::Absent,
            ports: 0,
        },
    };
    while let Some(flag) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{flag} wants a value"));
        match flag.as_str() {
            "--kernel" => config.software.kernel = value()?.into(),
            "--initramfs" => config.software.initramfs = value()?.into(),
            "--memory-mib" => config.memory_mib = value()?.parse()?,
            "--cmdline" => config.software.cmdline = format!("{GUEST_CMDLINE} {}", value()?),
            "--bare-cmdline" => config.software.cmdline = value()?,
            "--cid" => config.cid = value()?.parse()?,
            "--tap" => config.channels.card = Card::Plugged(open_tap(&value()?)?),
            "--disk" => config.software.share = Some(Share::Disk(value()?.into())),
            "--pmem" => config.software.share = Some(Share::Memory(value()?.into())),
            "--echo" => echo = true,
            "--command-line-devices" => config.software.discovery = Discovery::CommandLine,
            _ => return Err(format!("unknown flag {flag}").into()),
        }
    }
    serve(far, echo)?;
    Ok(run(config, 0, false)?)
}

/// The host's end of the control stream, on threads that end with the process.
fn serve(far: UnixStream, echo: bool) -> Result<(), AnyError> {
    let (mut from, mut to) = (far.try_clone()?, far);
    if echo {
        std::thread::spawn(move || relay(&mut from, &mut to));
        return Ok(());
    }
    std::thread::spawn(move || relay(&mut from, &mut std::io::stdout()));
    std::thread::spawn(move || relay(&mut std::io::stdin(), &mut to));
    Ok(())
}

fn relay(from: &mut dyn Read, to: &mut dyn Write) {
    let mut part = [0; 4096];
    while let Ok(count @ 1..) = from.read(&mut part) {
        if to.write_all(&part[..count]).and_then(|()| to.flush()).is_err() {
            return;
        }
    }
}
