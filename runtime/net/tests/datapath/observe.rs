//! What is counted by control group, against a line of known delay and loss, and against the kernel's own counters.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::fs::MetadataExt as _,
    },
    path::{Path, PathBuf},
    process::{Child, Command},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use beeline_net::{Histogram, datapath::Observed};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrIn, bind, getsockname, listen, socket,
};

use crate::{
    relay::{FAR, Relay},
    topology::{Namespace, Topology, cgroup2, is_root},
    traffic::{PATIENCE, echo, tcp_server},
};

/// A control group that stands for a container's.
struct Group(PathBuf);

impl Group {
    fn new(tag: &str) -> Self {
        let path = cgroup2().join(format!("beeline-observe-{}-{tag}", std::process::id()));
        fs::create_dir(&path).expect("make a control group");
        Self(path)
    }

    fn below(&self) -> Self {
        let path = self.0.join("below");
        fs::create_dir(&path).expect("make a control group");
        Self(path)
    }

    fn number(&self) -> u64 {
        fs::metadata(&self.0).expect("the group").ino()
    }

    /// The group as the datapath is told of it.
    fn spec(&self) -> beeline_net::Group {
        beeline_net::Group { number: self.number(), block: None }
    }

    /// Does something while this process is in the group: sockets and processes that it makes are the group's.
    fn run<T>(&self, work: impl FnOnce() -> T) -> T {
        let own = fs::read_to_string("/proc/self/cgroup").expect("the own group");
        let own = own.lines().find_map(|line| line.strip_prefix("0::/")).expect("the own group").to_owned();
        enter(&self.0);
        let outcome = work();
        enter(&cgroup2().join(own));
        outcome
    }
}

fn enter(group: &Path) {
    fs::write(group.join("cgroup.procs"), "0").expect("enter the control group");
}

impl Drop for Group {
    fn drop(&mut self) {
        // Who has just ended is in it for a moment yet.
        let until = Instant::now() + PATIENCE;
        while fs::remove_dir(&self.0).is_err() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// A datapath that watches one group, and a namespace for its sockets.
struct Bed {
    group: Group,
    inside: Namespace,
    topology: Topology,
    // Tests that share a process change its group one after the other.
    _turn: MutexGuard<'static, ()>,
}

impl Bed {
    fn new() -> Option<Self> {
        static TURN: Mutex<()> = Mutex::new(());
        if !is_root() {
            return None;
        }
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let topology = Topology::new(0);
        let group = Group::new("a");
        topology.datapath().observe(&group.spec()).expect("observe");
        let inside = topology.namespace("o");
        Some(Self { group, inside, topology, _turn: turn })
    }

    /// Makes sockets of the group's, in its namespace.
    fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.group.run(|| self.inside.run(work))
    }

    fn observed(&self) -> Observed {
        self.topology.datapath().observed(self.group.number()).expect("read")
    }

    /// Waits for a figure.
    fn eventually(&self, what: &str, is_so: impl Fn(&Observed) -> bool) -> Observed {
        let until = Instant::now() + PATIENCE;
        loop {
            let observed = self.observed();
            if is_so(&observed) {
                return observed;
            }
            assert!(Instant::now() < until, "{what}: {observed:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// A counter that the kernel keeps for the namespace: all of its sockets are the group's.
    fn kernel(&self, name: &str) -> u64 {
        let files = ["snmp", "netstat"].map(|file| format!("/proc/thread-self/net/{file}"));
        let texts = self.inside.run(|| files.map(|file| fs::read_to_string(file).expect("counters")));
        let lines: Vec<&str> = texts.iter().flat_map(|text| text.lines()).collect();
        let found = lines.chunks(2).find_map(|pair| {
            let at = pair[0].split(' ').position(|word| word == name)?;
            pair[1].split(' ').nth(at)?.parse().ok()
        });
        found.unwrap_or_else(|| panic!("the kernel has no counter {name}"))
    }
}

fn count(histogram: &Histogram) -> u64 {
    histogram.counts.iter().sum()
}

/// A listening socket with a queue of this length.
fn listener(queue: i32) -> (OwnedFd, SocketAddr) {
    let listener =
        socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).expect("socket");
    bind(listener.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, 0)).expect("bind");
    listen(&listener, Backlog::new(queue).expect("a length")).expect("listen");
    let name: SockaddrIn = getsockname(listener.as_raw_fd()).expect("its address");
    (listener, (Ipv4Addr::LOCALHOST, name.port()).into())
}

#[test]
fn round_trips_and_connections_take_as_long_as_the_line_delays() {
    let Some(bed) = Bed::new() else { return };
    let far = bed.topology.namespace("f");
    let delay = Duration::from_millis(20);
    let Some(_line) = Relay::new(&bed.inside, &far, delay, Box::new(|_| false)) else {
        println!("skipped: needs /dev/net/tun");
        return;
    };
    let served = tcp_server(&far, 7000, 1);
    let mut stream = bed.run(|| TcpStream::connect((FAR, 7000)).expect("connect"));
    for _ in 0..20 {
        echo(&mut stream, 1000).expect("echo");
    }
    drop(stream);
    served.join().expect("server");
    let observed = bed.observed();
    // There and back, and what this machine takes more when it is busy.
    let (least, most) = (2 * delay.as_micros() as u64, 3 * delay.as_micros() as u64);
    for histogram in [observed.round_trips.expect("told"), observed.connects.expect("told")] {
        let mean = histogram.sum / count(&histogram);
        assert!((least..most).contains(&mean), "{mean} us: {histogram:?}");
        let shorter: u64 = histogram.counts[..Histogram::index(least)].iter().sum();
        assert_eq!(shorter, 0, "{histogram:?}");
    }
    assert!(count(&observed.round_trips.expect("told")) >= 20, "{observed:?}");
    assert_eq!(count(&observed.connects.expect("told")), 1);
    assert_eq!(observed.connections.expect("told").accepted, 0, "the server is no socket of the group's");
}

#[test]
fn what_the_line_loses_is_sent_again_and_counted_as_the_kernel_does() {
    let Some(bed) = Bed::new() else { return };
    let far = bed.topology.namespace("f");
    let mut full = 0;
    // Each tenth packet that carries data.
    let loses = move |packet: &[u8]| {
        full += u32::from(packet.len() > 1000);
        packet.len() > 1000 && full % 10 == 0
    };
    let Some(line) = Relay::new(&bed.inside, &far, Duration::from_millis(2), Box::new(loses)) else {
        println!("skipped: needs /dev/net/tun");
        return;
    };
    let server = far.run(|| TcpListener::bind((FAR, 7000)).expect("listen"));
    let served = std::thread::spawn(move || {
        let (mut stream, _) = server.accept().expect("accept");
        stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
        let mut all = Vec::new();
        stream.read_to_end(&mut all).expect("read");
        all.len()
    });
    let mut stream = bed.run(|| TcpStream::connect((FAR, 7000)).expect("connect"));
    stream.write_all(&[7; 300_000]).expect("send");
    drop(stream);
    assert_eq!(served.join().expect("server"), 300_000);
    let lost = line.end();
    let retransmits = bed.observed().retransmits.expect("told");
    assert!(lost >= 20 && retransmits >= lost, "{retransmits} were sent again, {lost} were lost");
    assert_eq!(retransmits, bed.kernel("RetransSegs"));
}

#[test]
fn connections_that_are_taken_refused_unanswered_and_given_up_are_told_apart() {
    let Some(bed) = Bed::new() else { return };
    let far = bed.topology.namespace("f");
    bed.inside.sysctl("net/ipv4/tcp_syn_retries", "1");
    let (listener, address) = bed.run(|| listener(16));
    let closed: SocketAddr = (Ipv4Addr::LOCALHOST, 9).into();
    bed.run(|| {
        for _ in 0..25 {
            TcpStream::connect(closed).expect_err("nobody listens");
        }
        for _ in 0..7 {
            TcpStream::connect(address).expect("connect");
        }
    });
    let observed = bed.observed();
    let connections = observed.connections.expect("told");
    assert_eq!((connections.refused, connections.accepted), (25, 7), "{observed:?}");
    assert_eq!(count(&observed.connects.expect("told")), 7);
    assert_eq!((connections.failed, connections.abandoned), (0, 0));
    drop(listener);

    let Some(_line) = Relay::new(&bed.inside, &far, Duration::ZERO, Box::new(|_| true)) else {
        println!("skipped: needs /dev/net/tun");
        return;
    };
    bed.run(|| {
        let silent: SocketAddr = (FAR.parse::<Ipv4Addr>().expect("address"), 7000).into();
        TcpStream::connect(silent).expect_err("nobody answers");
        TcpStream::connect_timeout(&silent, Duration::from_millis(100)).expect_err("nobody answers");
    });
    let observed = bed.eventually("both are over", |observed| {
        observed.connections.is_some_and(|all| (all.failed, all.abandoned) == (1, 1))
    });
    assert_eq!(observed.retransmits, Some(bed.kernel("RetransSegs")), "the SYN was sent again");
}

#[test]
fn a_reset_is_counted_where_it_is_sent_and_where_it_ends_a_connection() {
    let Some(bed) = Bed::new() else { return };
    let (client, server) = bed.run(|| {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("listen");
        let client = TcpStream::connect(listener.local_addr().expect("its address")).expect("connect");
        (client, listener.accept().expect("accept").0)
    });
    (&client).write_all(b"unread").expect("send");
    client.set_read_timeout(Some(PATIENCE)).expect("timeout");
    // What is closed over unread data answers with a reset.
    let mut first = [0; 1];
    (&server).read_exact(&mut first).expect("the data is there");
    drop(server);
    (&client).read_exact(&mut first).expect_err("reset");
    let observed = bed.observed();
    assert_eq!((observed.resets_sent, observed.resets_received), (Some(1), Some(1)), "{observed:?}");
}

#[test]
fn a_full_queue_is_counted_as_the_kernel_does() {
    let Some(bed) = Bed::new() else { return };
    let (_listener, address) = bed.run(|| listener(0));
    let connections: Vec<_> = bed.run(|| {
        let connect = |_| TcpStream::connect_timeout(&address, Duration::from_millis(200));
        (0..5).map(connect).collect()
    });
    assert!(connections.iter().any(Result::is_err), "the queue has room for five: {connections:?}");
    let Some(overflows) = bed.observed().overflows else {
        println!("skipped: this kernel lets no function be watched");
        return;
    };
    assert!(overflows >= 3, "{overflows}");
    assert_eq!(overflows, bed.kernel("ListenOverflows"));
}

#[test]
fn who_takes_no_more_data_is_asked_and_that_is_counted_as_the_kernel_does() {
    let Some(bed) = Bed::new() else { return };
    let (client, _server) = bed.run(|| {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("listen");
        let client = TcpStream::connect(listener.local_addr().expect("its address")).expect("connect");
        (client, listener.accept().expect("accept").0)
    });
    if bed.observed().window_probes.is_none() {
        println!("skipped: this kernel lets no function be watched");
        return;
    }
    client.set_nonblocking(true).expect("nonblocking");
    while (&client).write(&[7; 65536]).is_ok() {}
    bed.eventually("three probes", |observed| observed.window_probes >= Some(3));
    // Both are read between two probes, of which each comes twice as late as the one before.
    let (ours, kernels) = (bed.observed().window_probes, bed.kernel("TCPWinProbe"));
    assert_eq!(ours, Some(kernels));
}

#[test]
fn programs_and_processes_are_counted_also_those_of_a_group_below() {
    let Some(bed) = Bed::new() else { return };
    let run = || assert!(Command::new("true").status().expect("true(1)").success());
    bed.group.run(|| (0..7).for_each(|_| run()));
    let below = bed.group.below();
    below.run(|| (0..3).for_each(|_| run()));
    run();
    let observed = bed.observed();
    assert_eq!((observed.execs, observed.exits), (Some(10), Some(10)));
    let (_listener, address) = below.run(|| listener(16));
    below.run(|| TcpStream::connect(address)).expect("connect");
    assert_eq!(bed.observed().connections.expect("told").accepted, 1);
}

/// The nanoseconds that a process waited for a processor, as the kernel knows it.
fn waited(process: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{process}/schedstat")).expect("schedstat");
    text.split(' ').nth(1).and_then(|word| word.parse().ok()).expect("a delay")
}

#[test]
fn the_wait_for_a_processor_is_the_kernels_own_figure() {
    let Some(mut bed) = Bed::new() else { return };
    assert_eq!(bed.observed().run_queue, None, "nobody asked for it");
    bed.topology.open_to_watch();
    bed.topology.datapath().observe(&bed.group.spec()).expect("observe");
    // Two that never rest on one processor: each waits for the other.
    let burn = || Command::new("taskset").args(["-c", "0", "sh", "-c", "while :; do :; done"]).spawn();
    let mut burners = bed.group.run(|| [burn().expect("spawn"), burn().expect("spawn")]);
    std::thread::sleep(Duration::from_millis(500));
    let ours = |bed: &Bed| bed.observed().run_queue.expect("told").sum;
    let kernels = |burners: &[Child; 2]| {
        burners.each_ref().map(|burner| waited(burner.id())).iter().sum::<u64>() / 1000
    };
    let before = (ours(&bed), kernels(&burners));
    std::thread::sleep(Duration::from_secs(3));
    let (ours, kernels) = (ours(&bed) - before.0, kernels(&burners) - before.1);
    for burner in &mut burners {
        burner.kill().expect("end");
        burner.wait().expect("end");
    }
    // One of the two waits at any time, at the least; a wait that goes on is in neither figure, or in one.
    assert!(kernels >= 2_000_000, "{kernels} us");
    assert!(ours.abs_diff(kernels) <= kernels / 20 + 50_000, "{ours} us, and {kernels} us by the kernel");
    let runs = bed.topology.datapath().program_runs().expect("read");
    let switched = runs.iter().find(|program| program.name == "thread_switched").expect("it is loaded");
    assert!(switched.runs > 100 && !switched.run_time.is_zero(), "{switched:?}");
}

#[test]
fn the_next_daemon_takes_over_the_programs_also_where_the_kernel_does_not_take_all() {
    let Some(mut bed) = Bed::new() else { return };
    let numbers = |bed: &Bed| -> Vec<u32> {
        bed.topology.datapath().programs().expect("programs").iter().map(|program| program.id).collect()
    };
    let before = numbers(&bed);
    bed.topology.open();
    assert_eq!(numbers(&bed), before);
}

#[test]
fn figures_outlive_the_daemon_and_end_with_their_group() {
    let Some(mut bed) = Bed::new() else { return };
    let connect = |bed: &Bed| {
        bed.run(|| TcpStream::connect((Ipv4Addr::LOCALHOST, 9)).expect_err("nobody listens"));
    };
    let refused = |bed: &Bed| bed.observed().connections.map(|connections| connections.refused);
    connect(&bed);
    bed.topology.close();
    connect(&bed);
    bed.topology.open();
    let spec = bed.group.spec();
    bed.topology.datapath().observe_only(&[spec]).expect("keep");
    assert_eq!(refused(&bed), Some(2), "also what no daemon saw");
    bed.topology.reload();
    connect(&bed);
    assert_eq!(refused(&bed), Some(3), "once, with the programs of another daemon");
    bed.topology.datapath().observe_only(&[]).expect("keep nothing");
    connect(&bed);
    assert_eq!(bed.observed(), Observed::default());
}
