//! Finding a toolchain that builds for BPF.

use std::{env, path::PathBuf, process::Command};

use crate::Error;

/// The name `cargo xtask setup` links the distribution's compiler under.
const LINKED: &str = "bpf";

/// A compiler with the standard library's sources, and bpf-linker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Toolchain {
    /// The name of the rustup toolchain.
    pub name: &'static str,
    /// Whether unstable options need to be asked for: it is a stable compiler.
    pub bootstrap: bool,
    /// What `rustc --version` says.
    pub rustc: String,
    /// Where bpf-linker is.
    pub linker: PathBuf,
    /// What `bpf-linker --version` says.
    pub linker_version: String,
}

impl Toolchain {
    /// Finds what `cargo xtask setup` linked, else a nightly with its sources.
    ///
    /// # Errors
    /// [`Error::NoToolchain`] names what is missing.
    pub fn find() -> Result<Self, Error> {
        let linker = find_linker()
            .ok_or_else(|| Error::NoToolchain { missing: "bpf-linker is not installed".into() })?;
        let linker_version = version(Command::new(&linker))
            .ok_or_else(|| Error::NoToolchain { missing: format!("{} does not run", linker.display()) })?;
        for (name, bootstrap) in [(LINKED, true), ("nightly", false)] {
            let Some(rustc) = version(rustup(name, "rustc")) else { continue };
            if has_sources(name) {
                return Ok(Self { name, bootstrap, rustc, linker, linker_version });
            }
        }
        let missing =
            format!("neither the rustup toolchain `{LINKED}` nor a nightly with rust-src is installed");
        Err(Error::NoToolchain { missing })
    }

    /// One line for people.
    pub fn describe(&self) -> String {
        format!("{} (rustup toolchain `{}`) with {}", self.rustc, self.name, self.linker_version)
    }

    /// A cargo of this toolchain, free of whatever called us.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = rustup(self.name, "cargo");
        if self.bootstrap {
            command.env("RUSTC_BOOTSTRAP", "1");
        }
        command
    }
}

/// A tool of a rustup toolchain. Variables of the cargo that runs us would choose its compiler, flags and target.
fn rustup(toolchain: &str, tool: &str) -> Command {
    let mut command = Command::new("rustup");
    command.args(["run", toolchain, tool]);
    for (name, _) in env::vars_os() {
        let name_text = name.to_string_lossy();
        let inherited = name_text.starts_with("CARGO") && name_text != "CARGO_HOME"
            || name_text.starts_with("RUST") && name_text != "RUSTUP_HOME";
        if inherited {
            command.env_remove(&name);
        }
    }
    command
}

fn version(mut command: Command) -> Option<String> {
    let output = command.arg("--version").output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn has_sources(toolchain: &str) -> bool {
    let output = rustup(toolchain, "rustc").args(["--print", "sysroot"]).output();
    let Ok(output) = output else { return false };
    let sysroot = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    sysroot.join("lib/rustlib/src/rust/library/core/Cargo.toml").exists()
}

fn find_linker() -> Option<PathBuf> {
    let cargo_home = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cargo")));
    let search =
        env::var_os("PATH").map(|path| env::split_paths(&path).collect::<Vec<_>>()).unwrap_or_default();
    search
        .into_iter()
        .chain(cargo_home.map(|home| home.join("bin")))
        .map(|folder| folder.join("bpf-linker"))
        .find(|path| path.is_file())
}
