//! The configuration's mounts, device nodes and links, as steps.

use std::ffi::CString;
use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use oci_spec::runtime::{Linux, LinuxDevice, LinuxDeviceType, Mount, Spec};
use rustix::fs::{FileType, fstat, makedev, statfs};
use rustix::mount::{MountAttrFlags, MountPropagationFlags};

use super::member::terminal_size;
use super::namespaces::Namespaces;
use super::options::Options;
use super::{c_path, c_string, made};
use crate::cgroup::{Cgroup, Mode};
use crate::container::step::{Attributes, Bind, Device, Kernels, NewMount, Op, Source, Step, Target};
use crate::container::{Error, Rootfs};

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
    namespaces: &Namespaces,
    rootfs: &Rootfs,
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
        if !bind && options.subdir.is_some() {
            return Err(Error::config("mount option \"X-mount.subdir\" is one of bind mounts"));
        }
        match mount.typ().as_deref() {
            _ if bind => steps.push(bind_step(mount, &options, linux, namespaces)?),
            Some("cgroup" | "cgroup2") => {
                cgroup_steps(mount, &options, cgroup, namespaces.own_cgroup, steps)?;
            }
            Some("tmpfs") if options.copy_up => steps.push(copy_up(mount, &options, rootfs)?),
            _ if options.copy_up => {
                return Err(Error::unsupported("mount option \"tmpcopyup\" but for tmpfs"));
            }
            Some(fstype) => steps.push(new_mount(mount, fstype, &options, linux)?),
            None => return Err(Error::config(format!("mount {} has no type", destination.display()))),
        }
    }
    if own_dev {
        device_steps(linux, namespaces.has_user(), steps)?;
    }
    if let Some(process) = spec.process().as_ref().filter(|process| process.terminal().unwrap_or(false)) {
        let target = Target::below_root(Path::new("/dev/console"), true, "/dev/console")?;
        let op = Op::Console { size: terminal_size(process), target };
        steps.push(Step::new("open the terminal", op));
    }
    Ok(())
}

fn bind_step(
    mount: &Mount,
    options: &Options,
    linux: &Linux,
    namespaces: &Namespaces,
) -> Result<Step, Error> {
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
    let step = bind(source, destination, file, options)?;
    let tree = || made::tree(source, options.subdir.as_deref(), options.recursive);
    Ok(match made::identity_map(mount, options, linux)? {
        Some(map) => with_made(map.map(tree()?, source)?, step),
        None if namespaces.has_user() => with_made(tree()?, step),
        None => step,
    })
}

/// Has a bind use a mount of the parent's making.
fn with_made(mount: OwnedFd, mut step: Step) -> Step {
    if let Op::Bind(bind) = &mut step.op {
        bind.source = Source::Made(mount);
    }
    step
}

/// A tmpfs that begins with what the image has at its place.
fn copy_up(mount: &Mount, options: &Options, rootfs: &Rootfs) -> Result<Step, Error> {
    let destination = mount.destination();
    let Rootfs::Directory(root) = rootfs else {
        return Err(Error::unsupported("mount option \"tmpcopyup\" on an overlay"));
    };
    let source = mount.source().as_deref().unwrap_or(Path::new("tmpfs"));
    let made = made::filled_tmpfs(root, destination, &options.data)?;
    let flags = Attributes { set: options.attributes.set, clear: 0 };
    let plain = Options { attributes: flags, propagation: options.propagation, ..Options::default() };
    Ok(with_made(made, bind(source, destination, false, &plain)?))
}

/// Whether what is bound is something else than a directory.
fn is_file(source: &Path, subdir: Option<&str>) -> std::io::Result<bool> {
    let Some(subdir) = subdir else { return Ok(!fs::metadata(source)?.is_dir()) };
    let part = made::below(source, subdir)?;
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
    let path = c_path(source, "a mount's source")?;
    let bind = Bind {
        source: match options.subdir.as_deref() {
            Some(subdir) => Source::Below { whole: path, subdir: c_string(subdir, "a mount option")? },
            None => Source::Path(path),
        },
        recursive: options.recursive,
        attributes: options.attributes,
        recursive_attributes: options.recursive_attributes,
        propagation: options.propagation.unwrap_or(private),
        target,
    };
    let what = format!("bind {} on {}", source.display(), destination.display());
    Ok(Step::new(what, Op::Bind(bind)))
}

fn new_mount(mount: &Mount, fstype: &str, options: &Options, linux: &Linux) -> Result<Step, Error> {
    if options.identity_map.is_some() || mount.uid_mappings().is_some() {
        return Err(Error::unsupported(format!("an idmapped mount of type {fstype}")));
    }
    let label = linux.mount_label().as_ref().filter(|label| !label.is_empty());
    let labelled = label.filter(|_| matches!(fstype, "tmpfs" | "mqueue" | "devpts"));
    let mut data = options.data.clone();
    data.extend(labelled.map(|label| ("context".to_owned(), Some(label.clone()))));
    let options = &Options {
        data,
        attributes: options.attributes,
        recursive_attributes: options.recursive_attributes,
        propagation: options.propagation,
        ..Options::default()
    };
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
    let attributes = options.attributes.set | options.recursive_attributes.set;
    let new = NewMount {
        fstype: c_string(fstype, "a mount's type")?,
        source: c_path(source, "a mount's source")?,
        options: options.data.iter().map(pair).collect::<Result<_, _>>()?,
        attributes: MountAttrFlags::from_bits_retain(u32::try_from(attributes).unwrap_or(0)),
        propagation: options.propagation,
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
    if cgroup.mode() == Mode::Unified || mount.typ().as_deref() == Some("cgroup2") {
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

fn device_steps(linux: &Linux, bound: bool, steps: &mut Vec<Step>) -> Result<(), Error> {
    let dev = || Target::below_root(Path::new("/dev"), false, "/dev");
    for (name, major, minor) in DEVICES {
        if bound {
            steps.push(bind_device(&Path::new("/dev").join(name))?);
            continue;
        }
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
            steps.push(if bound { bind_device(device.path())? } else { configured_device(device)? });
        }
    }
    for (name, to) in LINKS {
        steps.push(link(dev()?, name, to)?);
    }
    Ok(())
}

/// The host's node: in a user namespace nobody may make one.
fn bind_device(path: &Path) -> Result<Step, Error> {
    let made = made::tree(path, None, false)?;
    Ok(with_made(made, bind(path, path, true, &Options::default())?))
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
