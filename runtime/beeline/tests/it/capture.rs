//! `beeline capture`, read by tcpdump.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use beeline_testbed::command::{self, DEADLINE, Output};
use beeline_testbed::{CLIENT_ADDRESS, HOST_ADDRESS};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::bed::{Bed, binary};

/// A capture to a file that goes on.
struct Capturing {
    child: Child,
    file: PathBuf,
}

impl Capturing {
    /// Begins one, with further flags and the container in `args`.
    fn begin(bed: &Bed, name: &str, args: &[&str]) -> Self {
        let file = bed.dirs.path().join(name);
        let all = [&["capture", "-w", file.to_str().unwrap()], args].concat();
        let mut command = bed.beeline_command(&all);
        let child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        bed.eventually("the capture has begun", || {
            std::fs::metadata(&file).is_ok_and(|file| file.len() > 0).then_some(())
        });
        Self { child, file }
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }

    /// What it says when it ends by itself.
    fn ends(mut self) -> (String, PathBuf) {
        let status = command::wait(&mut self.child, DEADLINE).unwrap();
        let said = std::io::read_to_string(self.child.stderr.take().unwrap()).unwrap();
        assert!(status.success(), "{said}");
        (said.trim().to_owned(), self.file)
    }

    /// Ends it as Ctrl-C does.
    fn end(self) -> (String, PathBuf) {
        self.signal(Signal::SIGINT);
        self.ends()
    }
}

/// What tcpdump makes of a file.
fn tcpdump(file: &Path, args: &[&str]) -> String {
    let output = command::output(Command::new("tcpdump").arg("-nr").arg(file).args(args)).unwrap();
    assert!(output.status.success(), "{output}");
    output.text()
}

/// A shell line of a container's, such as one that reads the kernel's own figures there.
fn inside(bed: &Bed, container: &str, line: &str) -> String {
    let pid = bed.inspect(container, "{{.State.Pid}}");
    bed.in_host(&format!("nsenter --net=/proc/{pid}/ns/net sh -c '{line}'"))
}

/// How many packet sockets there are in a container's network.
fn sockets(bed: &Bed, container: &str) -> usize {
    inside(bed, container, "cat /proc/net/packet").lines().count() - 1
}

fn refused(output: &Output, why: &str) {
    assert!(!output.status.success() && output.stderr.contains(why), "{output}");
}

#[test]
fn a_capture_has_the_generators_packets_as_the_container_sees_them() {
    let Some(bed) = Bed::new() else { return };
    bed.docker_ok(&["run", "-d", "--name", "web", "-p", "8080:80", "-p", "8080:80/udp", "beeline/whoami"]);
    let udp =
        Capturing::begin(&bed, "udp", &["--proto", "udp", "--port", "80", "--host", CLIENT_ADDRESS, "web"]);
    let syn = Capturing::begin(&bed, "syn", &["--proto", "tcp", "-s", "64", "-c", "1", "web"]);
    bed.in_client(&format!(
        "python3 -c \"
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(10)
for i in range(30):
    s.sendto(b'number %d.' % i, ('{HOST_ADDRESS}', 8080))
    s.recvfrom(65536)\""
    ));
    bed.in_client(&format!("curl -sS --max-time 5 http://{HOST_ADDRESS}:8080/ >/dev/null"));

    let (said, file) = udp.end();
    assert_eq!(said, "beeline: 60 packets captured, 0 dropped by the kernel");
    let text = tcpdump(&file, &["-A"]);
    let address = bed.address("web");
    let to = format!("IP {CLIENT_ADDRESS}.");
    assert_eq!(
        text.lines()
            .filter(|line| line.contains(&to) && line.contains(&format!("> {address}.80: UDP")))
            .count(),
        30,
        "{text}"
    );
    assert_eq!(text.matches(&format!("IP {address}.80 > {CLIENT_ADDRESS}.")).count(), 30, "{text}");
    assert!((0..30).all(|number| text.contains(&format!("number {number}."))), "{text}");
    let bytes = String::from_utf8_lossy(&std::fs::read(&file).unwrap()).into_owned();
    assert!(bytes.contains("eth0") && bytes.contains("network bridge"), "interfaces have names");

    let (said, file) = syn.ends();
    assert_eq!(said, "beeline: 1 packet captured, 0 dropped by the kernel");
    let text = tcpdump(&file, &["-tttt", "--nano"]);
    assert!(text.contains(&format!("> {address}.80: Flags [S]")), "{text}");
    let fraction = text.split_whitespace().nth(1).unwrap().rsplit('.').next().unwrap();
    assert_eq!(fraction.len(), 9, "nanoseconds in {text}");
}

#[test]
fn twenty_thousand_packets_at_once_are_all_there() {
    let Some(bed) = Bed::new() else { return };
    bed.busybox();
    bed.docker_ok(&["run", "-d", "--name", "sink", "-p", "9000:9000/udp", "busybox", "sleep", "1000"]);
    let capturing = Capturing::begin(&bed, "all", &["--proto", "udp", "--port", "9000", "sink"]);
    bed.in_client(&format!(
        "python3 -c \"
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for i in range(20000):
    s.sendto(b'%d' % i, ('{HOST_ADDRESS}', 9000))\""
    ));
    // Nobody listens there, which the kernel counts for each that has come.
    let arrived = || {
        let snmp = inside(&bed, "sink", "grep ^Udp: /proc/net/snmp | tail -1");
        snmp.split(' ').nth(2).unwrap().parse::<u64>().unwrap()
    };
    assert!(arrived() > 10_000, "{}", arrived());
    let (said, file) = capturing.end();
    assert_eq!(said, format!("beeline: {} packets captured, 0 dropped by the kernel", arrived()));
    assert_eq!(tcpdump(&file, &[]).lines().count() as u64, arrived());
}

#[test]
fn a_capture_ends_with_its_client_and_leaves_nothing_in_the_container() {
    let Some(bed) = Bed::new() else { return };
    bed.docker_ok(&["run", "-d", "--name", "web", "-p", "8080:80", "beeline/whoami"]);
    let mut first = Capturing::begin(&bed, "first", &["web"]);
    let second = Capturing::begin(&bed, "second", &["web"]);
    assert_eq!(sockets(&bed, "web"), 2);
    first.signal(Signal::SIGKILL);
    first.child.wait().unwrap();
    bed.eventually("the socket of a killed client is closed", || (sockets(&bed, "web") == 1).then_some(()));
    second.end();
    bed.eventually("the socket is closed", || (sockets(&bed, "web") == 0).then_some(()));

    // A reader that has seen enough ends the capture, though no packet comes any more.
    let pipe = format!(
        "DOCKER_HOST={} {} capture web | head -c 60 | wc -c",
        bed.dirs.docker_host(),
        binary().display()
    );
    assert_eq!(bed.in_host(&pipe), "60");
    bed.eventually("the socket is closed", || (sockets(&bed, "web") == 0).then_some(()));
    let tasks = std::fs::read_dir(format!("/proc/{}/task", bed.daemon_pid())).unwrap();
    let names = tasks.map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")).unwrap());
    assert!(!names.collect::<String>().contains("beeline-capture"));
}

#[test]
fn a_capture_ends_with_its_container() {
    let Some(bed) = Bed::new() else { return };
    bed.docker_ok(&["run", "-d", "--name", "web", "beeline/whoami"]);
    let capturing = Capturing::begin(&bed, "web", &["web"]);
    bed.docker_ok(&["stop", "-t", "0", "web"]);
    let (said, file) = capturing.ends();
    assert!(said.ends_with("0 dropped by the kernel: container web has ended"), "{said}");
    tcpdump(&file, &[]);
    refused(&bed.beeline(&["capture", "-w", "x", "web"]), "is not running");
    refused(&bed.beeline(&["capture", "-w", "x", "nobody"]), "No such container: nobody");
}

#[test]
fn of_several_networks_all_are_captured_or_one() {
    let Some(bed) = Bed::new() else { return };
    bed.busybox();
    for network in ["front", "back"] {
        bed.docker_ok(&["network", "create", network]);
        bed.docker_ok(&["run", "-d", "--name", network, "--network", network, "beeline/whoami"]);
    }
    bed.docker_ok(&["run", "-d", "--name", "middle", "--network", "front", "busybox", "sleep", "1000"]);
    bed.docker_ok(&["network", "connect", "back", "middle"]);
    let all = Capturing::begin(&bed, "all", &["--proto", "icmp", "middle"]);
    let one = Capturing::begin(&bed, "one", &["--proto", "icmp", "--network", "back", "middle"]);
    bed.docker_ok(&[
        "exec",
        "middle",
        "sh",
        "-c",
        "ping -c 2 front && ping -c 2 back && ping -c 1 127.0.0.1",
    ]);
    let (said, file) = all.end();
    // What the loopback sends it receives: each of the two messages is there once.
    assert!(said.contains("10 packets captured"), "{said}\n{}", tcpdump(&file, &[]));
    let (said, file) = one.end();
    assert!(said.contains("4 packets captured"), "{said}\n{}", tcpdump(&file, &[]));

    let capturing = Capturing::begin(&bed, "left", &["--network", "back", "middle"]);
    bed.docker_ok(&["network", "disconnect", "back", "middle"]);
    let (said, _) = capturing.ends();
    assert!(said.contains("may have left the network"), "{said}");
    let elsewhere = bed.beeline(&["capture", "-w", "x", "--network", "back", "middle"]);
    refused(&elsewhere, "container middle is not on network back; it is on: front");

    bed.docker_ok(&["run", "-d", "--name", "open", "--network", "host", "busybox", "sleep", "1000"]);
    refused(&bed.beeline(&["capture", "-w", "x", "open"]), "has the host's network");
    let nothing = bed.beeline(&["capture", "-w", "x", "--proto", "icmp", "--port", "80", "middle"]);
    refused(&nothing, "ports are of tcp, udp and sctp");
}
