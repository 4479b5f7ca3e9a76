//! Connections within the host, past the network: who takes the short way, who does not, and what is kept of the rest.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    thread::sleep,
    time::Duration,
};

use beeline_net::datapath::{Acceleration, EndSpec, Protocol, netns_cookie};

use crate::{
    topology::{Container, Family, HOST, Topology, is_root},
    traffic::{PATIENCE, echo, tcp_echo, tcp_echo_from, tcp_server},
};

/// Room for what is no payload: headers, or what little took the long way.
const LITTLE: u64 = 1 << 16;

impl Topology {
    fn end(&self, container: &Container, family: Family) -> EndSpec {
        EndSpec {
            address: container.ip(family),
            netns_cookie: container.run(|| netns_cookie().expect("cookie")),
            network: self.network().id,
            host_ifindex: Some(container.ifindex),
        }
    }

    /// Accelerates connections between all containers.
    fn accelerate(&self) {
        let can = self.host.run(|| self.datapath().can_accelerate(Acceleration::DespiteFaults));
        can.unwrap_or_else(|error| panic!("{error}"));
        for container in &self.containers {
            for family in Family::BOTH {
                self.datapath().accelerate(&self.end(container, family)).expect("accelerate");
            }
        }
    }

    /// And those of the host with them.
    fn accelerate_host(&self) {
        let cookie = self.host.run(|| netns_cookie().expect("cookie"));
        for family in Family::BOTH {
            let end = EndSpec {
                address: family.gateway(),
                netns_cookie: cookie,
                network: self.network().id,
                host_ifindex: None,
            };
            self.datapath().accelerate(&end).expect("accelerate");
        }
    }

    /// How many bytes a container got by the short way, and how many in all.
    fn received(&self, container: usize) -> (u64, u64) {
        let ifindex = self.containers[container].ifindex;
        let shortened = self.datapath().accelerated(ifindex).expect("counters").rx_bytes;
        (shortened, self.datapath().endpoint_counters(ifindex).expect("counters").rx_bytes)
    }

    fn connect(&self, from: usize, to: usize, port: u16) -> TcpStream {
        let address = self.containers[to].address;
        let connect = || TcpStream::connect_timeout(&(address, port).into(), PATIENCE);
        self.containers[from].run(connect).expect("connect")
    }
}

#[test]
fn connections_between_containers_go_past_the_network_and_are_counted() {
    if !is_root() {
        return;
    }
    let topology = Topology::new(2);
    topology.accelerate();
    let (one, two) = (&topology.containers[0], &topology.containers[1]);
    for family in Family::BOTH {
        let (before, all_before) = topology.received(1);
        let server = tcp_server(&two.namespace, 80, 1);
        one.run(|| tcp_echo((two.ip(family), 80), 1000)).expect("echo");
        assert_eq!(server.join().expect("server")[0].ip(), one.ip(family));
        let (shortened, all) = topology.received(1);
        assert_eq!(shortened - before, 1000, "{family:?}");
        assert!(all - all_before >= 1000 && all - all_before < 1000 + LITTLE, "{family:?}: counted once");
    }
    let sent = topology.datapath().accelerated(one.ifindex).expect("counters");
    assert_eq!((sent.tx_bytes, sent.rx_bytes), (2000, 2000));
}

#[test]
fn a_network_that_does_not_ask_for_it_takes_the_long_way_and_pays_nothing() {
    if !is_root() {
        return;
    }
    let topology = Topology::new(2);
    let link = topology.link_path("accelerate_enrol");
    assert!(!link.exists(), "sockets are looked at");
    let server = tcp_server(&topology.containers[1].namespace, 80, 1);
    let address = topology.containers[1].address;
    topology.containers[0].run(|| tcp_echo((address, 80), 1000)).expect("echo");
    server.join().expect("server");
    assert_eq!(topology.received(1).0, 0);
    topology.accelerate();
    assert!(link.exists());
    topology.datapath().stop_all_acceleration().expect("stop");
    assert!(!link.exists());
}

#[test]
fn clients_outside_and_translated_connections_are_left_alone() {
    if !is_root() {
        return;
    }
    let topology = Topology::new(2);
    topology.accelerate();
    topology.accelerate_host();
    topology.publish(Protocol::Tcp, 8080, 1, 80);
    let server = tcp_server(&topology.containers[1].namespace, 80, 3);
    topology.client.run(|| tcp_echo((HOST, 8080), 1000)).expect("from outside");
    topology.containers[0].run(|| tcp_echo((HOST, 8080), 1000)).expect("by a published port");
    let bound = || tcp_echo_from((Ipv4Addr::LOCALHOST, 0), (Ipv4Addr::LOCALHOST, 8080), 1000);
    topology.host.run(bound).expect("of a client that is bound to the loopback");
    server.join().expect("server");
    assert_eq!(topology.received(1).0, 0);
}

#[test]
fn the_hosts_own_clients_are_accelerated_when_the_host_is() {
    if !is_root() {
        return;
    }
    let topology = Topology::new(1);
    topology.accelerate();
    topology.publish_both(Protocol::Tcp, 8080, 0, 80);
    for family in Family::BOTH {
        for is_accelerated in [false, true] {
            if is_accelerated {
                topology.accelerate_host();
            } else {
                topology.datapath().stop_accelerating(topology.network().id, true).expect("stop");
            }
            let (before, _) = topology.received(0);
            let server = tcp_server(&topology.containers[0].namespace, 80, 1);
            topology.host.run(|| tcp_echo((family.loopback(), 8080), 1000)).expect("echo");
            assert_eq!(server.join().expect("server")[0].ip(), family.gateway());
            let shortened = topology.received(0).0 - before;
            assert_eq!(shortened, if is_accelerated { 1000 } else { 0 }, "{family:?}");
        }
    }
    assert_eq!(topology.datapath().accelerated_by_host().expect("counters").tx_bytes, 2000);
}

#[test]
fn what_was_sent_before_the_peer_was_enrolled_is_not_overtaken() {
    if !is_root() {
        return;
    }
    let topology = Topology::new(2);
    topology.accelerate();
    let (one, two) = (&topology.containers[0], &topology.containers[1]);
    let listener = two.run(|| TcpListener::bind((two.address, 80)).expect("listen"));
    // The server's socket exists when the last packet of the handshake is there; the client sends before and after.
    for round in 0..50u32 {
        let mut client = topology.connect(0, 1, 80);
        let sent: Vec<u8> = (0..200_000u32).map(|at| (at * 31 + round) as u8).collect();
        for part in sent.chunks(1 + (round as usize * 977) % 9000).take(200) {
            client.write_all(part).expect("write");
            if part.len() < 100 {
                break;
            }
        }
        client.shutdown(std::net::Shutdown::Write).expect("shut down");
        let (mut server, _) = listener.accept().expect("accept");
        server.set_read_timeout(Some(PATIENCE)).expect("timeout");
        let mut got = Vec::new();
        server.read_to_end(&mut got).expect("read");
        assert!(!got.is_empty() && sent.starts_with(&got), "round {round}: {} bytes", got.len());
    }
    let _ = one;
}

#[test]
fn a_container_that_is_disconnected_is_cut_off_and_nothing_is_lost_when_it_is_back() {
    if !is_root() {
        return;
    }
    let topology = Topology::new(2);
    topology.accelerate();
    let two = &topology.containers[1];
    let listener = two.run(|| TcpListener::bind((two.address, 80)).expect("listen"));
    let mut client = topology.connect(0, 1, 80);
    let (mut server, _) = listener.accept().expect("accept");
    client.write_all(b"unread, ").expect("write");
    topology.datapath().remove_endpoint(two.ifindex).expect("remove");
    client.write_all(b"late").expect("the socket takes it, as without acceleration");
    server.set_read_timeout(Some(Duration::from_millis(500))).expect("timeout");
    let mut got = vec![0; 64];
    let count = server.read(&mut got).expect("what came before");
    assert_eq!(&got[..count], b"unread, ");
    assert!(server.read(&mut got).is_err(), "nothing comes through");
    assert_eq!(topology.received(1).0, 0, "its counters are gone");
    // Back with its address: the connection goes on where it was.
    topology.tell_again();
    topology.accelerate();
    server.set_read_timeout(Some(PATIENCE)).expect("timeout");
    let count = server.read(&mut got).expect("what was sent meanwhile");
    assert_eq!(&got[..count], b"late");
}

#[test]
fn the_address_of_another_container_inherits_nothing() {
    if !is_root() {
        return;
    }
    let topology = Topology::new(3);
    topology.accelerate();
    let (two, three) = (&topology.containers[1], &topology.containers[2]);
    let listener = two.run(|| TcpListener::bind((two.address, 80)).expect("listen"));
    let mut client = topology.connect(0, 1, 80);
    let (mut server, _) = listener.accept().expect("accept");
    client.write_all(b"first").expect("write");
    server.read_exact(&mut [0; 5]).expect("read");
    // The address is another namespace's from now on.
    let end = EndSpec { address: two.address.into(), ..topology.end(three, Family::V4) };
    topology.datapath().accelerate(&end).expect("accelerate");
    let (before, _) = topology.received(1);
    client.write_all(b"second").expect("write");
    server.read_exact(&mut [0; 6]).expect("it goes by the network, which knows better");
    assert_eq!(topology.received(1).0, before);
}

#[test]
fn accelerated_connections_survive_the_daemon_its_upgrade_and_the_end_of_acceleration() {
    if !is_root() {
        return;
    }
    let mut topology = Topology::new(2);
    topology.accelerate();
    let server = tcp_server(&topology.containers[1].namespace, 80, 2);
    let mut stream = topology.connect(0, 1, 80);
    echo(&mut stream, 1000).expect("before");
    topology.close();
    echo(&mut stream, 1000).expect("while there is no daemon");
    topology.open();
    echo(&mut stream, 1000).expect("with its successor");
    topology.reload();
    echo(&mut stream, 1000).expect("after an upgrade of the programs");
    topology.tell_again();
    topology.accelerate();
    echo(&mut stream, 1000).expect("when all is told");
    assert_eq!(topology.received(1).0, 5000);
    topology.datapath().stop_all_acceleration().expect("stop");
    let before = topology.received(1).0;
    echo(&mut stream, 1000).expect("on the long way");
    assert_eq!(topology.received(1).0, before);
    drop(stream);
    topology.accelerate();
    topology.containers[0].run(|| tcp_echo((Ipv4Addr::new(172, 30, 0, 3), 80), 1000)).expect("a new one");
    assert_eq!(topology.received(1).0 - before, 1000);
    server.join().expect("server");
}

#[test]
fn maps_of_another_layout_accelerate_nothing_after_the_take_over() {
    if !is_root() {
        return;
    }
    let mut topology = Topology::new(2);
    topology.accelerate();
    let server = tcp_server(&topology.containers[1].namespace, 80, 2);
    let mut stream = topology.connect(0, 1, 80);
    echo(&mut stream, 1000).expect("before");
    topology.close();
    topology.age_maps();
    topology.reload();
    assert!(topology.datapath().is_staged());
    topology.tell_again();
    topology.accelerate();
    echo(&mut stream, 1000).expect("the programs in place serve on");
    topology.host.run(|| topology.datapath().take_over()).expect("take over");
    let (one, two) = (&topology.containers[0], &topology.containers[1]);
    echo(&mut stream, 1000).expect("an old connection, on the long way");
    assert_eq!(topology.received(1).0, 0);
    drop(stream);
    one.run(|| tcp_echo((two.address, 80), 1000)).expect("a new one");
    assert_eq!(topology.received(1).0, 1000);
    server.join().expect("server");
}

#[test]
fn a_reader_that_sleeps_makes_its_sender_wait() {
    if !is_root() {
        return;
    }
    let topology = Topology::new(2);
    topology.accelerate();
    let two = &topology.containers[1];
    let listener = two.run(|| TcpListener::bind((two.address, 80)).expect("listen"));
    let mut client = topology.connect(0, 1, 80);
    let (mut server, _) = listener.accept().expect("accept");
    let sent: Vec<u8> = (0..48u32 << 20).map(|at| (at * 31 + at / 251) as u8).collect();
    let copy = sent.clone();
    let writer = std::thread::spawn(move || client.write_all(&copy));
    sleep(Duration::from_millis(500));
    assert!(!writer.is_finished(), "48 MiB wait for a reader that does not read");
    server.set_read_timeout(Some(PATIENCE)).expect("timeout");
    let mut got = Vec::with_capacity(sent.len());
    server.read_to_end(&mut got).expect("read");
    writer.join().expect("writer").expect("write");
    assert!(got == sent, "{} of {} bytes, or changed ones", got.len(), sent.len());
}
