//! Making and removing: networks, endpoints, uplinks, instances side by side.

use std::{net::IpAddr, os::fd::AsFd as _, time::Instant};

use beeline_net::{Error, ErrorKind, Net, NetworkSpec, Range4};

use crate::{
    bed::{
        Bed, CLIENT, HOST, NETWORK, container, endpoint, eventually, has_pins, inside, ip, links, run,
        second_instance,
    },
    server::{Servers, tcp, udp},
};

#[test]
fn an_endpoint_comes_and_goes_with_all_that_belongs_to_it() {
    run(async |bed| {
        let net = bed.start().await;
        net.create_network(bed.network()).await.unwrap();
        let made = container(&net, 2).await;
        let name = made.endpoint.host_ifname.clone();
        assert!(name.starts_with(&format!("bv{}-", bed.instance)), "{name}");
        assert!(links().contains(&name));
        let devices = inside(&made.netns, links);
        assert_eq!(devices, ["lo", "eth0"]);
        inside(&made.netns, || ip("-4 route get 198.51.100.1"));

        // The namespace is still open: the device goes nevertheless.
        net.detach(&made.endpoint).await.unwrap();
        net.detach(&made.endpoint).await.unwrap();
        net.settle().await;
        assert!(!links().contains(&name));

        // Its name and address are free again at once, also while the last device is on its way out.
        let again = container(&net, 2).await;
        net.detach(&again.endpoint).await.unwrap();
        drop(again.netns);
        let third = container(&net, 2).await;
        net.detach(&third.endpoint).await.unwrap();
        drop(third.netns);
        net.settle().await;

        net.remove_network(NETWORK, &bed.network().device).await.unwrap();
        net.remove_network(NETWORK, &bed.network().device).await.unwrap();
        net.destroy().await.unwrap();
    });
}

#[test]
fn what_cannot_be_is_refused_and_leaves_nothing() {
    run(async |bed| {
        let net = bed.start().await;
        let netns = Net::create_netns().await.unwrap();
        let unknown = beeline_net::EndpointSpec { network: 9, ..endpoint("aa", 2) };
        let error = net.attach(netns.as_fd(), unknown).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
        for last in [0, 1, 255] {
            let error = net.attach(netns.as_fd(), endpoint("aa", last)).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidParameter, "{error}");
        }
        // The name inside is taken: the kernel refuses the pair.
        let lo = beeline_net::EndpointSpec { ifname: "lo".into(), ..endpoint("aa", 2) };
        let error = net.attach(netns.as_fd(), lo).await.unwrap_err();
        assert!(matches!(error, Error::Netlink { .. }), "{error}");
        let foreign = NetworkSpec { id: 2, device: "up0".into(), ..bed.network() };
        assert_eq!(net.create_network(foreign).await.unwrap_err().kind(), ErrorKind::InvalidParameter);
        let range = Range4 { gateway: HOST, ..bed.network().ipv4.unwrap() };
        let outside = NetworkSpec { ipv4: Some(range), ..bed.network() };
        assert_eq!(net.create_network(outside).await.unwrap_err().kind(), ErrorKind::InvalidParameter);
        net.settle().await;
        assert_eq!(inside(&netns, links), ["lo"]);
        net.destroy().await.unwrap();
    });
}

#[test]
fn attaching_twenty_at_once_takes_no_longer_than_one_by_one() {
    run(async |bed| {
        let net = bed.start().await;
        let begin = Instant::now();
        let one = container(&net, 100).await;
        let first = begin.elapsed();
        let begin = Instant::now();
        let requests = (2..22).map(|last| {
            let net = net.clone();
            tokio::spawn(async move { container(&net, last).await })
        });
        let mut made = Vec::new();
        for request in requests.collect::<Vec<_>>() {
            made.push(request.await.unwrap());
        }
        println!("first endpoint {first:?}, twenty more {:?}", begin.elapsed());
        let _server = Servers::start(&one.netns, 80);
        for container in &made {
            assert!(inside(&container.netns, || udp(one.ip(), 80)).is_ok());
        }
        for container in made {
            net.detach(&container.endpoint).await.unwrap();
        }
        net.settle().await;
        net.destroy().await.unwrap();
    });
}

#[test]
fn uplinks_are_followed_as_they_come_change_and_go() {
    run(async |bed: Bed| {
        ip("link set up0 down");
        ip(&format!("addr del {HOST}/24 dev up0"));
        let net = bed.start().await;
        let one = container(&net, 2).await;
        let _outside = Servers::start(&bed.client, 7000);
        ip(&format!("addr add {HOST}/24 dev up0"));
        ip("link set up0 up");
        let seen_as = |address: &str| {
            let address: IpAddr = address.parse().unwrap();
            inside(&one.netns, || udp(CLIENT, 7000)).is_ok_and(|seen| seen == address)
        };
        eventually("the new uplink carries packets", || seen_as("192.0.2.1")).await;
        ip("addr add 192.0.2.9/24 dev up0");
        ip(&format!("addr del {HOST}/24 dev up0"));
        ip("addr replace 192.0.2.9/24 dev up0");
        eventually("packets carry the new address", || seen_as("192.0.2.9")).await;
        ip(&format!("addr replace {HOST}/24 dev up0"));
        net.destroy().await.unwrap();
    });
}

#[test]
fn two_instances_in_one_namespace_do_not_meet() {
    run(async |bed| {
        let other = Bed { instance: second_instance(&bed.instance), client: bed.client.try_clone().unwrap() };
        let (net, other_net) = (bed.start().await, other.open().await);
        let mut network = other.network();
        network.ipv4 =
            Some(Range4 { subnet: "172.31.8.0/24".parse().unwrap(), gateway: [172, 31, 8, 1].into() });
        other_net.create_network(network).await.unwrap();
        let one = container(&net, 2).await;
        let _one = Servers::start(&one.netns, 80);
        let wanted = crate::bed::publish(beeline_net::Protocol::Tcp, [0; 4].into(), 8080, one.ip(), 80);
        net.publish(&[wanted]).await.unwrap();
        let error = other_net.publish(&[wanted]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
        assert_eq!(inside(&bed.client, || tcp(HOST, 8080)).unwrap(), IpAddr::from(CLIENT));
        other_net.destroy().await.unwrap();
        assert!(!has_pins(&other.instance) && has_pins(&bed.instance));
        assert_eq!(inside(&bed.client, || tcp(HOST, 8080)).unwrap(), IpAddr::from(CLIENT));
        net.destroy().await.unwrap();
    });
}
