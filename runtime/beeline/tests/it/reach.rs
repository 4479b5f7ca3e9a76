//! Who reaches a published port, by what, and as whom: one table.

use std::process::Command;

use beeline_testbed::{CLIENT_ADDRESS, HOST_ADDRESS, command};

use crate::bed::Bed;
use crate::process::{Ended, within};

/// The host's and the client's IPv6 addresses, and those of the gateways of both networks and of their containers.
const HOST6: &str = "2001:db8:1::1";
const CLIENT6: &str = "2001:db8:1::2";
const GATEWAY: [&str; 2] = ["10.97.0.1", "fd00:97::1"];
const WEB: [&str; 2] = ["10.97.0.2", "fd00:97::2"];
const PEER: [&str; 2] = ["10.97.0.3", "fd00:97::3"];
const APART: [&str; 2] = ["10.98.0.2", "fd00:98::2"];

const PORT: u16 = 8080;

/// Asks as each of its arguments says, HOW,FROM,TO,PORT, and prints as whom the server saw it, and who the socket says has
/// answered.
const PROBE: &str = "import socket,sys\n\
    kinds={'tcp':(1,6),'udp':(2,17),'udp-connected':(2,17),'sctp':(1,132)}\n\
    def ask(how,source,to,port):\n \
     s=socket.socket(socket.AF_INET6 if ':' in to else socket.AF_INET,*kinds[how])\n \
     s.settimeout(3)\n \
     if source: s.bind((source,0))\n \
     if how=='udp':\n  \
      s.sendto(b'hello',(to,port))\n  \
      text,peer=s.recvfrom(4000)\n \
     else:\n  \
      s.connect((to,port))\n  \
      s.send(b'GET / HTTP/1.0\\r\\n\\r\\n')\n  \
      text,part=b'',b'x'\n  \
      while part and b'RemoteAddr: ' not in text:\n   \
       part=s.recv(4000)\n   \
       text+=part\n  \
      peer=s.getpeername()\n \
     seen=text.decode().split('RemoteAddr: ')[1].split('\\n')[0].rsplit(':',1)[0].strip('[]')\n \
     return f'{seen} {peer[0]} {peer[1]}'\n\
    for line in sys.argv[1:]:\n \
     how,source,to,port=line.split(',')\n \
     try: print(line,ask(how,source,to,int(port)))\n \
     except OSError as e: print(line,e)";

/// A server of SCTP that tells its client's address.
const SCTP: &str = "import socket\n\
    s=socket.socket(socket.AF_INET6,socket.SOCK_STREAM,132)\n\
    s.setsockopt(socket.IPPROTO_IPV6,socket.IPV6_V6ONLY,0)\n\
    s.bind(('::',80))\n\
    s.listen()\n\
    while True:\n \
     c,peer=s.accept()\n \
     c.recv(100)\n \
     c.send(f'RemoteAddr: {peer[0].removeprefix(\"::ffff:\")}:{peer[1]}\\n'.encode())";

/// A group of ways to ask: which destinations, from which bound address, and as whom the container sees it.
struct Ways<'a> {
    to: &'a [&'a str],
    from: &'a str,
    port: u16,
    seen_as: &'a str,
}

impl<'a> Ways<'a> {
    fn published(to: &'a [&'a str], seen_as: &'a str) -> Self {
        Self { to, from: "", port: PORT, seen_as }
    }

    fn bound(to: &'a [&'a str], from: &'a str, seen_as: &'a str) -> Self {
        Self { from, ..Self::published(to, seen_as) }
    }

    fn direct(to: &'a [&'a str], seen_as: &'a str) -> Self {
        Self { port: 80, ..Self::published(to, seen_as) }
    }
}

/// Asks in every way by each of the protocols; each must be answered, by the one that was asked.
#[track_caller]
fn all_answered(who: &str, mut python: Command, ways: &[Ways<'_>], protocols: &[&str]) {
    let (mut asked, mut expected) = (Vec::new(), Vec::new());
    for Ways { to, from, port, seen_as } in ways {
        for (to, how) in to.iter().flat_map(|to| protocols.iter().map(move |how| (to, how))) {
            asked.push(format!("{how},{from},{to},{port}"));
            expected.push(format!("{how},{from},{to},{port} {seen_as} {to} {port}"));
        }
    }
    let output = command::output(python.args(["-c", PROBE]).args(asked)).unwrap();
    let answers: Vec<String> = output.text().lines().map(str::to_owned).collect();
    assert_eq!(answers, expected, "{who}: {output}");
}

/// A bed with both families on its uplink; `web`, published, and `peer` on one network, `apart` on another.
fn bed() -> Option<Bed> {
    let bed = Bed::new()?;
    bed.in_host(&format!("ip address add {HOST6}/64 dev up0 nodad"));
    bed.in_client(&format!("ip address add {CLIENT6}/64 dev net0 nodad"));
    for (network, number) in [("one", 97), ("two", 98)] {
        let (v4, v6) = (format!("10.{number}.0.0/24"), format!("fd00:{number}::/64"));
        bed.docker_ok(&["network", "create", "--ipv6", "--subnet", &v4, "--subnet", &v6, network]);
    }
    let ports = ["-p", "8080:80", "-p", "8080:80/udp", "-p", "8080:80/sctp"];
    for (name, network, [v4, v6], ports) in
        [("web", "one", WEB, &ports[..]), ("peer", "one", PEER, &[]), ("apart", "two", APART, &[])]
    {
        let place = ["--network", network, "--ip", v4, "--ip6", v6];
        bed.docker_ok(&[&["run", "-d", "--name", name][..], &place, ports, &["beeline/whoami"]].concat());
    }
    bed.eventually("the address of both families is known", || {
        let probe = format!("udp,,{HOST6},{PORT}");
        let mut python = bed.topology.client.command("python3");
        command::output(python.args(["-c", PROBE, &probe])).unwrap().text().contains(CLIENT6).then_some(())
    });
    Some(bed)
}

#[test]
fn everybody_reaches_a_published_port_by_every_address_it_has_for_them() {
    let Some(bed) = bed() else { return };
    let protocols = ["tcp", "udp", "udp-connected"];
    let client = bed.topology.client.command("python3");
    let outside = [Ways::published(&[HOST_ADDRESS], CLIENT_ADDRESS), Ways::published(&[HOST6], CLIENT6)];
    all_answered("outside", client, &outside, &protocols);

    let host = bed.topology.host.command("python3");
    // An IPv6 socket that speaks IPv4 does so by v4-mapped addresses.
    let mapped: Vec<String> =
        ["127.0.0.1", HOST_ADDRESS, GATEWAY[0]].map(|address| format!("::ffff:{address}")).into();
    let mapped: Vec<&str> = mapped.iter().map(String::as_str).collect();
    let own = [
        Ways::published(&["127.0.0.1", "127.0.0.53", HOST_ADDRESS, GATEWAY[0], "10.98.0.1"], GATEWAY[0]),
        Ways::published(&["::1", HOST6, GATEWAY[1], "fd00:98::1"], GATEWAY[1]),
        Ways::published(&mapped, GATEWAY[0]),
        Ways::bound(&["127.0.0.1"], "127.0.0.1", GATEWAY[0]),
        Ways::bound(&["::1"], "::1", GATEWAY[1]),
        Ways::bound(&mapped[..1], "::ffff:127.0.0.1", GATEWAY[0]),
        Ways::direct(&WEB[..1], GATEWAY[0]),
        Ways::direct(&WEB[1..], GATEWAY[1]),
    ];
    all_answered("the host", host, &own, &protocols);

    containers_reach_it(&bed, &protocols);
}

/// Containers of the same network, of another, and the one that is asked.
fn containers_reach_it(bed: &Bed, protocols: &[&str]) {
    let near = [
        Ways::direct(&WEB[..1], PEER[0]),
        Ways::direct(&WEB[1..], PEER[1]),
        Ways::published(&[HOST_ADDRESS, GATEWAY[0]], PEER[0]),
        Ways::published(&[HOST6, GATEWAY[1]], PEER[1]),
    ];
    all_answered("the same network", within(bed, "peer", "python3"), &near, protocols);
    let apart = [
        Ways::published(&[HOST_ADDRESS, GATEWAY[0], "10.98.0.1"], APART[0]),
        Ways::published(&[HOST6, GATEWAY[1], "fd00:98::1"], APART[1]),
    ];
    all_answered("another network", within(bed, "apart", "python3"), &apart, protocols);
    // Its own address would not come back to it: the gateway stands in.
    let itself = [
        Ways::published(&[HOST_ADDRESS, GATEWAY[0]], GATEWAY[0]),
        Ways::published(&[HOST6, GATEWAY[1]], GATEWAY[1]),
    ];
    all_answered("itself", within(bed, "web", "python3"), &itself, protocols);
}

#[test]
fn everybody_but_the_host_reaches_a_published_sctp_port() {
    let Some(bed) = bed() else { return };
    let mut has_sctp = bed.topology.client.command("python3");
    let has_sctp =
        has_sctp.args(["-c", "import socket; socket.socket(socket.AF_INET,socket.SOCK_STREAM,132)"]);
    if !command::output(has_sctp).unwrap().status.success() {
        eprintln!("skipped: this kernel has no SCTP");
        return;
    }
    let mut server = within(&bed, "web", "python3");
    server.args(["-c", SCTP]);
    let _server = Ended::start(server);
    let (client, host) = (bed.topology.client.command("python3"), bed.topology.host.command("python3"));
    bed.eventually("the server listens", || {
        let mut python = within(&bed, "peer", "python3");
        let probe = format!("sctp,,{},80", WEB[0]);
        command::output(python.args(["-c", PROBE, &probe])).unwrap().text().contains(PEER[0]).then_some(())
    });
    let outside = [Ways::published(&[HOST_ADDRESS], CLIENT_ADDRESS), Ways::published(&[HOST6], CLIENT6)];
    all_answered("outside", client, &outside, &["sctp"]);
    // The kernel runs no program when a socket of SCTP connects: the host has the container's own address.
    let direct = [Ways::direct(&WEB[..1], GATEWAY[0]), Ways::direct(&WEB[1..], GATEWAY[1])];
    all_answered("the host", host, &direct, &["sctp"]);
    containers_reach_it(&bed, &["sctp"]);
}
