//! Loading the programs, or taking over those that are pinned.

use std::{
    collections::HashMap,
    fs, io,
    os::fd::{AsFd as _, OwnedFd},
    path::{Path, PathBuf},
};

use aya::{
    Ebpf, EbpfLoader, VerifierLogLevel,
    programs::{Program, ProgramError, ProgramInfo},
};

use super::{
    DatapathConfig, Error, ProgramStatus, Watch, accelerate,
    btf::Btf,
    observe,
    pins::Pins,
    programs::{self, Hook},
    syscall, tables,
};

/// The object, aligned as the parser wants it, and its digest.
static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("BEELINE_BPF_OBJECT"));
const DIGEST: &str = env!("BEELINE_BPF_DIGEST");

/// The loaded programs by name.
pub(super) type Programs = HashMap<&'static str, OwnedFd>;

/// What is loaded.
pub(super) struct Loaded {
    pub(super) programs: Programs,
    /// Where they are pinned.
    pub(super) folder: PathBuf,
    /// Whether those that accelerate are among them, or why not.
    pub(super) acceleration: Result<(), String>,
}

/// The number of lines of a verifier's log that an error carries: the end says what is wrong.
const LOG_LINES: usize = 40;

/// Takes over the pinned programs of this object, or loads them on the pinned maps. No link leads to them yet, see
/// [`update_links`].
pub(super) fn load_or_adopt(config: &DatapathConfig, pins: &Pins) -> Result<Loaded, Error> {
    let cookie = syscall::netns_cookie().map_err(|source| Error::Unsupported {
        missing: format!("SO_NETNS_COOKIE (Linux 5.14): {source}"),
    })?;
    let level = config.log_level as u8;
    let folder = pins.programs(DIGEST, cookie, level, config.watch);
    let (programs, acceleration) = match adopt(&folder, config.watch) {
        Some(programs) => {
            tracing::debug!(digest = DIGEST, "took over the BPF programs of an earlier daemon");
            (programs, Ok(()))
        }
        None => load(config, pins, &folder, cookie)?,
    };
    Ok(Loaded { programs, folder, acceleration })
}

/// Opens the pinned programs, if all are there but those that watch and that this kernel is known not to take: of others
/// that are missing the reason is wanted anew.
fn adopt(folder: &Path, watch: Watch) -> Option<Programs> {
    let mut adopted = Programs::new();
    for name in programs::all(watch) {
        if !absence(folder, name).exists() {
            adopted.insert(name, syscall::open_pinned(&folder.join(name)).ok()?);
        }
    }
    Some(adopted)
}

fn load(
    config: &DatapathConfig,
    pins: &Pins,
    folder: &Path,
    cookie: u64,
) -> Result<(Programs, Result<(), String>), Error> {
    probe()?;
    let level = config.log_level as u8;
    let btf = Btf::of_kernel().map_err(|error| format!("its types cannot be read: {error}"));
    let offsets = btf.as_ref().map_err(Clone::clone).and_then(accelerate::offsets);
    let observed = btf.and_then(|btf| observe::offsets(&btf, config.watch));
    let map_paths = tables::PINNED.map(|name| (name, pins.map(name)));
    let mut loader = EbpfLoader::new();
    loader
        .verifier_log_level(VerifierLogLevel::DEBUG | VerifierLogLevel::STATS)
        .override_global("AYA_LOG_LEVEL", &level, true)
        .override_global("NETNS_COOKIE", &cookie, true)
        .map_max_entries("FLOWS", config.conntrack_entries.max(1024))
        .map_max_entries("TRAFFIC", tables::traffic_entries());
    let watched = observed.as_ref().map(|(offsets, _)| offsets.as_slice()).unwrap_or_default();
    for (name, offset) in offsets.iter().flatten().chain(watched) {
        loader.override_global(name, offset, true);
    }
    for (name, path) in &map_paths {
        loader.map_pin_path(name, path.as_path());
    }
    let mut object = loader.load(OBJECT).map_err(|error| Error::Load(Box::new(error)))?;

    if folder.exists() {
        fs::remove_dir_all(folder).map_err(|source| Error::Pins {
            operation: "remove",
            path: folder.into(),
            source,
        })?;
    }
    fs::create_dir_all(folder).map_err(|source| Error::Pins {
        operation: "create",
        path: folder.into(),
        source,
    })?;
    let mut loaded = Programs::new();
    for name in programs::needed() {
        loaded.insert(name, load_one(&mut object, name, folder)?);
    }
    let acceleration = offsets.map(drop).and_then(|()| {
        for name in programs::ACCELERATION {
            let program = load_one(&mut object, name, folder).map_err(|error| in_full(&error))?;
            loaded.insert(name, program);
        }
        Ok(())
    });
    match observed {
        Ok((_, watch)) => load_observers(&mut object, watch, folder, &mut loaded),
        Err(reason) => {
            tracing::warn!(reason, "the kernel does not let containers be watched: figures are absent");
        }
    }
    tracing::info!(digest = DIGEST, programs = loaded.len(), "loaded the BPF programs");
    Ok((loaded, acceleration))
}

/// What stands for a program that the kernel does not take: another try would end like the first one.
fn absence(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("absent_{name}"))
}

/// Loads those of the programs that watch containers which this kernel takes, and says which it does not.
fn load_observers(object: &mut Ebpf, watch: Watch, folder: &Path, loaded: &mut Programs) {
    let types = match aya::Btf::from_sys_fs() {
        Ok(types) => types,
        Err(error) => return tracing::warn!(%error, "the kernel's types cannot be read: figures are absent"),
    };
    let mut missing = Vec::new();
    for (name, hook) in programs::observers(watch) {
        let verified = match object.program_mut(name) {
            Some(Program::BtfTracePoint(program)) if let Hook::Tracepoint(point) = hook => {
                program.load(point, &types)
            }
            Some(Program::FEntry(program)) if let Hook::Function(function) = hook => {
                program.load(function, &types)
            }
            Some(Program::SockOps(program)) => program.load(),
            _ => Err(ProgramError::UnexpectedProgramType),
        };
        let verified = verified.map_err(|source| load_failed(name, source));
        match verified.and_then(|()| keep(object, name, folder)) {
            Ok(program) => drop(loaded.insert(name, program)),
            Err(error) => {
                tracing::debug!(program = name, error = in_full(&error), "not loaded");
                missing.push(name);
                // Without it the next daemon tries again.
                drop(fs::create_dir(absence(folder, name)));
            }
        }
    }
    if !missing.is_empty() {
        tracing::warn!(programs = ?missing, "this kernel does not let all be watched: their figures are absent");
    }
}

/// Loads and pins a program.
fn load_one(object: &mut Ebpf, name: &'static str, folder: &Path) -> Result<OwnedFd, Error> {
    let program =
        object.program_mut(name).ok_or_else(|| Error::Missing { what: format!("program {name}") })?;
    load_program(program).map_err(|source| load_failed(name, source))?;
    keep(object, name, folder)
}

/// Pins a program that is loaded.
fn keep(object: &Ebpf, name: &'static str, folder: &Path) -> Result<OwnedFd, Error> {
    let program = object.program(name).ok_or_else(|| Error::Missing { what: format!("program {name}") })?;
    let fd =
        program.fd().and_then(|fd| fd.as_fd().try_clone_to_owned().map_err(ProgramError::IOError)).map_err(
            |source| Error::Program { operation: "open", name: name.into(), source: Box::new(source) },
        )?;
    Pins::pin(fd.as_fd(), &folder.join(name))?;
    let ProgramStatus { id, verified_instructions, .. } = describe(name, folder)?;
    tracing::debug!(program = name, id, verified_instructions, "verified");
    Ok(fd)
}

/// A failure with its causes.
fn in_full(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// What the kernel knows of a program that is pinned.
pub(super) fn describe(name: &'static str, folder: &Path) -> Result<ProgramStatus, Error> {
    let info = ProgramInfo::from_pin(folder.join(name)).map_err(|source| Error::Program {
        operation: "describe",
        name: name.into(),
        source: Box::new(source),
    })?;
    // Every kernel that has all else we need tells the number (Linux 5.16).
    let verified_instructions = info.verified_instruction_count().unwrap_or_default();
    let (runs, run_time) = (info.run_count(), info.run_time());
    Ok(ProgramStatus { name, id: info.id(), verified_instructions, runs, run_time })
}

fn load_program(program: &mut Program) -> Result<(), ProgramError> {
    match program {
        Program::SchedClassifier(program) => program.load(),
        Program::Xdp(program) => program.load(),
        Program::CgroupSockAddr(program) => program.load(),
        Program::CgroupSock(program) => program.load(),
        Program::SockOps(program) => program.load(),
        Program::SkMsg(program) => program.load(),
        Program::SkSkb(program) => program.load(),
        _ => Err(ProgramError::UnexpectedProgramType),
    }
}

fn load_failed(name: &str, source: ProgramError) -> Error {
    let ProgramError::LoadError { io_error, verifier_log } = &source else {
        return Error::Program { operation: "load", name: name.into(), source: Box::new(source) };
    };
    if io_error.kind() == io::ErrorKind::PermissionDenied && verifier_log.to_string().trim().is_empty() {
        return Error::Unsupported {
            missing: "the right to load BPF programs: run as root, with CAP_BPF and CAP_NET_ADMIN".into(),
        };
    }
    let text = verifier_log.to_string();
    let lines: Vec<&str> = text.lines().collect();
    let log = lines[lines.len().saturating_sub(LOG_LINES)..].join("\n");
    Error::Verifier { name: name.into(), log, source: Box::new(source) }
}

/// Says what is missing before the verifier does in its own words.
fn probe() -> Result<(), Error> {
    if !Path::new("/sys/kernel/btf/vmlinux").exists() {
        let missing = "BTF type information (/sys/kernel/btf/vmlinux): it needs CONFIG_DEBUG_INFO_BTF".into();
        return Err(Error::Unsupported { missing });
    }
    Ok(())
}

/// Puts these programs behind every pinned link, without a gap.
pub(super) fn update_links(pins: &Pins, programs: &Programs) -> Result<(), Error> {
    for (name, path) in pins.existing_links()? {
        let Some(program) = programs.get(name.as_str()) else {
            Pins::remove(&path)?;
            continue;
        };
        let updated =
            syscall::open_pinned(&path).and_then(|link| syscall::update_link(link.as_fd(), program.as_fd()));
        match updated {
            Ok(()) => {}
            // The device or cgroup is gone and the link with it.
            Err(error) if error.raw_os_error() == Some(libc::ENOLINK) => Pins::remove(&path)?,
            Err(source) => return Err(Error::Pins { operation: "update the link", path, source }),
        }
    }
    Ok(())
}
