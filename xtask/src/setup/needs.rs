//! What each task needs of the machine, and the Debian package that brings it.

use std::path::Path;

use super::Purpose;
use crate::workspace::find_program;

/// One thing a task needs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Need {
    presence: Presence,
    /// Packages that bring it, the preferred one first: Debian's releases name some differently.
    pub(crate) packages: &'static [&'static str],
}

/// How to see that something is installed. Looking at files is quicker than asking dpkg.
#[derive(Debug, Clone, Copy)]
enum Presence {
    /// A program on PATH or in an administrator's directory.
    Program(&'static str),
    /// Any of these files.
    File(&'static [&'static str]),
}

impl Need {
    const fn program(name: &'static str, packages: &'static [&'static str]) -> Self {
        Self { presence: Presence::Program(name), packages }
    }

    const fn file(paths: &'static [&'static str], packages: &'static [&'static str]) -> Self {
        Self { presence: Presence::File(paths), packages }
    }

    /// What a person would look for.
    pub(crate) fn name(&self) -> &'static str {
        match self.presence {
            Presence::Program(name) => name,
            Presence::File(paths) => paths.first().copied().unwrap_or_default(),
        }
    }

    fn is_met(&self) -> bool {
        match self.presence {
            Presence::Program(name) => find_program(name).is_some(),
            Presence::File(paths) => paths.iter().any(|path| Path::new(path).exists()),
        }
    }
}

/// libc for static linking: the C library is part of the binary.
const STATIC_LIBC: &[&str] = &[
    "/usr/lib/x86_64-linux-gnu/libc.a",
    "/usr/lib/aarch64-linux-gnu/libc.a",
    "/usr/lib64/libc.a",
    "/usr/lib/libc.a",
];

const BUILD: &[Need] = &[Need::program("cc", &["gcc"]), Need::file(STATIC_LIBC, &["libc6-dev"])];

const DEMO: &[Need] = &[
    Need::program("ip", &["iproute2"]),
    Need::program("nsenter", &["util-linux"]),
    Need::program("curl", &["curl"]),
    Need::program("iptables-save", &["iptables"]),
    Need::program("nft", &["nftables"]),
    Need::program("bpftool", &["bpftool"]),
];

const TEST: &[Need] = &[
    Need::program("unshare", &["util-linux"]),
    Need::program("wrk", &["wrk"]),
    Need::program("python3", &["python3"]),
    Need::program("script", &["bsdutils"]),
    Need::program("pgrep", &["procps"]),
    Need::program("prometheus", &["prometheus"]),
    Need::program("promtool", &["prometheus"]),
    Need::program("chromium-headless-shell", &["chromium-headless-shell"]),
    Need::program("openssl", &["openssl"]),
    Need::program("skopeo", &["skopeo"]),
    Need::program("busybox", &["busybox-static"]),
    Need::program("tcpdump", &["tcpdump"]),
    Need::program("tmux", &["tmux"]),
    Need::program("setfattr", &["attr"]),
    Need::program("dnsmasq", &["dnsmasq-base"]),
    Need::program("dig", &["bind9-dnsutils", "dnsutils"]),
    Need::program("docker", &["docker-cli", "docker.io"]),
    Need::program("docker-compose", &["docker-compose"]),
    Need::program("containerd", &["containerd"]),
    Need::program("podman", &["podman"]),
];

const VM: &[Need] = &[
    Need::program("qemu-system-x86_64", &["qemu-system-x86"]),
    Need::program("busybox", &["busybox-static"]),
    Need::program("depmod", &["kmod"]),
    Need::program("cpio", &["cpio"]),
    Need::program("xz", &["xz-utils"]),
];

const BENCH: &[Need] = &[
    Need::program("unshare", &["util-linux"]),
    Need::program("busybox", &["busybox-static"]),
    Need::program("docker", &["docker-cli", "docker.io"]),
];

/// What is measured beside Beeline.
const PEERS: &[Need] = &[
    Need::program("dockerd", &["docker.io"]),
    Need::program("podman", &["podman"]),
    Need::program("runc", &["runc"]),
    Need::program("crun", &["crun"]),
];

/// The peers that are not on the machine.
pub(crate) fn missing_peers() -> Vec<Need> {
    PEERS.iter().filter(|need| !need.is_met()).copied().collect()
}

/// The needs of `purpose` that the machine does not meet.
pub(crate) fn missing(purpose: Purpose) -> Vec<Need> {
    all(purpose).into_iter().filter(|need| !need.is_met()).collect()
}

fn all(purpose: Purpose) -> Vec<Need> {
    let groups: &[&[Need]] = match purpose {
        // The BPF toolchain has more than one way to be there: its module looks for itself.
        Purpose::Bpf => &[],
        Purpose::Build => &[BUILD],
        Purpose::Demo => &[BUILD, DEMO],
        Purpose::Test => &[BUILD, DEMO, TEST],
        Purpose::Vm => &[VM],
        Purpose::Bench => &[BUILD, DEMO, BENCH],
    };
    groups.concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_exists_is_not_missing() {
        assert!(Need::program("sh", &["dash"]).is_met());
        assert!(!Need::program("no-such-program", &["none"]).is_met());
    }

    #[test]
    fn any_of_the_files_will_do() {
        assert!(Need::file(&["/no/such/file", "/proc/self"], &["none"]).is_met());
        assert!(!Need::file(&["/no/such/file"], &["none"]).is_met());
    }

    #[test]
    fn the_tests_need_all_that_the_demo_needs() {
        let test: Vec<_> = all(Purpose::Test).iter().map(Need::name).collect();
        assert!(all(Purpose::Demo).iter().all(|need| test.contains(&need.name())));
    }
}
