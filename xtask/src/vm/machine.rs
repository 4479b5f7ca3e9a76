//! One emulated machine, from power on to power off.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use super::kernel::Kernel;
use super::{Outcome, initrd, judge};
use crate::progress::Step;
use crate::run::Run;

/// The longest a machine may run.
const DEADLINE: Duration = Duration::from_secs(3600);

/// Boots the kernel, has its shell run `script`, and returns what became of the tests. What the machine said is kept
/// beside the kernel, too.
pub(super) fn boot(kernel: &Kernel, script: &str, step: &Step) -> Result<Outcome> {
    let initrd = initrd::build(kernel, step)?;
    let path = kernel.directory().join("run.sh");
    fs::write(&path, script).with_context(|| format!("write {}", path.display()))?;
    let console = kernel.directory().join("console.log");
    let ended = emulate(kernel, &initrd, &path, &console, step);
    let text = String::from_utf8_lossy(&fs::read(&console).unwrap_or_default()).into_owned();
    ended
        .and_then(|()| judge(&text))
        .map(|passed| Outcome { passed, console: text })
        .with_context(|| format!("kernel {}; all it said is in {}", kernel.release(), console.display()))
}

/// Software emulation everywhere: where hardware could help, a hypervisor below may still forbid it.
fn emulate(kernel: &Kernel, initrd: &Path, script: &Path, console: &Path, step: &Step) -> Result<()> {
    let append = format!("console=ttyS0 panic=-1 quiet cgroup_no_v1=all beeline.script={}", script.display());
    Run::new("qemu-system-x86_64")
        .deadline(DEADLINE)
        .args(["-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "1", "-m", "4096"])
        .args(["-display", "none", "-no-reboot", "-nic", "none", "-monitor", "none"])
        .args(["-virtfs", "local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap"])
        .arg("-serial")
        .arg(format!("file:{}", console.display()))
        .arg("-kernel")
        .arg(kernel.image())
        .arg("-initrd")
        .arg(initrd)
        .args(["-append", &append])
        .quiet(step)
}
