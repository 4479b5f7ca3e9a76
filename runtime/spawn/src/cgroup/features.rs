//! What the host's control groups can do, so that a wish that cannot be had is told and not forgotten.

use oci_spec::runtime::LinuxResources;

use super::{Error, Hierarchy, Mode, setting};

/// Which limits the host has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is a capability of the kernel's of its own")]
pub struct Features {
    /// Memory.
    pub memory: bool,
    /// Swap.
    pub swap: bool,
    /// Memory to be pressed down to.
    pub reservation: bool,
    /// How readily memory is swapped.
    pub swappiness: bool,
    /// Whether processes are killed for want of memory.
    pub oom_disable: bool,
    /// CPU weights.
    pub cpu_shares: bool,
    /// CPU time a period.
    pub cpu_quota: bool,
    /// Real-time CPU time.
    pub cpu_realtime: bool,
    /// Sets of CPUs and memory nodes.
    pub cpuset: bool,
    /// Numbers of processes.
    pub pids: bool,
    /// Block IO weights.
    pub io_weight: bool,
    /// Block IO weights of single devices.
    pub io_weight_device: bool,
    /// Block IO limits.
    pub io_limits: bool,
}

impl Features {
    /// Refuses what the kernel would silently do without.
    ///
    /// # Errors
    /// [`Error::NoWeights`].
    pub(crate) fn check(&self, resources: &LinuxResources) -> Result<(), Error> {
        let Some(io) = resources.block_io() else { return Ok(()) };
        let weights = io.weight().is_some_and(|weight| weight > 0);
        let of_devices = io.weight_device().as_ref().is_some_and(|devices| !devices.is_empty());
        match (weights && !self.io_weight, of_devices && !self.io_weight_device) {
            (true, _) => Err(Error::NoWeights { what: "weights of block I/O" }),
            (false, true) => Err(Error::NoWeights { what: "weights of single block devices" }),
            (false, false) => Ok(()),
        }
    }
}

impl Hierarchy {
    /// Looks at what the kernel offers now.
    #[must_use]
    pub fn features(&self) -> Features {
        if self.mode() == Mode::Unified { self.features_v2() } else { self.features_v1() }
    }

    fn features_v2(&self) -> Features {
        let root = self.cgroup2_mount().unwrap_or(std::path::Path::new("/"));
        let controllers = setting::read(&root.join("cgroup.controllers")).unwrap_or_default();
        let has = |name: &str| controllers.split_whitespace().any(|controller| controller == name);
        // The root has no limits, and so no file that would tell: swap accounting is there unless it was switched off.
        let command_line = std::fs::read_to_string("/proc/cmdline").unwrap_or_default();
        let swap = !command_line.split_whitespace().any(|word| word == "swapaccount=0");
        Features {
            memory: has("memory"),
            swap: has("memory") && swap,
            reservation: has("memory"),
            swappiness: false,
            oom_disable: false,
            cpu_shares: has("cpu"),
            cpu_quota: has("cpu"),
            cpu_realtime: false,
            cpuset: has("cpuset"),
            pids: has("pids"),
            io_weight: has("io"),
            io_weight_device: has("io"),
            io_limits: has("io"),
        }
    }

    fn features_v1(&self) -> Features {
        let has = |controller: &str, file: &str| {
            let mount = self.v1().iter().find(|v1| v1.has(controller));
            mount.is_some_and(|v1| v1.mount.join(file).exists())
        };
        // The root has no weight itself; what bfq counts there tells that groups below have one.
        let bfq = has("blkio", "blkio.bfq.io_service_bytes");
        Features {
            memory: has("memory", "memory.limit_in_bytes"),
            swap: has("memory", "memory.memsw.limit_in_bytes"),
            reservation: has("memory", "memory.soft_limit_in_bytes"),
            swappiness: has("memory", "memory.swappiness"),
            oom_disable: has("memory", "memory.oom_control"),
            cpu_shares: has("cpu", "cpu.shares"),
            cpu_quota: has("cpu", "cpu.cfs_quota_us"),
            cpu_realtime: has("cpu", "cpu.rt_runtime_us"),
            cpuset: has("cpuset", "cpuset.cpus"),
            pids: self.v1().iter().any(|v1| v1.has("pids")),
            io_weight: bfq || has("blkio", "blkio.weight"),
            io_weight_device: bfq || has("blkio", "blkio.weight_device"),
            io_limits: has("blkio", "blkio.throttle.read_bps_device"),
        }
    }
}
