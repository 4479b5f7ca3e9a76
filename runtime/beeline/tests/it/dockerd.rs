//! The same image in dockerd and here, side by side: what a container may do there it may here, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use beeline_testbed::command::{self, eventually, text};
use beeline_testbed::{Directories, Topology, sweep};

use crate::bed::{Bed, image_cache};

/// Makes every system call of x86_64 that returns, each in a process of its own with arguments that no call takes, then
/// those whose arguments decide: families of sockets, personalities, and namespaces by unshare and clone. Prints the number,
/// the first argument, and the error.
const CALLS: &str = r#"
$| = 1;
my %stays = map { $_ => 1 } (15, 34, 57, 58, 60, 162, 219, 231);
my @calls = map { [$_, (-1) x 6] } grep { !$stays{$_} } 0 .. 469;
push @calls, map { [41, $_, 1, 0] } 0 .. 46;
push @calls, map { [135, $_] } 0, 8, 0x20000, 0x20008, 0xffffffff, 1, 0x40000;
push @calls, map { [272, 1 << $_] } 7, 17, 25 .. 30;
push @calls, map { [56, 1 << $_, 0, 0, 0, 0] } 17, 25 .. 30;
for my $call (@calls) {
    pipe my $read, my $write or die;
    my $child = fork // die;
    if (!$child) {
        $! = 0;
        my $answer = syscall($call->[0], @{$call}[1 .. $#$call]);
        syswrite $write, $answer == -1 ? $! + 0 : 'done';
        syscall(231, 0);
    }
    close $write;
    my ($ready, $said) = ('', 'waits');
    vec($ready, fileno($read), 1) = 1;
    sysread $read, $said, 16 if select($ready, undef, undef, 2);
    kill 9, $child;
    waitpid $child, 0;
    print "$call->[0] $call->[1] $said\n";
}
"#;

/// Calls that Docker's default profile has treated otherwise since the oldest dockerd that this test meets (20.10), by their
/// numbers on x86_64.
const CHANGED: [(&[u32], &str); 4] = [
    (&[303, 329, 330, 331], "name_to_handle_at and protection keys are allowed"),
    (&[310, 311], "reading and writing other processes' memory is allowed where tracing is"),
    (&[425, 426, 427], "io_uring is refused"),
    (&[41], "sockets of the families ALG and VSOCK are refused"),
];

/// From this number on calls are newer than the library that makes dockerd's filter: then it answers that there is no such
/// call (ENOSYS).
const NEW: u32 = 450;

/// dockerd in a network and a mount namespace of its own.
struct Dockerd {
    child: Child,
    topology: Topology,
    directories: Directories,
}

impl Dockerd {
    /// Starts it and waits until it answers; `None` where there is none.
    fn start() -> Option<Self> {
        let found = Command::new("dockerd").arg("--version").stdout(Stdio::null()).status();
        if !found.is_ok_and(|status| status.success()) {
            eprintln!("skipped: no dockerd to compare with");
            return None;
        }
        let topology = Topology::create("dockerd").unwrap();
        let directories = Directories::create().unwrap();
        let mut command = topology.host.command("unshare");
        command.args(["--mount", "--propagation", "private", "--", "dockerd"]);
        for (flag, path) in [
            ("--data-root", directories.root()),
            ("--exec-root", directories.path().join("exec")),
            ("--pidfile", directories.path().join("pid")),
            ("--config-file", directories.config()),
        ] {
            command.arg(flag).arg(path);
        }
        std::fs::create_dir_all(directories.run()).unwrap();
        command.args(["--bridge", "none", "--iptables=false", "--ip6tables=false"]);
        command.args(["--host", &directories.docker_host()]);
        command.args(["--cgroup-parent", &format!("/beeline/{}", topology.instance)]);
        let log = File::create(directories.path().join("dockerd.log")).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let dockerd = Self { child: command.spawn().unwrap(), topology, directories };
        eventually("dockerd answers", Duration::from_secs(60), || {
            text(dockerd.docker().args(["version"])).ok()
        })
        .unwrap();
        Some(dockerd)
    }

    fn docker(&self) -> Command {
        let mut command = self.topology.host.command("docker");
        command.env("DOCKER_HOST", self.directories.docker_host()).env_remove("DOCKER_CONTEXT");
        command
    }

    #[track_caller]
    fn docker_ok(&self, args: &[&str]) -> String {
        text(self.docker().args(args)).unwrap()
    }
}

impl Drop for Dockerd {
    fn drop(&mut self) {
        let ended = Command::new("kill").arg(self.child.id().to_string()).status();
        if ended.is_ok_and(|status| status.success()) {
            // What does not end is swept.
            let _ = command::wait(&mut self.child, Duration::from_secs(30));
        }
        sweep(&self.topology, &self.directories);
    }
}

/// What the same command prints in dockerd's container and in ours.
fn both(bed: &Bed, dockerd: &Dockerd, flags: &[&str], command: &[&str]) -> [String; 2] {
    let args = [&["run", "--rm", "--network", "none"], flags, &["perl"], command].concat();
    [dockerd.docker_ok(&args), bed.docker_ok(&args)]
}

/// The answers of [`CALLS`] by call and first argument.
fn answers(printed: &str) -> BTreeMap<(u32, &str), &str> {
    let line = |line| -> Option<_> {
        let mut words = str::split(line, ' ');
        Some(((words.next()?.parse().ok()?, words.next()?), words.next()?))
    };
    printed.lines().map(|text| line(text).unwrap_or_else(|| panic!("{text}"))).collect()
}

#[cfg(target_arch = "x86_64")]
#[test]
fn a_container_may_do_what_dockerds_may_and_nothing_else() {
    let Some(bed) = Bed::new() else { return };
    let Some(dockerd) = Dockerd::start() else { return };
    bed.debian("perl", &["perl-base"]);
    let archive = beeline_testbed::debian_tar(&image_cache(), "perl", &["perl-base"]).unwrap();
    dockerd.docker_ok(&["import", &archive.display().to_string(), "perl"]);

    let status = ["perl", "-ne", "print if /^(Cap|NoNewPrivs|Seccomp:)/", "/proc/self/status"];
    for flags in [
        &[][..],
        &["--user", "33"],
        &["--cap-drop", "ALL"],
        &["--cap-drop", "CHOWN", "--cap-add", "NET_ADMIN"],
        &["--security-opt", "no-new-privileges"],
        &["--security-opt", "seccomp=unconfined"],
    ] {
        let [theirs, ours] = both(&bed, &dockerd, flags, &status);
        assert_eq!(ours, theirs, "{flags:?}");
    }

    // What is hidden, and what is read-only. Newer versions hide more.
    let kernels = "print map { (split)[1] . ((split)[3] =~ /^ro/ ? ' ro' : '') . \"\\n\" } \
                   grep { (split)[1] =~ m{^/(proc|sys)} && (split)[1] !~ /cgroup/ } <>";
    let [theirs, ours] = both(&bed, &dockerd, &[], &["perl", "-e", kernels, "/proc/self/mounts"]);
    let ours: BTreeSet<&str> = ours.lines().collect();
    for line in theirs.lines() {
        // Their masks are read-only by what they are of, ours by their mount.
        let place = line.trim_end_matches(" ro");
        assert!(ours.contains(line) || ours.contains(place) && line == place, "{line} in {ours:?}");
    }

    let [theirs, ours] = both(&bed, &dockerd, &[], &["perl", "-e", CALLS]);
    let (theirs, ours) = (answers(&theirs), answers(&ours));
    assert!(theirs.len() > 500 && theirs.keys().eq(ours.keys()), "{} {}", theirs.len(), ours.len());
    let known = |call: u32, answer: &str| {
        CHANGED.iter().any(|(calls, _)| calls.contains(&call)) || call >= NEW && answer == "38"
    };
    let other = theirs.iter().filter(|(at, answer)| ours[*at] != **answer && !known(at.0, answer));
    let other: Vec<_> = other.map(|(at, answer)| (at, *answer, ours[at])).collect();
    assert!(other.is_empty(), "call and argument, dockerd's answer, ours: {other:?}");
}
