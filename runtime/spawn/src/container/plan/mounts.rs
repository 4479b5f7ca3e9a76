//! The configuration's mounts, device nodes and links, as steps.

use std::ffi::CString;
use std::fs;
use std::path::{Path, PathBuf};

use oci_spec::runtime::{Linux, LinuxDevice, LinuxDeviceType, Mount, Spec};
use rustix::fs::{FileType, Mode as RawMode, OFlags, ResolveFlags, fstat, makedev, openat2, statfs};
use rustix::mount::{MountAttrFlags, MountPropagationFlags};
use rustix::termios::Winsize;

use super::options::Options;
use super::{c_path, c_string};
use crate::cgroup::{Cgroup, Mode};
use crate::container::Error;
use crate::container::step::{Bind, Device, Kernels, NewMount, Op, Step, Target};

/// The devices every container has, with their numbers; all are readable and writable by everyone.
const DEVICES: [(&str, u32, u32); 6] =
    [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];

/// Links every container has in /dev.
const LINKS: [(&str, &str); 5] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];

pub(super) fn steps(
    spec: &Spec,
    linux: &Linux,
    cgroup: &Cgroup,
    own_cgroup_namespace: bool,
    steps: &mut Vec<Step>,
) -> Result<(), Error> {
    let mut own_dev = true;
    for mount in spec.mounts().iter().flatten() {
        let destination = mount.destination();
        if !destination.is_absolute() {
            return Err(Error::config(format!(
                "mount destination {} is not absolute",
                destination.display()
            )));
        }
        let options = mount.options().as_deref().unwrap_or_default();
        let options = Options::parse(options, &destination.to_string_lossy())?;
        let bind = options.bind || mount.typ().as_deref() == Some("bind");
        if bind && destination == Path::new("/dev") {
            // Somebody else's /dev is left as it is.
            own_dev = false;
        }
        match mount.typ().as_deref() {
            _ if bind => steps.push(bind_step(mount, &options)?),
            Some("cgroup" | "cgroup2") => cgroup_steps(mount, &options, cgroup, own_cgroup_namespace, steps)?,
            Some(fstype) => steps.push(new_mount(mount, fstype, &options)?),
            None => return Err(Error::config(format!("mount {} has no type", destination.display()))),
        }
    }
    if own_dev {
        device_steps(linux, steps)?;
    }
    if let Some(process) = spec.process().as_ref().filter(|process| process.terminal().unwrap_or(false)) {
        let side = |length: u64| u16::try_from(length).unwrap_or(u16::MAX);
        let size = process.console_size().map(|size| Winsize {
            ws_row: side(size.height()),
            ws_col: side(size.width()),
            ws_xpixel: 0,
            ws_ypixel: 0,
        });
        let target = Target::below_root(Path::new("/dev/console"), true, "/dev/console")?;
        steps.push(Step::new("open the terminal", Op::Console { size, target }));
    }
    Ok(())
}

fn bind_step(mount: &Mount, options: &Options) -> Result<Step, Error> {
    let destination = mount.destination();
    let source = mount
        .source()
        .as_ref()
        .ok_or_else(|| Error::config(format!("mount {} has no source", destination.display())))?;
    let file = match is_file(source, options.subdir.as_deref()) {
        Ok(file) => file,
        Err(error) => {
            let path = options.subdir.as_ref().map_or_else(|| source.clone(), |subdir| source.join(subdir));
            return Err(Error::Host { operation: "bind", path, source: error });
        }
    };
    if destination == Path::new("/proc") && !is_proc(source) {
        return Err(Error::config("a bind mount on /proc has to be a proc file system"));
    }
    if let Some((key, _)) = options.data.first() {
        return Err(Error::config(format!("mount option {key:?} is not one of a bind mount")));
    }
    bind(source, destination, file, options)
}

/// Whether what is bound is something else than a directory.
fn is_file(source: &Path, subdir: Option<&str>) -> std::io::Result<bool> {
    let Some(subdir) = subdir else { return Ok(!fs::metadata(source)?.is_dir()) };
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let whole = rustix::fs::open(source, flags | OFlags::DIRECTORY, RawMode::empty())?;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let part = openat2(whole, subdir, flags, RawMode::empty(), resolve)?;
    Ok(FileType::from_raw_mode(fstat(&part)?.st_mode) != FileType::Directory)
}

fn is_proc(path: &Path) -> bool {
    statfs(path).is_ok_and(|found| found.f_type == libc::PROC_SUPER_MAGIC)
}

/// What may be mounted on in /proc, as runc has it: files that a container's own view replaces.
const IN_PROC: [&str; 11] = [
    "cpuinfo",
    "diskstats",
    "meminfo",
    "stat",
    "swaps",
    "uptime",
    "loadavg",
    "slabinfo",
    "net/dev",
    "sys/kernel/ns_last_pid",
    "sys/crypto/fips_enabled",
];

/// Where a mount may go, by its path.
fn kernels(destination: &Path, fstype: &str) -> Result<Kernels, Error> {
    let proc = match destination.strip_prefix("/proc") {
        Ok(inside) if IN_PROC.iter().any(|name| Path::new(name) == inside) => true,
        Ok(inside) if inside.as_os_str().is_empty() && matches!(fstype, "proc" | "bind") => false,
        Ok(_) => {
            return Err(Error::config(format!(
                "{} cannot be mounted on: it is inside /proc",
                destination.display()
            )));
        }
        Err(_) => false,
    };
    Ok(Kernels { proc, sys: destination.starts_with("/sys") })
}

fn bind(source: &Path, destination: &Path, file: bool, options: &Options) -> Result<Step, Error> {
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    let mut target = Target::below_root(destination, file, "a mount's destination")?;
    target.kernels = kernels(destination, "bind")?;
    let subdir = options.subdir.as_deref().map(|subdir| c_string(subdir, "a mount option"));
    let bind = Bind {
        source: c_path(source, "a mount's source")?,
        subdir: subdir.transpose()?,
        recursive: options.recursive,
        attributes: options.attributes,
        recursive_attributes: options.recursive_attributes,
        propagation: options.propagation.unwrap_or(private),
        target,
    };
    let what = format!("bind {} on {}", source.display(), destination.display());
    Ok(Step::new(what, Op::Bind(bind)))
}

fn new_mount(mount: &Mount, fstype: &str, options: &Options) -> Result<Step, Error> {
    let source = mount.source().as_deref().unwrap_or(Path::new(fstype));
    mount_of(fstype, source, mount.destination(), options)
}

fn mount_of(fstype: &str, source: &Path, destination: &Path, options: &Options) -> Result<Step, Error> {
    let pair = |(key, value): &(String, Option<String>)| {
        let value = value.as_deref().map(|value| c_string(value, "a mount option")).transpose()?;
        Ok::<_, Error>((c_string(key.as_str(), "a mount option")?, value))
    };
    let mut target = Target::below_root(destination, false, "a mount's destination")?;
    // A link in the image must not decide where these go: masked and read-only paths rely on them.
    target.plain = matches!(fstype, "proc" | "sysfs");
    target.kernels = kernels(destination, fstype)?;
    if options.subdir.is_some() {
        return Err(Error::config("mount option \"X-mount.subdir\" is one of bind mounts"));
    }
    let attributes = options.attributes.set | options.recursive_attributes.set;
    let new = NewMount {
        fstype: c_string(fstype, "a mount's type")?,
        source: c_path(source, "a mount's source")?,
        options: options.data.iter().map(pair).collect::<Result<_, _>>()?,
        attributes: MountAttrFlags::from_bits_retain(u32::try_from(attributes).unwrap_or(0)),
        target,
        is_proc: fstype == "proc",
    };
    Ok(Step::new(format!("mount {fstype} on {}", destination.display()), Op::Mount(new)))
}

/// The container's own groups, as its cgroup namespace shows them: one cgroup2 mount, or a tmpfs with a mount for each
/// v1 hierarchy. Without a cgroup namespace the group's directories are bound instead.
fn cgroup_steps(
    mount: &Mount,
    options: &Options,
    cgroup: &Cgroup,
    own_namespace: bool,
    steps: &mut Vec<Step>,
) -> Result<(), Error> {
    let destination = mount.destination();
    let source = Path::new("cgroup");
    let plain = Options { attributes: options.attributes, ..Options::default() };
    let paths = cgroup.paths();
    if cgroup.mode() == Mode::Unified {
        steps.push(match paths.unified.filter(|_| !own_namespace) {
            Some(group) => bind(&group, destination, false, &plain)?,
            None => mount_of("cgroup2", source, destination, &plain)?,
        });
        return Ok(());
    }
    let mut directory = Options { attributes: plain.attributes, ..Options::default() };
    directory.data.push(("mode".to_owned(), Some("755".to_owned())));
    // Its directories have yet to be made.
    directory.attributes.set &= !libc::MOUNT_ATTR_RDONLY;
    steps.push(mount_of("tmpfs", source, destination, &directory)?);
    for v1 in cgroup.v1_mounts() {
        let names: Vec<&str> =
            v1.controllers.iter().map(|name| name.strip_prefix("name=").unwrap_or(name)).collect();
        let at = destination.join(names.join(","));
        let mut data: Vec<_> = v1.controllers.iter().map(|name| option(name)).collect();
        if v1.controllers.iter().all(|name| name.starts_with("name=")) {
            data.push(("none".to_owned(), None));
        }
        let options = Options { attributes: plain.attributes, data, ..Options::default() };
        let group = v1.controllers.first().and_then(|name| paths.v1.get(name));
        steps.push(match group.filter(|_| !own_namespace) {
            Some(group) => bind(group, &at, false, &options)?,
            None => mount_of("cgroup", source, &at, &options)?,
        });
        if names.len() > 1 {
            for name in &names {
                let parent = Target::new(destination, false, "a mount's destination")?;
                steps.push(link(parent, name, &names.join(","))?);
            }
        }
    }
    if options.attributes.set & libc::MOUNT_ATTR_RDONLY != 0 {
        let path = destination.strip_prefix("/").unwrap_or(destination);
        let op = Op::Readonly(c_path(path, "a mount's destination")?);
        steps.push(Step::new(format!("make {} read-only", destination.display()), op));
    }
    Ok(())
}

fn option(text: &str) -> (String, Option<String>) {
    match text.split_once('=') {
        Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
        None => (text.to_owned(), None),
    }
}

fn device_steps(linux: &Linux, steps: &mut Vec<Step>) -> Result<(), Error> {
    let dev = || Target::below_root(Path::new("/dev"), false, "/dev");
    for (name, major, minor) in DEVICES {
        let device = Device {
            parent: dev()?,
            name: c_string(name, "a device")?,
            mode: libc::S_IFCHR | 0o666,
            device: makedev(major, minor),
            uid: 0,
            gid: 0,
        };
        steps.push(Step::new(format!("make device /dev/{name}"), Op::Device(device)));
    }
    for device in linux.devices().iter().flatten() {
        // The default devices were made.
        if !DEVICES.iter().any(|(name, ..)| device.path() == &PathBuf::from(format!("/dev/{name}"))) {
            steps.push(configured_device(device)?);
        }
    }
    for (name, to) in LINKS {
        steps.push(link(dev()?, name, to)?);
    }
    Ok(())
}

fn configured_device(device: &LinuxDevice) -> Result<Step, Error> {
    let path = device.path();
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Error::config(format!("linux.devices: {} is no path of a device", path.display())));
    };
    let kind = match device.typ() {
        LinuxDeviceType::B => libc::S_IFBLK,
        LinuxDeviceType::C | LinuxDeviceType::U => libc::S_IFCHR,
        LinuxDeviceType::P => libc::S_IFIFO,
        LinuxDeviceType::A => {
            return Err(Error::config(format!("linux.devices: {} has type a", path.display())));
        }
    };
    let number = |number: i64| {
        u32::try_from(number)
            .map_err(|_| Error::config(format!("linux.devices: {} has number {number}", path.display())))
    };
    let made = Device {
        parent: Target::new(parent, false, "linux.devices")?,
        name: c_path(Path::new(name), "linux.devices")?,
        mode: kind | device.file_mode().unwrap_or(0o666) & 0o7777,
        device: makedev(number(device.major())?, number(device.minor())?),
        uid: device.uid().unwrap_or(0),
        gid: device.gid().unwrap_or(0),
    };
    Ok(Step::new(format!("make device {}", path.display()), Op::Device(made)))
}

fn link(parent: Target, name: &str, to: &str) -> Result<Step, Error> {
    let what = format!("link {name} to {to}");
    let text = |text: &str| -> Result<CString, Error> { c_string(text, "a link") };
    Ok(Step::new(what, Op::Link { parent, name: text(name)?, to: text(to)? }))
}
