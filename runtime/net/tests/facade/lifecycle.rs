//! Making and removing: networks, endpoints, uplinks, instances side by side.

use std::{
    net::{IpAddr, Ipv6Addr},
    os::fd::AsFd as _,
    time::Instant,
};

use beeline_net::{
    DefaultRoutes, EndpointSpec, Error, ErrorKind, Families, Net, NetworkSpec, Range4, Range6,
};

use crate::{
    bed::{
        Bed, CLIENT, HOST, NETWORK, container, endpoint, eventually, has_pins, inside, ip, links, output,
        run, second_instance,
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
        let unknown = EndpointSpec { network: 9, ..endpoint("aa", 2) };
        let error = net.attach(netns.as_fd(), unknown).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
        for last in [0, 1, 255] {
            let error = net.attach(netns.as_fd(), endpoint("aa", last)).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidParameter, "{error}");
        }
        // The name inside is taken: the kernel refuses the pair.
        let lo = EndpointSpec { ifname: "lo".into(), ..endpoint("aa", 2) };
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
fn default_routes_lead_by_one_network_of_each_family_and_move() {
    run(async |bed| {
        let net = bed.start().await;
        let mut second = bed.network();
        second.id = 2;
        second.device = beeline_net::network_device(&bed.instance, 2);
        second.ipv4 =
            Some(Range4 { subnet: "172.31.8.0/24".parse().unwrap(), gateway: [172, 31, 8, 1].into() });
        let gateway: Ipv6Addr = "fd00:8::1".parse().unwrap();
        second.ipv6 = Some(Range6 { subnet: "fd00:8::/64".parse().unwrap(), gateway });
        net.create_network(second.clone()).await.unwrap();
        let one = container(&net, 2).await;
        let incomplete = EndpointSpec { network: 2, ifname: "eth1".into(), ..endpoint("aa", 2) };
        let error = net.attach(one.netns.as_fd(), incomplete.clone()).await.unwrap_err();
        assert!(matches!(error, Error::Families { .. }), "{error}");
        let spec = EndpointSpec {
            ipv4: Some([172, 31, 8, 2].into()),
            ipv6: Some("fd00:8::2".parse().unwrap()),
            routes: Families { ipv4: false, ipv6: true },
            ..incomplete
        };
        let other = net.attach(one.netns.as_fd(), spec).await.unwrap();
        let routes = |family: &str| inside(&one.netns, || output(&format!("{family} route show default")));
        assert!(routes("-4").contains("via 172.31.7.1 dev eth0"), "{}", routes("-4"));
        assert!(routes("-6").contains("via fd00:8::1 dev eth1"), "{}", routes("-6"));
        let addresses = inside(&one.netns, || output("-6 addr show dev eth1"));
        assert!(addresses.contains("fd00:8::2/64") && !addresses.contains("tentative"), "{addresses}");
        assert_eq!(inside(&one.netns, || output("-6 addr show dev eth0")), "");

        let moved = DefaultRoutes { ipv4: Some(&other), ipv6: None };
        net.set_default_routes(one.netns.as_fd(), moved).await.unwrap();
        assert!(routes("-4").contains("via 172.31.8.1 dev eth1"), "{}", routes("-4"));
        assert_eq!(routes("-6"), "");
        // Again, and back: a route that is there or gone is fine.
        net.set_default_routes(one.netns.as_fd(), moved).await.unwrap();
        net.remove(&other).await.unwrap();
        assert_eq!(inside(&one.netns, links), ["lo", "eth0"], "its device goes at once");
        let back = DefaultRoutes { ipv4: Some(&one.endpoint), ipv6: None };
        net.set_default_routes(one.netns.as_fd(), back).await.unwrap();
        assert!(routes("-4").contains("via 172.31.7.1 dev eth0"), "{}", routes("-4"));
        net.remove_network(2, &second.device).await.unwrap();
        net.destroy().await.unwrap();
    });
}

#[test]
fn a_gateway_device_may_have_a_name_of_the_users() {
    run(async |bed| {
        let net = bed.open().await;
        let named = NetworkSpec { id: 2, device: "br-mine".into(), ..bed.network() };
        ip("link add br-mine type bridge");
        let error = net.create_network(named.clone()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidParameter, "{error}");
        net.remove_network(2, "br-mine").await.unwrap();
        assert!(links().contains(&"br-mine".to_owned()), "a foreign bridge is left alone");
        ip("link del br-mine");
        net.create_network(named).await.unwrap();
        drop(net);
        // The next daemon knows it for its own, and removes it when it is not to be.
        let net = bed.open().await;
        net.reconcile(beeline_net::Keep::default()).await.unwrap();
        assert!(!links().contains(&"br-mine".to_owned()));
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
