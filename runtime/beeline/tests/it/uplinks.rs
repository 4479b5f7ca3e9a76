//! Several ways outside: a packet leaves by the one that the host's routes and rules say, under that one's address, also
//! while ways and addresses come and go.

use std::fs;
use std::process::Command;

use beeline_testbed::{CLIENT_ADDRESS, HOST_ADDRESS};

use crate::bed::{Bed, shell};
use crate::outside::{PORT, SIDE, SIDE_HOST, Side, address_and_up, is_answered, run, serve};
use crate::process::{Ended, within};

/// Both families' addresses on the bed's own uplink: the host's and the client's.
const HOST: [&str; 2] = [HOST_ADDRESS, "2001:db8:1::1"];
const CLIENT: [&str; 2] = [CLIENT_ADDRESS, "2001:db8:1::2"];

/// Addresses that whoever is asked has: who answers tells which way the question went.
const ANYCAST: [&str; 2] = ["203.0.113.7", "2001:db8:7::7"];

/// A bed with both families on its uplink, a server behind it, and a container `web` on a network of both families.
fn bed() -> Option<(Bed, Ended)> {
    let bed = Bed::new()?;
    bed.in_host(&format!(
        "ip address add {}/64 dev up0 nodad && ip -6 route add default via {}",
        HOST[1], CLIENT[1]
    ));
    bed.in_client(&format!("ip address add {}/64 dev net0 nodad", CLIENT[1]));
    for address in ANYCAST {
        bed.in_client(&format!("ip address add {address} dev lo"));
    }
    let server = serve(&bed.topology.client);
    let subnets = ["--subnet", "10.97.0.0/24", "--subnet", "fd00:97::/64"];
    bed.docker_ok(&[&["network", "create", "--ipv6"][..], &subnets, &["both"]].concat());
    let ports = ["-p", "8080:80", "-p", "8080:80/udp"];
    bed.docker_ok(
        &[&["run", "-d", "--name", "web", "--network", "both"][..], &ports, &["beeline/whoami"]].concat(),
    );
    Some((bed, server))
}

/// Waits until a container's questions take this way.
#[track_caller]
fn eventually_answered(bed: &Bed, container: &str, address: &str, by: &str, seen_as: &str) {
    let mut last = Ok(());
    bed.eventually(&format!("{container} is answered by {by} as {seen_as}"), || {
        last = is_answered(bed, container, address, by, seen_as);
        if let Err(answer) = &last {
            eprintln!("{answer}");
        }
        last.is_ok().then_some(())
    });
}

/// What a client with this address sees at a published port.
fn published(side: &beeline_testbed::NetNs, from: &str, to: &str) -> Option<String> {
    let to = if to.contains(':') { format!("[{to}]") } else { to.to_owned() };
    let line = format!("curl -sS -g --max-time 2 --interface {from} http://{to}:8080/");
    let output = shell(side.command("sh"), &line);
    output.status.success().then(|| output.text())
}

#[test]
fn each_uplink_carries_its_own_address_and_what_is_published_answers_by_all_of_them() {
    let Some((bed, _server)) = bed() else { return };
    let side = Side::join(&bed, &[]);
    for family in 0..2 {
        eventually_answered(&bed, "web", SIDE[family], SIDE[family], SIDE_HOST[family]);
        is_answered(&bed, "web", CLIENT[family], CLIENT[family], HOST[family]).unwrap();
        for (netns, from, to) in [
            (&side.netns, SIDE[family], SIDE_HOST[family]),
            (&bed.topology.client, CLIENT[family], HOST[family]),
        ] {
            let answer = published(netns, from, to).unwrap_or_default();
            assert!(answer.contains(from), "{from} to {to} is seen as itself: {answer}");
        }
    }
    // A port of one address is open there alone.
    let publish = format!("{}:8081:80", SIDE_HOST[0]);
    bed.docker_ok(&["run", "-d", "--name", "one", "-p", &publish, "beeline/whoami"]);
    let curl = |address: &str| format!("curl -sS --max-time 2 http://{address}:8081/");
    assert!(run(&side.netns, &curl(SIDE_HOST[0])).contains("Hostname"));
    assert!(bed.in_host(&curl(SIDE_HOST[0])).contains("Hostname"));
    let refused = shell(bed.topology.client.command("sh"), &curl(HOST_ADDRESS));
    assert_eq!(refused.code(), 7, "connection refused: {refused}");
    bed.in_host("ip link delete up1");
}

#[test]
fn a_rule_by_source_is_about_the_container_and_answers_leave_by_the_address_that_was_asked() {
    let Some((bed, _server)) = bed() else { return };
    let side = Side::join(&bed, &ANYCAST);
    for (family, rule) in ["ip", "ip -6"].into_iter().enumerate() {
        is_answered(&bed, "web", ANYCAST[family], CLIENT[family], HOST[family]).unwrap();
        // Who asks an address of the side's is answered there, whatever the main table says of the asker.
        bed.in_host(&format!("{rule} route add default via {} table 77", SIDE[family]));
        assert_eq!(
            published(&side.netns, ANYCAST[family], SIDE_HOST[family]),
            None,
            "the answer goes astray"
        );
        bed.in_host(&format!("{rule} rule add from {} lookup 77", SIDE_HOST[family]));
        let answer = published(&side.netns, ANYCAST[family], SIDE_HOST[family]).unwrap_or_default();
        assert!(answer.contains(&format!("RemoteAddr: {}", bracketed(ANYCAST[family]))), "{answer}");
        is_answered(&bed, "web", ANYCAST[family], CLIENT[family], HOST[family]).unwrap();
        // A network of one's own sends all it has to say by the side: the first packet of a flow and all that follow.
        let subnet = ["10.97.0.0/24", "fd00:97::/64"][family];
        bed.in_host(&format!("{rule} rule add from {subnet} lookup 77"));
        is_answered(&bed, "web", ANYCAST[family], SIDE[family], SIDE_HOST[family]).unwrap();
        bed.in_host(&format!("{rule} rule delete from {subnet}"));
        is_answered(&bed, "web", ANYCAST[family], CLIENT[family], HOST[family]).unwrap();
    }
    bed.in_host("ip link delete up1");
}

fn bracketed(address: &str) -> String {
    if address.contains(':') { format!("[{address}]") } else { address.to_owned() }
}

/// A socket in a container's namespace that asks the client outside five times a second, for ever, and keeps in a file as
/// whom it was last seen.
fn asker(bed: &Bed, container: &str, told: &std::path::Path) -> Ended {
    let script = format!(
        "import socket,time\ns=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\ns.connect(('{CLIENT_ADDRESS}',{PORT}))\n\
         s.settimeout(0.2)\nwhile True:\n try:\n  s.send(b'x')\n  seen=s.recv(2000).split(b'RemoteAddr: ')[1].split(b':')[0]\n  \
         open('{}','wb').write(seen)\n except OSError: pass\n time.sleep(0.2)",
        told.display()
    );
    let mut command = within(bed, container, "python3");
    command.args(["-c", &script]);
    Ended::start(command)
}

#[test]
fn a_flow_whose_address_is_gone_goes_on_under_the_next_one() {
    let Some((bed, _server)) = bed() else { return };
    let refused = bed.docker(&["run", "-d", "-p", "192.0.2.9:8081:80", "beeline/whoami"]);
    assert!(refused.to_string().contains("192.0.2.9"), "not yet an address of the host: {refused}");
    let told = bed.dirs.path().join("seen");
    let _asker = asker(&bed, "web", &told);
    let seen_as = |address: &str| {
        bed.eventually(&format!("it is seen as {address}"), || {
            (fs::read_to_string(&told).unwrap_or_default() == address).then_some(())
        });
    };
    seen_as(HOST_ADDRESS);
    bed.in_host("ip address add 192.0.2.9/25 dev up0");
    bed.docker_ok(&["run", "-d", "--name", "late", "-p", "192.0.2.9:8081:80", "beeline/whoami"]);
    for port in [8080, 8081] {
        let curl = format!("curl -sS --max-time 2 http://192.0.2.9:{port}/");
        bed.eventually("the new address answers", || {
            shell(bed.topology.client.command("sh"), &curl).text().contains("Hostname").then_some(())
        });
    }
    seen_as(HOST_ADDRESS);
    bed.in_host(&format!("ip address delete {HOST_ADDRESS}/24 dev up0"));
    seen_as("192.0.2.9");
    bed.in_host(&format!("ip address add {HOST_ADDRESS}/24 dev up0"));
    eventually_answered(&bed, "late", CLIENT_ADDRESS, CLIENT_ADDRESS, "192.0.2.9");
}

#[test]
fn an_uplink_that_appears_takes_its_routes_packets_and_one_that_goes_gives_them_back() {
    let Some((bed, _server)) = bed() else { return };
    for turn in 0..2 {
        let [v4, v6] = ANYCAST;
        is_answered(&bed, "web", v4, CLIENT[0], HOST[0]).unwrap_or_else(|error| panic!("{turn}: {error}"));
        let side = Side::join(&bed, &ANYCAST);
        bed.in_host(&format!("ip route add {v4} via {} && ip route add {v6} via {}", SIDE[0], SIDE[1]));
        eventually_answered(&bed, "web", v4, SIDE[0], SIDE_HOST[0]);
        eventually_answered(&bed, "web", v6, SIDE[1], SIDE_HOST[1]);
        assert!(published(&side.netns, SIDE[0], SIDE_HOST[0]).is_some(), "{}", bed.dirs.log());
        bed.in_host("ip link delete up1");
        eventually_answered(&bed, "web", v4, CLIENT[0], HOST[0]);
        eventually_answered(&bed, "web", v6, CLIENT[1], HOST[1]);
    }
}

/// Carries bare IP packets between a tun device of the host's and one of another namespace, as a tunnel does.
fn tunnel(bed: &Bed, far: &beeline_testbed::NetNs) -> Ended {
    const SCRIPT: &str = "import ctypes,fcntl,os,select,struct,sys\n\
        def tun(netns):\n \
         assert ctypes.CDLL(None).setns(os.open(netns,os.O_RDONLY),0x40000000)==0\n \
         fd=os.open('/dev/net/tun',os.O_RDWR)\n \
         fcntl.ioctl(fd,0x400454ca,struct.pack('16sH22x',b'tun0',0x1001))\n \
         return fd\n\
        a,b=[tun(path) for path in sys.argv[1:]]\n\
        while True:\n \
         for fd in select.select([a,b],[],[])[0]:\n  \
          try: os.write(b if fd==a else a,os.read(fd,65536))\n  \
          except OSError: pass";
    let mut command = Command::new("python3");
    command.args(["-c", SCRIPT]).arg(bed.topology.host.path()).arg(far.path());
    Ended::start(command)
}

#[test]
fn a_tunnel_without_ethernet_headers_is_an_uplink_like_others() {
    let Some((bed, _server)) = bed() else { return };
    if !std::path::Path::new("/dev/net/tun").exists() {
        eprintln!("skipped: needs /dev/net/tun");
        return;
    }
    let far = beeline_testbed::NetNs::create(&format!("it-{}-far", bed.topology.instance)).unwrap();
    let tunnel = tunnel(&bed, &far);
    for (netns, addresses) in [(&bed.topology.host, SIDE_HOST), (&far, SIDE)] {
        bed.eventually("the device is there", || {
            shell(netns.command("sh"), "ip link show tun0").status.success().then_some(())
        });
        run(netns, &address_and_up("tun0", addresses));
    }
    let server = serve(&far);
    for family in 0..2 {
        eventually_answered(&bed, "web", SIDE[family], SIDE[family], SIDE_HOST[family]);
        let answer = published(&far, SIDE[family], SIDE_HOST[family]).unwrap_or_default();
        assert!(answer.contains(SIDE[family]), "{answer}");
    }
    drop(server);
    drop(tunnel);
    is_answered(&bed, "web", CLIENT_ADDRESS, CLIENT_ADDRESS, HOST_ADDRESS).unwrap();
}
