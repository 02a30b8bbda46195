//! System calls, each behind a safe function.
//!
//! Takes Rust values; gives `Result` with the errno. No std: the guest's agent, which is freestanding, has no other.

use alloc::ffi::CString;
use alloc::vec::Vec;
use core::ffi::{CStr, c_int};

/// An errno value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(pub c_int);

/// What a system call gives, or its errno.
pub type Result<T> = core::result::Result<T, Errno>;

/// The errno of the last call.
pub fn errno() -> Errno {
    // SAFETY: the C library keeps errno for the calling thread.
    Errno(unsafe { *libc::__errno_location() })
}

/// Makes -1 an error.
pub fn check(value: c_int) -> Result<c_int> {
    if value < 0 { Err(errno()) } else { Ok(value) }
}

/// A file descriptor that closes itself.
#[derive(Debug)]
pub struct Fd(c_int);

impl Fd {
    /// Takes over a descriptor that a system call has just given.
    pub fn new(raw: c_int) -> Result<Fd> {
        check(raw).map(Fd)
    }

    /// Its number, which is valid as long as this value lives.
    pub fn raw(&self) -> c_int {
        self.0
    }

    /// Reads what is there, at most a buffer full; 0 at the end.
    pub fn read(&self, buffer: &mut [u8]) -> Result<usize> {
        // SAFETY: the pointer and the length are those of a live, writable slice.
        let n = unsafe { libc::read(self.0, buffer.as_mut_ptr().cast(), buffer.len()) };
        if n < 0 { Err(errno()) } else { Ok(n as usize) }
    }

    /// Writes some of the bytes.
    pub fn write(&self, bytes: &[u8]) -> Result<usize> {
        // SAFETY: the pointer and the length are those of a live slice.
        let n = unsafe { libc::write(self.0, bytes.as_ptr().cast(), bytes.len()) };
        if n < 0 { Err(errno()) } else { Ok(n as usize) }
    }

    /// Makes reads and writes return at once.
    pub fn set_nonblocking(&self) -> Result<()> {
        // SAFETY: fcntl with an integer argument touches no memory.
        check(unsafe { libc::fcntl(self.0, libc::F_SETFL, libc::O_NONBLOCK) }).map(drop)
    }

    /// Makes reads and writes wait.
    pub fn set_blocking(&self) -> Result<()> {
        // SAFETY: fcntl with an integer argument touches no memory.
        check(unsafe { libc::fcntl(self.0, libc::F_SETFL, 0) }).map(drop)
    }

    /// Another descriptor of the same file.
    pub fn duplicate(&self) -> Result<Fd> {
        // SAFETY: fcntl with an integer argument touches no memory.
        Fd::new(unsafe { libc::fcntl(self.0, libc::F_DUPFD_CLOEXEC, 3) })
    }
}

#[cfg(any(test, feature = "std"))]
impl std::os::fd::AsFd for Fd {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        // SAFETY: the descriptor is open as long as this value lives, which the result borrows.
        unsafe { std::os::fd::BorrowedFd::borrow_raw(self.0) }
    }
}

impl Drop for Fd {
    fn drop(&mut self) {
        // SAFETY: the descriptor is ours and is not used after this.
        unsafe { libc::close(self.0) };
    }
}

/// Opens a file.
pub fn open(path: &CStr, flags: c_int) -> Result<Fd> {
    // SAFETY: the path is NUL-terminated and outlives the call.
    Fd::new(unsafe { libc::open(path.as_ptr(), flags | libc::O_CLOEXEC) })
}

/// The whole of a small file (at most `max` bytes of it).
pub fn read_file(path: &CStr, max: usize) -> Result<Vec<u8>> {
    let file = open(path, libc::O_RDONLY)?;
    let mut bytes = Vec::new();
    let mut buffer = [0; 1024];
    while bytes.len() < max {
        match file.read(&mut buffer)? {
            0 => break,
            n => bytes.extend_from_slice(&buffer[..n]),
        }
    }
    bytes.truncate(max);
    Ok(bytes)
}

/// Writes a small file that is there already, in one piece.
pub fn write_file(path: &CStr, bytes: &[u8]) -> Result<()> {
    open(path, libc::O_WRONLY)?.write(bytes).map(drop)
}

/// Makes a small file that is not there yet, for everybody to read.
pub fn create_file(path: &CStr, bytes: &[u8]) -> Result<()> {
    let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL | libc::O_CLOEXEC;
    // SAFETY: the path is NUL-terminated and outlives the call.
    Fd::new(unsafe { libc::open(path.as_ptr(), flags, 0o644) })?.write(bytes).map(drop)
}

/// Calls `see` with the name of each entry of a folder; nothing if it cannot be read.
pub fn for_each_entry(path: &str, mut see: impl FnMut(&str)) {
    let Some(path) = c_string(path) else { return };
    // SAFETY: the stream is ours and closed once; an entry is read before the next one is asked for.
    unsafe {
        let folder = libc::opendir(path.as_ptr());
        if folder.is_null() {
            return;
        }
        loop {
            let entry = libc::readdir(folder);
            if entry.is_null() {
                break;
            }
            see(CStr::from_ptr((*entry).d_name.as_ptr()).to_str().unwrap_or_default());
        }
        libc::closedir(folder);
    }
}

/// Sets the time of day.
pub fn set_clock(unix_ns: u64) -> Result<()> {
    const NS: u64 = 1_000_000_000;
    let time = libc::timespec { tv_sec: (unix_ns / NS) as _, tv_nsec: (unix_ns % NS) as _ };
    // SAFETY: the pointer is to a live timespec.
    check(unsafe { libc::clock_settime(libc::CLOCK_REALTIME, &raw const time) }).map(drop)
}

/// Mixes random bytes into the kernel's generator, and has it draw again from what it holds.
pub fn add_entropy(bytes: &[u8; 32]) -> Result<()> {
    /// `struct rand_pool_info` of <linux/random.h>.
    #[repr(C)]
    struct Pool {
        entropy_bits: c_int,
        bytes: c_int,
        buffer: [u8; 32],
    }
    const RNDADDENTROPY: libc::c_ulong = 0x4008_5203;
    const RNDRESEEDCRNG: libc::c_ulong = 0x5207;
    let pool = Pool { entropy_bits: 256, bytes: 32, buffer: *bytes };
    let device = open(c"/dev/random", libc::O_WRONLY)?;
    // SAFETY: the first ioctl reads a live structure of the kernel's layout, the second takes nothing.
    unsafe {
        check(libc::ioctl(device.raw(), RNDADDENTROPY as _, &raw const pool))?;
        check(libc::ioctl(device.raw(), RNDRESEEDCRNG as _, 0)).map(drop)
    }
}

/// Writes a text on the console.
pub fn print(text: &str) {
    // SAFETY: the pointer and the length are those of a live slice; descriptor 2 may be closed, which is harmless.
    unsafe { libc::write(2, text.as_ptr().cast(), text.len()) };
}

/// Sets the host name.
pub fn set_hostname(name: &str) -> Result<()> {
    // SAFETY: the pointer and the length are those of a live slice.
    check(unsafe { libc::sethostname(name.as_ptr().cast(), name.len()) }).map(drop)
}

/// Restarts the machine, which ends the guest.
pub fn restart() -> ! {
    // SAFETY: no memory is involved.
    unsafe {
        libc::sync();
        libc::reboot(libc::RB_AUTOBOOT);
        libc::_exit(1)
    }
}

/// Milliseconds since boot.
pub fn now_ms() -> u64 {
    let t = clock(libc::CLOCK_MONOTONIC);
    t.tv_sec as u64 * 1000 + t.tv_nsec as u64 / 1_000_000
}

/// Nanoseconds since 1970, as the clock has them.
pub fn unix_ns() -> u64 {
    let t = clock(libc::CLOCK_REALTIME);
    t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
}

fn clock(which: libc::clockid_t) -> libc::timespec {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a live timespec.
    unsafe { libc::clock_gettime(which, &raw mut t) };
    t
}

/// Waits so many milliseconds, or until a signal comes.
pub fn sleep_ms(ms: u32) {
    // SAFETY: poll with no descriptors only waits.
    unsafe { libc::poll(core::ptr::null_mut(), 0, ms as c_int) };
}

/// 16 random bytes.
pub fn random16() -> [u8; 16] {
    let mut bytes = [0; 16];
    // By number: std names getrandom weakly, and with LTO that wins over this reference; a static
    // agent would then jump to address 0.
    // SAFETY: the pointer and the length are those of a live array.
    unsafe { libc::syscall(libc::SYS_getrandom, bytes.as_mut_ptr(), bytes.len(), 0) };
    bytes
}

/// The kernel's name and release: `Linux 6.1.0`.
pub fn kernel_release() -> alloc::string::String {
    // SAFETY: utsname is plain data, for which zeroes are valid; uname fills it with NUL-terminated strings.
    unsafe {
        let mut u: libc::utsname = core::mem::zeroed();
        libc::uname(&raw mut u);
        let text = |field: *const core::ffi::c_char| CStr::from_ptr(field).to_string_lossy().into_owned();
        alloc::format!("{} {}", text(u.sysname.as_ptr()), text(u.release.as_ptr()))
    }
}

/// A NUL-terminated copy; none if the text has a NUL inside.
pub fn c_string(text: &str) -> Option<CString> {
    CString::new(text).ok()
}

/// The port of a virtual console that leads to the host where there is no vsock: QEMU needs no right for it.
const HOST_PORT: &CStr = c"/dev/vport0p1";

/// A stream to the host's port: over vsock, else over a console's port.
pub fn connect_host(port: u32) -> Result<Fd> {
    connect_vsock(port).or_else(|error| open(HOST_PORT, libc::O_RDWR).map_err(|_| error))
}

fn connect_vsock(port: u32) -> Result<Fd> {
    // SAFETY: sockaddr_vm is plain data, for which zeroes are valid; pointer and length are those of a live value.
    unsafe {
        let fd = Fd::new(libc::socket(libc::AF_VSOCK, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0))?;
        let mut address: libc::sockaddr_vm = core::mem::zeroed();
        address.svm_family = libc::AF_VSOCK as libc::sa_family_t;
        address.svm_cid = libc::VMADDR_CID_HOST;
        address.svm_port = port;
        let size = core::mem::size_of_val(&address) as libc::socklen_t;
        check(libc::connect(fd.raw(), (&raw const address).cast(), size))?;
        Ok(fd)
    }
}

/// Waits for any of the descriptors, at most `timeout_ms` (-1: for ever).
pub fn poll(fds: &mut [libc::pollfd], timeout_ms: c_int) {
    // SAFETY: the pointer and the count are those of a live slice.
    unsafe { libc::poll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, timeout_ms) };
}

/// A file in memory with these bytes, to be read from its beginning.
pub fn memory_file(bytes: &[u8]) -> Result<Fd> {
    // SAFETY: the name is NUL-terminated; lseek touches no memory.
    unsafe {
        let file = Fd::new(libc::memfd_create(c"stdin".as_ptr(), libc::MFD_CLOEXEC))?;
        let mut rest = bytes;
        while !rest.is_empty() {
            rest = &rest[file.write(rest)?..];
        }
        libc::lseek(file.raw(), 0, libc::SEEK_SET);
        Ok(file)
    }
}

/// A pipe: the end to read, which does not block, and the end to write.
pub fn pipe() -> Result<(Fd, Fd)> {
    let mut ends = [0; 2];
    // SAFETY: the pointer is to two live integers.
    check(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) })?;
    let (read, write) = (Fd(ends[0]), Fd(ends[1]));
    read.set_nonblocking()?;
    Ok((read, write))
}

/// A pseudo-terminal: the end of whoever watches, and the program's.
pub fn pseudo_terminal() -> Result<(Fd, Fd)> {
    // Of <asm-generic/ioctls.h>: opens the other end without a path, whatever is mounted where.
    const TIOCGPTPEER: libc::c_ulong = 0x5441;
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    let ours = open(c"/dev/ptmx", flags)?;
    let unlocked: c_int = 0;
    // SAFETY: the first ioctl reads a live integer, the second takes flags and gives a new descriptor.
    unsafe {
        check(libc::ioctl(ours.raw(), libc::TIOCSPTLCK as _, &raw const unlocked))?;
        let its = Fd::new(libc::ioctl(ours.raw(), TIOCGPTPEER as _, flags))?;
        Ok((ours, its))
    }
}

/// Sets a terminal's size in characters; its programs hear of it (SIGWINCH).
pub fn set_size(terminal: &Fd, rows: u16, columns: u16) -> Result<()> {
    let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the ioctl reads a live structure.
    check(unsafe { libc::ioctl(terminal.raw(), libc::TIOCSWINSZ as _, &raw const size) }).map(drop)
}

/// The processor's time stamp counter (Intel SDM, RDTSC): cycles of a fixed rate since it was reset.
#[cfg(target_arch = "x86_64")]
pub fn time_stamp() -> u64 {
    // SAFETY: the instruction reads a counter, and is there on every processor of this kind.
    unsafe { core::arch::x86_64::_rdtsc() }
}
