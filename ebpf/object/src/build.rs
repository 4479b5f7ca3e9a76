//! Building the object.

use std::{
    env,
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{Error, Toolchain, strip::strip_dwarf};

/// The flags of the compiler. The types become BTF. The architecture only chooses how programs read registers, and ours
/// read none: one object serves every machine of its endianness.
pub(crate) const FLAGS: [&str; 3] = ["-Cdebuginfo=2", "-Clink-arg=--btf", "--cfg=bpf_target_arch=\"x86_64\""];

const TARGET: &str = "bpfel-unknown-none";

/// Builds the programs under `root` into `target_dir` and returns the object's path.
///
/// The same sources, flags and toolchain give the same bytes wherever the checkout lies.
///
/// # Errors
/// [`Error::Run`] when cargo does not start, [`Error::Build`] with its words when it fails.
pub fn build(root: &Path, target_dir: &Path, toolchain: &Toolchain) -> Result<PathBuf, Error> {
    // The folders of the dependencies' sources must exist before their names can be left out.
    cargo(root, toolchain, |command| command.args(["fetch", "--locked"]))?;
    let flags = encoded_flags(root);
    cargo(root, toolchain, |command| {
        command
            .args([
                "build",
                "--release",
                "--locked",
                "--target",
                TARGET,
                "-Z",
                "build-std=core",
                "--target-dir",
            ])
            .arg(target_dir)
            .env("CARGO_ENCODED_RUSTFLAGS", &flags)
            .env("CARGO_TARGET_BPFEL_UNKNOWN_NONE_LINKER", &toolchain.linker)
    })?;
    let folder = target_dir.join(TARGET).join("release");
    let linked = folder.join("beeline");
    let object = fs::read(&linked).map_err(|source| Error::Read { path: linked.clone(), source })?;
    let object = strip_dwarf(&object)
        .map_err(|error| Error::Read { path: linked, source: io::Error::other(error.to_string()) })?;
    let stripped = folder.join("beeline.bpf.o");
    fs::write(&stripped, object).map_err(|source| Error::Write { path: stripped.clone(), source })?;
    Ok(stripped)
}

/// Runs cargo in the folder of the programs.
fn cargo(
    root: &Path,
    toolchain: &Toolchain,
    arguments: impl FnOnce(&mut Command) -> &mut Command,
) -> Result<(), Error> {
    let mut command = toolchain.cargo();
    command.current_dir(root.join("ebpf"));
    let output = arguments(&mut command)
        .output()
        .map_err(|source| Error::Run { program: format!("rustup run {} cargo", toolchain.name), source })?;
    if output.status.success() {
        return Ok(());
    }
    let output_text = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(Error::Build { status: output.status.to_string(), output: output_text })
}

/// The flags, and what is left out of paths: neither where the checkout and cargo's home are, nor what the registry
/// is called, is part of the object.
fn encoded_flags(root: &Path) -> OsString {
    let mut remaps = vec![(fs::canonicalize(root).unwrap_or_else(|_| root.into()), "beeline")];
    let home = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cargo")));
    if let Some(home) = home {
        let registries = fs::read_dir(home.join("registry/src")).into_iter().flatten().flatten();
        remaps.push((home, "cargo"));
        // Of several prefixes that match, the compiler takes the last.
        remaps.extend(registries.map(|registry| (registry.path(), "dependencies")));
    }
    let remaps = remaps.into_iter().map(|(from, to)| {
        let mut flag = OsString::from("--remap-path-prefix=");
        flag.push(from);
        flag.push("=");
        flag.push(to);
        flag
    });
    FLAGS.iter().map(OsString::from).chain(remaps).collect::<Vec<_>>().join(&OsString::from("\u{1f}"))
}
