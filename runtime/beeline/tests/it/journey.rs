//! Far journeys: through routers, and through a link that takes smaller packets than the others.
//!
//! ```text
//! container ---- [ host ] ---- client, a router here ---- 1,400 bytes ---- [ middle ] ---- far
//! ```

use std::process::Command;

use beeline_testbed::{CLIENT_ADDRESS, HOST_ADDRESS, NetNs};

use crate::bed::Bed;
use crate::networks::inside;
use crate::outside::{address_and_up, run};
use crate::process::{Ended, within};

/// Of both families: the host, the client, the middle and who is far away.
const HOST: [&str; 2] = [HOST_ADDRESS, "2001:db8:1::1"];
const CLIENT: [&str; 2] = [CLIENT_ADDRESS, "2001:db8:1::2"];
const MIDDLE: [&str; 2] = ["198.51.100.2", "2001:db8:2::2"];
const FAR: [&str; 2] = ["203.0.113.2", "2001:db8:3::2"];

/// Sends back what it gets, at port 9000 of both families.
const ECHO: &str = "import socket,threading\n\
    def serve(c):\n \
     while (b:=c.recv(1<<16)): c.sendall(b)\n \
     c.close()\n\
    s=socket.create_server(('::',9000),family=socket.AF_INET6,dualstack_ipv6=True)\n\
    while True: threading.Thread(target=serve,args=(s.accept()[0],),daemon=True).start()";

/// Sends two megabytes to an echo, and says whether just those come back.
const ASK: &str = "import os,socket,sys,threading\n\
    d=os.urandom(2<<20)\n\
    s=socket.create_connection((sys.argv[1],int(sys.argv[2])),10)\n\
    threading.Thread(target=lambda:(s.sendall(d),s.shutdown(1))).start()\n\
    r=b''\n\
    while (b:=s.recv(1<<16)): r+=b\n\
    print(r==d)";

/// Two routers on the way to somebody far away, and a container `web` with both families.
struct Road {
    far: NetNs,
    _middle: NetNs,
}

impl Road {
    fn build(bed: &Bed) -> Self {
        let make = |tag: &str| NetNs::create(&format!("it-{}-{tag}", bed.topology.instance)).unwrap();
        let (middle, far) = (make("mid"), make("far"));
        let client = &bed.topology.client;
        run(client, &format!("ip link add thin0 type veth peer name thin1 netns {}", middle.name()));
        run(&middle, &format!("ip link add wide0 type veth peer name net0 netns {}", far.name()));
        for (netns, device, addresses, mtu) in [
            (client, "thin0", ["198.51.100.1", "2001:db8:2::1"], 1400),
            (&middle, "thin1", MIDDLE, 1400),
            (&middle, "wide0", ["203.0.113.1", "2001:db8:3::1"], 1500),
            (&far, "net0", FAR, 1500),
        ] {
            run(netns, &format!("ip link set {device} mtu {mtu} && {}", address_and_up(device, addresses)));
        }
        bed.in_host(&format!(
            "ip address add {}/64 dev up0 nodad && ip -6 route add default via {}",
            HOST[1], CLIENT[1]
        ));
        bed.in_client(&format!("ip address add {}/64 dev net0 nodad", CLIENT[1]));
        for router in [client, &middle] {
            run(
                router,
                "echo 1 > /proc/sys/net/ipv4/ip_forward && echo 1 > /proc/sys/net/ipv6/conf/all/forwarding",
            );
        }
        for (netns, towards, by) in [
            (client, ["203.0.113.0/24", "2001:db8:3::/64"], MIDDLE),
            (&middle, ["default", "default"], ["198.51.100.1", "2001:db8:2::1"]),
            (&far, ["default", "default"], ["203.0.113.1", "2001:db8:3::1"]),
        ] {
            for family in 0..2 {
                run(netns, &format!("ip route add {} via {}", towards[family], by[family]));
            }
        }
        let subnets = ["--subnet", "10.97.0.0/24", "--subnet", "fd00:97::/64"];
        bed.docker_ok(&[&["network", "create", "--ipv6"][..], &subnets, &["both"]].concat());
        let web = ["run", "-d", "--name", "web", "--network", "both", "-p", "9000:9000", "beeline/whoami"];
        bed.docker_ok(&web);
        Self { far, _middle: middle }
    }
}

fn echo(mut command: Command) -> Ended {
    command.args(["-c", ECHO]);
    Ended::start(command)
}

/// Two megabytes there and back; the first tries may come before the server listens.
#[track_caller]
fn exchanges(bed: &Bed, ask: impl Fn() -> Command, address: &str) {
    bed.eventually(&format!("two megabytes to and from {address}"), || {
        let output = beeline_testbed::command::output(ask().args(["-c", ASK, address, "9000"])).unwrap();
        assert_ne!(output.text(), "False", "{output}");
        (output.text() == "True").then_some(())
    });
}

/// That a container has been told of the smaller link.
#[track_caller]
fn has_learned(bed: &Bed, address: &str) {
    let route = inside(bed, "web", &format!("ip route get {address}")).text();
    assert!(route.contains("mtu 1400"), "{route}");
}

#[test]
fn a_smaller_link_far_away_is_found_by_a_container_that_asks() {
    let Some(bed) = Bed::new() else { return };
    let road = Road::build(&bed);
    let _server = echo(road.far.command("python3"));
    for address in FAR {
        exchanges(&bed, || within(&bed, "web", "python3"), address);
        has_learned(&bed, address);
    }
}

#[test]
fn a_smaller_link_far_away_is_found_by_a_container_that_is_asked() {
    let Some(bed) = Bed::new() else { return };
    let road = Road::build(&bed);
    let _server = echo(within(&bed, "web", "python3"));
    for family in 0..2 {
        exchanges(&bed, || road.far.command("python3"), HOST[family]);
        has_learned(&bed, FAR[family]);
    }
}

#[test]
fn traceroute_from_a_container_names_every_router() {
    let Some(bed) = Bed::new() else { return };
    let _road = Road::build(&bed);
    let gateways = ["10.97.0.1", "fd00:97::1"];
    // By datagrams, and by echo requests, which busybox has for IPv4 alone.
    for (how, family) in [("traceroute", 0), ("traceroute -I", 0), ("traceroute6", 1)] {
        let line = format!("busybox {how} -n -q 1 -w 3 -m 6 {}", FAR[family]);
        let output = inside(&bed, "web", &line);
        let text = output.text();
        let hops: Vec<&str> =
            text.lines().skip(1).filter_map(|line| line.split_whitespace().nth(1)).collect();
        let way = [gateways, CLIENT, MIDDLE, FAR].map(|router| router[family]);
        assert_eq!(hops, way, "{line}: {output}");
    }
}
