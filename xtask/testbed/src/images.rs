//! Root file systems for tests, made from Debian's packages.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use nix::fcntl::{Flock, FlockArg};

use crate::command::text;

/// A tar archive with busybox-static and a link for each of its applets, kept in `cache`.
///
/// # Errors
/// When busybox-static is not installed.
pub fn busybox_tar(cache: &Path) -> Result<PathBuf> {
    cached(cache, "busybox", |tree| {
        let bin = tree.join("bin");
        fs::create_dir_all(&bin)?;
        fs::copy("/bin/busybox", bin.join("busybox"))
            .context("copy /bin/busybox: install the package busybox-static")?;
        text(Command::new("/bin/busybox").args(["--install", "-s"]).arg(&bin))?;
        // busybox makes the links to where it was called from.
        for link in fs::read_dir(&bin)?.flatten().filter(|entry| entry.file_name() != "busybox") {
            fs::remove_file(link.path())?;
            std::os::unix::fs::symlink("busybox", link.path())?;
        }
        accounts(tree)?;
        Ok(())
    })
}

/// What every image has beside its packages: a shell and the tools that its scripts call.
const BASE: [&str; 2] = ["coreutils", "dash"];

/// A tar archive with `packages`, a shell, and all they depend on, installed from Debian's archive and kept in `cache`.
///
/// The packages are unpacked, not configured: their maintainer scripts would want a running system. What those would
/// have made and a server needs (accounts, a writable /tmp and /run) is made here.
///
/// # Errors
/// When a package cannot be had.
pub fn debian_tar(cache: &Path, name: &str, packages: &[&str]) -> Result<PathBuf> {
    cached(cache, name, |tree| {
        let archives = tree.with_extension("archives");
        fs::create_dir_all(archives.join("partial"))?;
        // With an empty status file apt sees nothing as installed, and so fetches the whole closure.
        let mut apt = Command::new("apt-get");
        apt.args(["--download-only", "--yes", "--no-install-recommends", "--quiet"])
            .args(["-o", "Dir::State::status=/dev/null", "-o", "Debug::NoLocking=true"])
            .arg("-o")
            .arg(format!("Dir::Cache::archives={}", archives.display()))
            .arg("install")
            .args(BASE)
            .args(packages);
        text(&mut apt)?;
        // A merged /usr, so that packages which still ship /bin or /lib agree with those which do not.
        for directory in ["bin", "sbin", "lib", "lib64"] {
            fs::create_dir_all(tree.join("usr").join(directory))?;
            std::os::unix::fs::symlink(Path::new("usr").join(directory), tree.join(directory))?;
        }
        for package in fs::read_dir(&archives)?.flatten().map(|entry| entry.path()) {
            if package.extension().is_some_and(|extension| extension == "deb") {
                unpack(&package, tree)?;
            }
        }
        fs::remove_dir_all(&archives)?;
        let shell = tree.join("bin/sh");
        if !shell.is_symlink() {
            std::os::unix::fs::symlink("dash", shell)?;
        }
        accounts(tree)
    })
}

/// Unpacks through tar, which follows the links of a merged /usr; `dpkg-deb --extract` would replace them.
fn unpack(package: &Path, tree: &Path) -> Result<()> {
    let script = "dpkg-deb --fsys-tarfile \"$1\" | tar --extract --keep-directory-symlink --directory \"$2\"";
    text(Command::new("bash").args(["-o", "pipefail", "-c", script, "bash"]).arg(package).arg(tree)).map(drop)
}

/// The accounts that servers drop to, and the directories they write to.
fn accounts(tree: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let write = |path: &str, text: &str| -> Result<()> {
        let path = tree.join(path);
        fs::create_dir_all(path.parent().context("a file has a directory")?)?;
        fs::write(path, text)?;
        Ok(())
    };
    let users = [("root", 0), ("www-data", 33), ("postgres", 101), ("redis", 102), ("nobody", 65534)];
    let passwd = users.map(|(name, id)| format!("{name}:x:{id}:{id}:{name}:/tmp:/bin/sh\n")).concat();
    // nginx drops to the group of "nobody", which Debian calls "nogroup".
    let group = users
        .map(|(name, id)| format!("{}:x:{id}:\n", if name == "nobody" { "nogroup" } else { name }))
        .concat();
    write("etc/passwd", &passwd)?;
    write("etc/group", &group)?;
    for directory in ["tmp", "run", "var/tmp", "var/log/nginx", "var/run"] {
        let directory = tree.join(directory);
        if !directory.is_symlink() {
            fs::create_dir_all(&directory)?;
            fs::set_permissions(&directory, fs::Permissions::from_mode(0o1777))?;
        }
    }
    Ok(())
}

/// `name`.tar in `cache`, made by `fill` unless it is there. Tests in other processes wait for the first to finish.
fn cached(cache: &Path, name: &str, fill: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    fs::create_dir_all(cache)?;
    let archive = cache.join(format!("{name}.tar"));
    let lock = File::create(cache.join(format!("{name}.lock")))?;
    let Ok(_lock) = Flock::lock(lock, FlockArg::LockExclusive) else {
        bail!("lock {}", archive.display());
    };
    if archive.exists() {
        return Ok(archive);
    }
    let work = tempfile::tempdir_in(cache)?;
    let tree = work.path().join("tree");
    fs::create_dir(&tree)?;
    fill(&tree).with_context(|| format!("make the image {name}"))?;
    let partial = work.path().join("archive");
    text(
        Command::new("tar")
            .arg("--create")
            .arg("--file")
            .arg(&partial)
            .arg("--directory")
            .arg(&tree)
            .arg("."),
    )?;
    fs::rename(partial, &archive)?;
    Ok(archive)
}
