//! The few calls of bpf(2) that aya does not offer: links of any kind by path, batches, and runs of a program.

use std::{
    ffi::CString,
    io,
    mem::size_of,
    os::{
        fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
};

const OBJ_PIN: libc::c_int = 6;
const OBJ_GET: libc::c_int = 7;
const PROG_ATTACH: libc::c_int = 8;
const PROG_TEST_RUN: libc::c_int = 10;
const MAP_TAKE: libc::c_int = 21;
const MAP_LOOKUP_BATCH: libc::c_int = 24;
const LINK_CREATE: libc::c_int = 28;
const LINK_UPDATE: libc::c_int = 29;
const LINK_DETACH: libc::c_int = 34;

/// Where a link attaches.
#[derive(Clone, Copy, Debug)]
pub(super) enum Target<'a> {
    /// A network device.
    Device(u32),
    /// A cgroup's folder.
    Cgroup(BorrowedFd<'a>),
    /// A network device, for an XDP program, with the flag of the mode.
    Guard {
        /// The device.
        ifindex: u32,
        /// `XDP_FLAGS_…`.
        flags: u32,
    },
    /// The tracepoint or function of the kernel that the program was loaded for.
    Kernel,
}

#[repr(C)]
#[derive(Default)]
struct Object {
    path: u64,
    fd: u32,
    flags: u32,
}

#[repr(C)]
#[derive(Default)]
struct Attach {
    target: u32,
    program: u32,
    attach_type: u32,
    flags: u32,
    replaced: u32,
}

#[repr(C)]
#[derive(Default)]
struct LinkCreate {
    program: u32,
    target: u32,
    attach_type: u32,
    flags: u32,
    relative: u32,
    pad: u32,
    revision: u64,
}

#[repr(C)]
#[derive(Default)]
struct LinkUpdate {
    link: u32,
    program: u32,
    flags: u32,
    old_program: u32,
}

#[repr(C)]
#[derive(Default)]
struct Batch {
    from: u64,
    to: u64,
    keys: u64,
    values: u64,
    count: u32,
    map: u32,
    elem_flags: u64,
    flags: u64,
}

#[repr(C)]
#[derive(Default)]
struct Element {
    map: u32,
    pad: u32,
    key: u64,
    value: u64,
    flags: u64,
}

#[repr(C)]
#[derive(Default)]
struct TestRun {
    program: u32,
    result: u32,
    size_in: u32,
    size_out: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
    context_size_in: u32,
    context_size_out: u32,
    context_in: u64,
    context_out: u64,
}

/// Issues the call; `attr` must be the part of the kernel's union that the command reads.
fn bpf<T>(command: libc::c_int, attr: &mut T) -> io::Result<i32> {
    // SAFETY: the attribute outlives the call and its size is its own; every pointer in it is to memory that the
    // callers below keep alive and of the size that they state.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attr), size_of::<T>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as i32) }
}

fn owned(fd: i32) -> OwnedFd {
    // SAFETY: the kernel just made this descriptor for us.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

fn c_path(path: &Path) -> io::Result<CString> {
    Ok(CString::new(path.as_os_str().as_bytes())?)
}

fn number(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd().unsigned_abs()
}

/// Pins an object at a path of a BPF file system.
pub(super) fn pin(object: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let path = c_path(path)?;
    let mut attr = Object { path: path.as_ptr() as u64, fd: number(object), flags: 0 };
    bpf(OBJ_PIN, &mut attr).map(drop)
}

/// Opens a pinned object.
pub(super) fn open_pinned(path: &Path) -> io::Result<OwnedFd> {
    let path = c_path(path)?;
    let mut attr = Object { path: path.as_ptr() as u64, ..Object::default() };
    bpf(OBJ_GET, &mut attr).map(owned)
}

/// Attaches a program by a link.
pub(super) fn create_link(
    program: BorrowedFd<'_>,
    target: Target<'_>,
    attach_type: u32,
) -> io::Result<OwnedFd> {
    let (target, flags) = match target {
        Target::Device(ifindex) => (ifindex, 0),
        Target::Cgroup(fd) => (number(fd), 0),
        Target::Guard { ifindex, flags } => (ifindex, flags),
        Target::Kernel => (0, 0),
    };
    let mut attr =
        LinkCreate { program: number(program), target, attach_type, flags, ..LinkCreate::default() };
    bpf(LINK_CREATE, &mut attr).map(owned)
}

/// Attaches a program to a map of sockets, in place of another of its kind: sockets that come later have it.
pub(super) fn attach(program: BorrowedFd<'_>, map: BorrowedFd<'_>, attach_type: u32) -> io::Result<()> {
    let mut attr = Attach { target: number(map), program: number(program), attach_type, ..Attach::default() };
    bpf(PROG_ATTACH, &mut attr).map(drop)
}

/// Puts another program behind a link: no packet sees neither.
pub(super) fn update_link(link: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    let mut attr = LinkUpdate { link: number(link), program: number(program), ..LinkUpdate::default() };
    bpf(LINK_UPDATE, &mut attr).map(drop)
}

/// Detaches a link from its device, which it leaves without a function.
pub(super) fn detach_link(link: BorrowedFd<'_>) -> io::Result<()> {
    let mut link = number(link);
    bpf(LINK_DETACH, &mut link).map(drop)
}

/// Runs a packet program once over `packet` and returns its verdict; what it makes of the packet lands in `out`,
/// shortened to the bytes written.
pub(super) fn run_program(program: BorrowedFd<'_>, packet: &[u8], out: &mut Vec<u8>) -> io::Result<i32> {
    let capacity = |bytes: usize| u32::try_from(bytes).map_err(io::Error::other);
    let mut attr = TestRun {
        program: number(program),
        size_in: capacity(packet.len())?,
        size_out: capacity(out.len())?,
        data_in: packet.as_ptr() as u64,
        data_out: if out.is_empty() { 0 } else { out.as_mut_ptr() as u64 },
        repeat: 1,
        ..TestRun::default()
    };
    bpf(PROG_TEST_RUN, &mut attr)?;
    out.truncate(attr.size_out as usize);
    Ok(attr.result as i32)
}

/// Reads a hash map or an array in batches and hands each pair to `each`.
///
/// Of a hash map the kernel gives whole buckets, so an entry is seen at most once even if the map changes meanwhile.
pub(super) fn for_each_in_batches<K: aya::Pod, V: aya::Pod>(
    map: impl AsFd,
    mut each: impl FnMut(&K, &V),
) -> io::Result<()> {
    // More than any bucket holds; grown when the kernel says it does not.
    let mut capacity = 1024;
    let mut position = [0u8; 64];
    let mut first = true;
    loop {
        // SAFETY: K and V are plain data: all bit patterns, zero too, are values.
        let mut keys: Vec<K> = vec![unsafe { std::mem::zeroed() }; capacity];
        // SAFETY: as above.
        let mut values: Vec<V> = vec![unsafe { std::mem::zeroed() }; capacity];
        let mut attr = Batch {
            from: if first { 0 } else { position.as_ptr() as u64 },
            to: position.as_mut_ptr() as u64,
            keys: keys.as_mut_ptr() as u64,
            values: values.as_mut_ptr() as u64,
            count: capacity as u32,
            map: number(map.as_fd()),
            ..Batch::default()
        };
        let outcome = bpf(MAP_LOOKUP_BATCH, &mut attr);
        let end = match outcome {
            Ok(_) => false,
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => true,
            Err(error) if error.raw_os_error() == Some(libc::ENOSPC) && capacity < 1 << 20 => {
                capacity *= 2;
                continue;
            }
            Err(error) => return Err(error),
        };
        for (key, value) in keys.iter().zip(&values).take(attr.count as usize) {
            each(key, value);
        }
        if end {
            return Ok(());
        }
        first = false;
    }
}

/// Takes an entry out of a hash map; none if it is not there.
pub(super) fn take<K: aya::Pod, V: aya::Pod>(map: BorrowedFd<'_>, key: &K) -> io::Result<Option<V>> {
    // SAFETY: V is plain data: all bit patterns, zero too, are values.
    let mut value: V = unsafe { std::mem::zeroed() };
    let mut attr = Element {
        map: number(map),
        key: std::ptr::from_ref(key) as u64,
        value: std::ptr::from_mut(&mut value) as u64,
        ..Element::default()
    };
    match bpf(MAP_TAKE, &mut attr) {
        Ok(_) => Ok(Some(value)),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The cookie of the calling thread's network namespace.
///
/// # Errors
/// The kernel does not tell it.
pub fn netns_cookie() -> io::Result<u64> {
    const SO_NETNS_COOKIE: libc::c_int = 71;
    let socket = std::net::UdpSocket::bind((std::net::Ipv4Addr::UNSPECIFIED, 0))?;
    let mut cookie = 0u64;
    let mut length = size_of::<u64>() as libc::socklen_t;
    // SAFETY: both pointers are to live locals of the sizes stated.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_NETNS_COOKIE,
            std::ptr::from_mut(&mut cookie).cast(),
            &mut length,
        )
    };
    if result == 0 { Ok(cookie) } else { Err(io::Error::last_os_error()) }
}
