//! An uplink that carries bare IP packets, as WireGuard's do.

use std::{
    fs::{File, OpenOptions},
    io::{Read as _, Write as _},
    net::Ipv4Addr,
    os::fd::AsRawFd as _,
};

use beeline_net::datapath::{Protocol, UplinkSpec};

use crate::{
    packet::{Packet, UDP},
    topology::{Topology, is_root},
    traffic::udp_server,
};

const TUNNEL: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
const PEER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 2);

/// Opens a tun device of this name in the calling thread's namespace; none where the kernel has no such devices.
pub(crate) fn open_tun(name: &str) -> Option<File> {
    const TUNSETIFF: libc::c_ulong = 0x4004_54ca;
    const IFF_TUN_NO_PI: u16 = 0x1001;
    let file = OpenOptions::new().read(true).write(true).open("/dev/net/tun").ok()?;
    let mut request = [0u8; 40];
    request[..name.len()].copy_from_slice(name.as_bytes());
    request[16..18].copy_from_slice(&IFF_TUN_NO_PI.to_ne_bytes());
    // SAFETY: the request is as large as the kernel's and outlives the call.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), TUNSETIFF, request.as_mut_ptr()) };
    (result == 0).then_some(file)
}

#[test]
fn a_published_port_answers_through_a_tunnel() {
    if !is_root() {
        return;
    }
    let topology = Topology::new(1);
    let Some(mut tun) = topology.host.run(|| open_tun("tun0")) else {
        println!("skipped: needs /dev/net/tun");
        return;
    };
    topology.host.ip("addr add 198.51.100.1/24 dev tun0");
    topology.host.ip("link set tun0 up");
    let ifindex = topology.host.index("tun0");
    let datapath = topology.datapath();
    datapath
        .set_uplink(&UplinkSpec { ifindex, addresses: vec![TUNNEL.into()], mtu: 1500, layer3: true })
        .expect("uplink");
    topology.host.run(|| datapath.attach_uplink(ifindex, "tun0")).expect("attach");
    let mut addresses = vec![TUNNEL.into()];
    addresses.push(crate::topology::HOST.into());
    datapath.set_local_addresses(&addresses).expect("addresses");
    topology.publish(Protocol::Udp, 5353, 0, 53);

    let server = udp_server(&topology.containers[0].namespace, 53, 1);
    let question = Packet::new(UDP, (PEER, 4000), (TUNNEL, 5353), b"through the tunnel");
    tun.write_all(&question.bytes[14..]).expect("send");
    assert_eq!(server.join().expect("server"), [(PEER, 4000).into()], "{}", topology.drops());
    // The kernel's own neighbour discovery comes by, too.
    for _ in 0..20 {
        let mut buffer = [0; 2048];
        let count = tun.read(&mut buffer).expect("receive");
        if buffer[0] >> 4 == 4 {
            let answer = Packet { bytes: [&[0; 12], &[8, 0][..], &buffer[..count]].concat() };
            assert_eq!(answer.source(), (TUNNEL, 5353).into());
            assert_eq!(answer.destination(), (PEER, 4000).into());
            answer.assert_checksums();
            return;
        }
    }
    panic!("no answer: {}", topology.drops());
}
