//! A container's file system from outside.
//!
//! What is mounted for a look is mounted for nobody else: it hangs on no path, and vanishes with its descriptor, however
//! the process that has it ends. Paths below such a descriptor are to be opened with `openat2` and `RESOLVE_IN_ROOT`.

mod mapped;

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use nix::sched::{CloneFlags, setns, unshare};
use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, mkdirat, mknodat, open, openat, openat2, statat,
};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags, MoveMountFlags,
    OpenTreeFlags, fsconfig_create, fsconfig_set_string, fsmount, fsopen, mount, mount_change, move_mount,
    open_tree,
};

use crate::container::{Identities, set_read_only};

pub use mapped::{acting_as, mapped};

const DIRECTORY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
/// A rename anywhere on the machine can make the kernel give up a lookup; it succeeds when repeated.
const LOOKUPS: usize = 128;

/// The directories of an overlay.
#[derive(Debug, Clone)]
pub struct Overlay {
    /// Read-only layers, the topmost first; at least one.
    pub lower: Vec<PathBuf>,
    /// Where changes go, and an empty directory beside it; without, only the layers are seen.
    pub upper: Option<(PathBuf, PathBuf)>,
    /// Nothing can be changed.
    pub read_only: bool,
}

/// What is mounted below an overlay.
#[derive(Debug, Clone)]
pub struct Below {
    /// The host's path.
    pub source: PathBuf,
    /// A path below the source that is mounted instead; empty for itself.
    pub subpath: PathBuf,
    /// The path in the overlay, made if it is missing.
    pub destination: PathBuf,
    /// Nothing can be changed.
    pub read_only: bool,
}

/// The file system of a container that does not run, with what is `below` it.
///
/// # Errors
/// Something cannot be mounted.
pub fn stopped(overlay: &Overlay, below: Vec<Below>) -> io::Result<OwnedFd> {
    if let ([only], None) = (overlay.lower.as_slice(), &overlay.upper) {
        // The kernel makes no overlay of one layer.
        return Ok(open(only, DIRECTORY, Mode::empty())?);
    }
    // What is mounted below may need a place to be made for it first.
    let read_only = overlay.read_only && below.is_empty();
    let detached = layered(overlay, read_only)?;
    if below.is_empty()
        && let Some(detached) = detached
    {
        return Ok(detached);
    }
    let overlay = overlay.clone();
    apart(move || {
        unshare(CloneFlags::CLONE_NEWNS)?;
        mount_change(c"/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
        let root = match detached {
            Some(detached) => {
                // Over the root, where only the descriptor reaches it.
                move_mount(&detached, c"", CWD, c"/", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
                detached
            }
            None => legacy(&overlay)?,
        };
        for mount in &below {
            attach(root.as_fd(), mount)?;
        }
        if overlay.read_only {
            set_read_only(root.as_fd(), false)?;
        }
        let flags = OpenTreeFlags::AT_EMPTY_PATH | OpenTreeFlags::AT_RECURSIVE;
        Ok(open_tree(&root, c"", flags | OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC)?)
    })
}

/// The file system of a running container as it sees it, all mounts included. `pid` is its init's, `group` what the
/// control groups of its processes have in their names.
///
/// # Errors
/// It has ended.
pub fn running(pid: u32, group: &str) -> io::Result<OwnedFd> {
    let process = process(pid, group)?;
    Ok(openat(&process, c"root", DIRECTORY, Mode::empty())?)
}

/// The same without what is mounted in it.
///
/// # Errors
/// It has ended.
pub fn running_alone(pid: u32, group: &str) -> io::Result<OwnedFd> {
    let process = process(pid, group)?;
    let namespace = openat(&process, c"ns/mnt", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    apart(move || {
        // A mount can be copied only in its own namespace, which a thread of its own enters for the one call.
        unshare(CloneFlags::CLONE_FS)?;
        setns(&namespace, CloneFlags::CLONE_NEWNS)?;
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        Ok(open_tree(CWD, c"/", flags)?)
    })
}

/// Which of the host's users and groups those of a running container are; none if its user namespace is this process'
/// own.
///
/// # Errors
/// It has ended.
pub fn identities(pid: u32, group: &str) -> io::Result<Option<Identities>> {
    let all = Identities::of_process(process(pid, group)?.as_fd())?;
    let own = Identities::of_process(open("/proc/self", DIRECTORY, Mode::empty())?.as_fd())?;
    Ok((all != own).then_some(all))
}

/// The directory in /proc of a container's init. The descriptor is of that process, not of a later one with its number.
fn process(pid: u32, group: &str) -> io::Result<OwnedFd> {
    let directory = open(format!("/proc/{pid}"), DIRECTORY, Mode::empty())?;
    let mut groups = String::new();
    let file = openat(&directory, c"cgroup", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    File::from(file).read_to_string(&mut groups)?;
    if groups.contains(group) {
        return Ok(directory);
    }
    Err(io::Error::new(io::ErrorKind::NotFound, "the container has ended"))
}

/// Does `work` in a thread whose namespaces end with it.
fn apart<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    let thread = std::thread::Builder::new().name("mounts".into()).spawn(work)?;
    thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread that mounts has panicked")))
}

/// The overlay as a detached mount; none if the kernel does not take layers one by one, or not so long paths.
fn layered(overlay: &Overlay, read_only: bool) -> io::Result<Option<OwnedFd>> {
    let fs = fsopen(c"overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    let configured = (|| {
        for layer in &overlay.lower {
            fsconfig_set_string(&fs, c"lowerdir+", layer)?;
        }
        if let Some((upper, work)) = &overlay.upper {
            fsconfig_set_string(&fs, c"upperdir", upper)?;
            fsconfig_set_string(&fs, c"workdir", work)?;
        }
        fsconfig_set_string(&fs, c"source", c"overlay")?;
        fsconfig_create(&fs)
    })();
    match configured {
        Err(Errno::INVAL) => return Ok(None),
        result => result?,
    }
    let mut attributes = MountAttrFlags::empty();
    attributes.set(MountAttrFlags::MOUNT_ATTR_RDONLY, read_only);
    Ok(Some(fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?))
}

/// Before Linux 6.8: all layers in one page of options, each named by a descriptor. For a mount namespace of its own.
fn legacy(overlay: &Overlay) -> io::Result<OwnedFd> {
    let mut opened = Vec::new();
    let mut name = |path: &Path| {
        let directory = open(path, DIRECTORY, Mode::empty())?;
        let name = format!("/proc/self/fd/{}", directory.as_raw_fd());
        opened.push(directory);
        io::Result::Ok(name)
    };
    let lower = overlay.lower.iter().map(|layer| name(layer)).collect::<io::Result<Vec<_>>>()?;
    let mut options = format!("lowerdir={}", lower.join(":"));
    if let Some((upper, work)) = &overlay.upper {
        options.push_str(&format!(",upperdir={},workdir={}", name(upper)?, name(work)?));
    }
    let place = overlay.upper.as_ref().map_or(&overlay.lower[0], |(upper, _)| upper);
    let options = std::ffi::CString::new(options)?;
    mount(c"overlay", place, c"overlay", MountFlags::empty(), Some(options.as_c_str()))?;
    Ok(open(place, DIRECTORY, Mode::empty())?)
}

fn attach(root: BorrowedFd<'_>, below: &Below) -> io::Result<()> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    flags |= OpenTreeFlags::AT_RECURSIVE;
    let mount = if below.subpath.as_os_str().is_empty() {
        open_tree(CWD, &below.source, flags)?
    } else {
        let whole = open(&below.source, DIRECTORY, Mode::empty())?;
        let part = open_in(whole.as_fd(), &below.subpath, OFlags::PATH)?;
        open_tree(&part, c"", flags | OpenTreeFlags::AT_EMPTY_PATH)?
    };
    if below.read_only {
        set_read_only(mount.as_fd(), true)?;
    }
    let stat = statat(&mount, c"", AtFlags::EMPTY_PATH)?;
    let file = FileType::from_raw_mode(stat.st_mode) != FileType::Directory;
    let target = make_in(root, &below.destination, file)?;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    Ok(move_mount(&mount, c"", &target, c"", flags)?)
}

/// Opens `path`, seen from inside of `root`.
fn open_in(root: BorrowedFd<'_>, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    for _ in 0..LOOKUPS {
        match openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            result => return Ok(result?),
        }
    }
    Err(Errno::AGAIN.into())
}

/// Opens `path` inside of `root`, and makes what is missing of it.
fn make_in(root: BorrowedFd<'_>, path: &Path, file: bool) -> io::Result<OwnedFd> {
    let names: Vec<_> = path.components().filter(|name| matches!(name, Component::Normal(_))).collect();
    let mut parent = open_in(root, Path::new("."), OFlags::PATH)?;
    let mut prefix = PathBuf::new();
    for (number, name) in names.iter().enumerate() {
        prefix.push(name);
        parent = match open_in(root, &prefix, OFlags::PATH) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let name = name.as_os_str().as_bytes();
                if file && number + 1 == names.len() {
                    mknodat(&parent, name, FileType::RegularFile, Mode::from_raw_mode(0o644), 0)?;
                } else {
                    mkdirat(&parent, name, Mode::from_raw_mode(0o755))?;
                }
                openat(&parent, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?
            }
            result => result?,
        };
    }
    Ok(parent)
}
