//! The first root of a machine: busybox, and the modules that it takes to reach the shared one.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::kernel::Kernel;
use crate::progress::Step;
use crate::run::Run;

/// For the shared root, and for the layer on top of it.
const MODULES: &[&str] = &["virtio_pci", "9pnet_virtio", "9p", "overlay"];

/// Makes the archive, and returns where it is.
pub(super) fn build(kernel: &Kernel, step: &Step) -> Result<PathBuf> {
    let tree = kernel.directory().join("initrd");
    if tree.exists() {
        fs::remove_dir_all(&tree).with_context(|| format!("remove {}", tree.display()))?;
    }
    for directory in ["bin", "modules", "proc", "sys", "dev", "root", "lower", "memory"] {
        let directory = tree.join(directory);
        fs::create_dir_all(&directory).with_context(|| format!("create {}", directory.display()))?;
    }
    fs::copy("/bin/busybox", tree.join("bin/busybox")).context("copy /bin/busybox")?;
    let init = tree.join("init");
    fs::write(&init, include_str!("init.sh")).with_context(|| format!("write {}", init.display()))?;
    fs::set_permissions(&init, Permissions::from_mode(0o755)).context("make init executable")?;
    for (number, module) in modules(kernel)?.iter().enumerate() {
        copy_module(module, &tree.join("modules"), number, step)?;
    }
    let archive = kernel.directory().join("initrd.gz");
    let pack = "find . | cpio --create --format=newc --quiet | gzip -1 > \"$1\"";
    Run::new("sh").args(["-c", pack, "sh"]).arg(&archive).dir(&tree).quiet(step)?;
    Ok(archive)
}

/// The files of the modules and of all they depend on, in the order in which they load.
fn modules(kernel: &Kernel) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for module in MODULES {
        let lines = Run::new("modprobe")
            .arg("--dirname")
            .arg(kernel.directory())
            .args(["--set-version", kernel.release(), "--show-depends", module])
            .output()?;
        for file in lines.lines().filter_map(insmod) {
            if !files.contains(&file) {
                files.push(file);
            }
        }
    }
    Ok(files)
}

/// The file of a line `insmod FILE`; a built-in one has none.
fn insmod(line: &str) -> Option<PathBuf> {
    line.strip_prefix("insmod ").map(|file| PathBuf::from(file.trim()))
}

/// Copies a module, unpacked: busybox knows no compressed ones.
fn copy_module(module: &Path, directory: &Path, number: usize, step: &Step) -> Result<()> {
    let stem = module.file_stem().unwrap_or_default().to_string_lossy();
    let target = directory.join(format!("{number:02}-{stem}"));
    if module.extension().is_some_and(|extension| extension == "xz") {
        let unpack = "xz --decompress --stdout \"$1\" > \"$2\"";
        return Run::new("sh").args(["-c", unpack, "sh"]).arg(module).arg(&target).quiet(step);
    }
    fs::copy(module, &target).map(drop).with_context(|| format!("copy {}", module.display()))
}
