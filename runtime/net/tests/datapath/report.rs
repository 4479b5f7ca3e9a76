//! What the datapath says when it cannot, and what it tells of what it does.

use std::{
    io::{self, Write},
    net::UdpSocket,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use beeline_net::datapath::{Datapath, DropReason, Error, Protocol};

use crate::{
    topology::{HOST, Topology, is_root},
    traffic::{udp_echo, udp_server},
};

/// A place that log lines go to.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("lines").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn new_flows_and_refusals_appear_in_the_daemons_log() {
    if !is_root() {
        return;
    }
    let lines = Lines::default();
    let writer = lines.clone();
    tracing_subscriber::fmt()
        .with_env_filter("beeline_net::kernel=debug")
        .with_writer(move || writer.clone())
        .try_init()
        .expect("the only subscriber of these tests");
    let topology = Topology::new(1);
    topology.publish(Protocol::Udp, 5353, 0, 53);
    let server = udp_server(&topology.containers[0].namespace, 53, 1);
    topology.client.run(|| udp_echo((HOST, 5353), 10)).expect("echo");
    server.join().expect("server");
    let deadline = Instant::now() + Duration::from_secs(3);
    let text = loop {
        let text = String::from_utf8_lossy(&lines.0.lock().expect("lines")).into_owned();
        if text.contains("published port 5353") || Instant::now() > deadline {
            break text;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(text.contains("new flow 192.0.2.2:"), "{text}");
    assert!(text.contains("-> published port 5353 -> 172.30.0.2:53"), "{text}");
}

#[test]
fn a_folder_that_is_no_cgroup2_is_named() {
    if !is_root() {
        return;
    }
    let topology = Topology::new(0);
    let mut config = topology.config().clone();
    config.instance = "u".into();
    config.cgroup2 = PathBuf::from("/tmp");
    let error = topology.host.run(|| Datapath::open(&config)).expect_err("no cgroup2");
    assert!(matches!(error, Error::Unsupported { .. }), "{error:?}");
    assert!(error.to_string().contains("/tmp is not a cgroup2 file system"), "{error}");
    assert!(!config.bpffs.join("beeline/u").exists(), "nothing is left behind");
}

#[test]
fn a_full_table_refuses_new_flows_and_counts_them() {
    if !is_root() {
        return;
    }
    let topology = Topology::with_flows(1024);
    topology.publish(Protocol::Udp, 5353, 0, 53);
    topology.client.run(|| {
        for _ in 0..1000 {
            let socket = UdpSocket::bind("0.0.0.0:0").expect("bind");
            socket.send_to(b"hello", (HOST, 5353)).expect("send");
        }
    });
    let drops = topology.datapath().drops().expect("drops");
    let (_, refused) =
        drops.iter().find(|(reason, _)| *reason == DropReason::FlowsExhausted).expect("reason");
    assert!(*refused >= 400, "{}", topology.drops());
    assert_eq!(topology.datapath().conntrack_capacity(), 1024);
    topology.datapath().expire_flows().expect("expire");
    let entries = topology.datapath().conntrack_len();
    assert!(entries <= 1024 && entries.is_multiple_of(2), "{entries}: no half of a flow is left");
}
