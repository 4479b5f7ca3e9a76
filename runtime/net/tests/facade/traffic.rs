//! Every way a packet takes.

use std::net::{IpAddr, Ipv4Addr};

use beeline_net::Protocol;

use crate::{
    bed::{CLIENT, HOST, container, inside, publish, run},
    server::{Servers, tcp, udp},
};

#[test]
fn containers_host_and_outside_reach_each_other() {
    run(async |bed| {
        let net = bed.start().await;
        let (one, other) = (container(&net, 2).await, container(&net, 3).await);
        let _one = Servers::start(&one.netns, 80);
        let _outside = Servers::start(&bed.client, 7000);

        // Container to container: the address stays.
        assert_eq!(inside(&other.netns, || tcp(one.ip(), 80)).unwrap(), IpAddr::from(other.ip()));
        assert_eq!(inside(&other.netns, || udp(one.ip(), 80)).unwrap(), IpAddr::from(other.ip()));
        // Host to container: by the gateway's address.
        let gateway = IpAddr::from(Ipv4Addr::new(172, 31, 7, 1));
        assert_eq!(tcp(one.ip(), 80).unwrap(), gateway);
        assert_eq!(udp(one.ip(), 80).unwrap(), gateway);
        // Container to outside: masqueraded.
        assert_eq!(inside(&one.netns, || tcp(CLIENT, 7000)).unwrap(), IpAddr::from(HOST));
        assert_eq!(inside(&one.netns, || udp(CLIENT, 7000)).unwrap(), IpAddr::from(HOST));

        let counters = net.counters(&one.endpoint).unwrap();
        assert!(counters.rx_packets > 0 && counters.tx_packets > 0, "{counters:?}");
        assert!(counters.rx_bytes > 400_000 && counters.tx_bytes > 400_000, "{counters:?}");
        net.destroy().await.unwrap();
    });
}

#[test]
fn published_ports_answer_outside_and_on_the_host() {
    run(async |bed| {
        let net = bed.start().await;
        let web = container(&net, 2).await;
        let other = container(&net, 3).await;
        let _web = Servers::start(&web.netns, 80);
        let any = Ipv4Addr::UNSPECIFIED;
        let wanted = [
            publish(Protocol::Tcp, any, 8080, web.ip(), 80),
            publish(Protocol::Udp, any, 8080, web.ip(), 80),
        ];
        assert_eq!(net.publish(&wanted).await.unwrap(), wanted);

        // The client's own address reaches the container.
        assert_eq!(inside(&bed.client, || tcp(HOST, 8080)).unwrap(), IpAddr::from(CLIENT));
        assert_eq!(inside(&bed.client, || udp(HOST, 8080)).unwrap(), IpAddr::from(CLIENT));
        // The host, by the loopback and by its own address.
        for address in [Ipv4Addr::LOCALHOST, HOST] {
            tcp(address, 8080).unwrap_or_else(|error| panic!("tcp {address}: {error}"));
            udp(address, 8080).unwrap_or_else(|error| panic!("udp {address}: {error}"));
        }
        // Another container, and the container itself, by the host's address.
        inside(&other.netns, || tcp(HOST, 8080)).unwrap();
        inside(&web.netns, || tcp(HOST, 8080)).unwrap();

        let statuses = net.publishes().unwrap();
        assert_eq!(statuses.len(), 2);
        for status in statuses {
            assert!(status.counters.connections > 0 && status.counters.packets > 0, "{status:?}");
        }
        net.unpublish(&wanted).await.unwrap();
        assert!(net.publishes().unwrap().is_empty());
        assert!(inside(&bed.client, || tcp(HOST, 8080)).is_err(), "withdrawn");
        assert!(tcp(Ipv4Addr::LOCALHOST, 8080).is_err(), "withdrawn");
        net.destroy().await.unwrap();
    });
}

#[test]
fn a_container_of_an_internal_network_reaches_its_neighbours_alone() {
    run(async |bed| {
        let net = bed.open().await;
        let mut network = bed.network();
        network.internal = true;
        net.create_network(network).await.unwrap();
        let (one, other) = (container(&net, 2).await, container(&net, 3).await);
        let _one = Servers::start(&one.netns, 80);
        let _outside = Servers::start(&bed.client, 7000);
        assert!(inside(&other.netns, || tcp(one.ip(), 80)).is_ok());
        assert!(inside(&one.netns, || udp(CLIENT, 7000)).is_err());
        net.destroy().await.unwrap();
    });
}
