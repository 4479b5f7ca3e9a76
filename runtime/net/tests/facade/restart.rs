//! The daemon ends, traffic does not.

use std::net::{IpAddr, Ipv4Addr};

use beeline_net::{Address, Keep, Protocol};

use crate::{
    bed::{CLIENT, HOST, container, inside, links, publish, run},
    server::{Connection, Servers, tcp},
};

#[test]
fn flows_outlive_the_daemon_and_the_next_one_adopts_them() {
    run(async |bed| {
        let net = bed.start().await;
        let web = container(&net, 2).await;
        let _web = Servers::start(&web.netns, 80);
        let _outside = Servers::start(&bed.client, 7000);
        let wanted = publish(Protocol::Tcp, Ipv4Addr::UNSPECIFIED, 8080, web.ip(), 80);
        net.publish(&[wanted]).await.unwrap();
        let mut incoming = inside(&bed.client, || Connection::open(HOST, 8080)).unwrap();
        let mut outgoing = inside(&web.netns, || Connection::open(CLIENT, 7000)).unwrap();
        incoming.exchange(100_000).unwrap();
        drop(net);

        // Nobody is there, and everything goes on.
        incoming.exchange(100_000).unwrap();
        outgoing.exchange(100_000).unwrap();
        assert_eq!(inside(&bed.client, || tcp(HOST, 8080)).unwrap(), IpAddr::from(CLIENT));

        let net = bed.open().await;
        let before = net.publishes().unwrap()[0].counters;
        let keep = Keep {
            networks: vec![bed.network()],
            endpoints: vec![web.endpoint.clone()],
            publishes: vec![wanted.into()],
        };
        assert!(net.reconcile(keep.clone()).await.unwrap().is_empty());
        assert!(net.reconcile(keep).await.unwrap().is_empty());
        incoming.exchange(100_000).unwrap();
        outgoing.exchange(100_000).unwrap();
        assert_eq!(inside(&bed.client, || tcp(HOST, 8080)).unwrap(), IpAddr::from(CLIENT));
        let after = net.publishes().unwrap()[0].counters;
        assert_eq!(after.connections, before.connections + 1, "counters go on");
        net.destroy().await.unwrap();
    });
}

#[test]
fn what_the_next_daemon_does_not_know_is_removed() {
    run(async |bed| {
        let net = bed.start().await;
        let (kept, forgotten) = (container(&net, 2).await, container(&net, 3).await);
        let any = Ipv4Addr::UNSPECIFIED;
        let of_kept = publish(Protocol::Tcp, any, 8080, kept.ip(), 80);
        let missing = publish(Protocol::Tcp, any, 8083, kept.ip(), 83);
        let others = [
            publish(Protocol::Tcp, any, 8081, forgotten.ip(), 80),
            publish(Protocol::Udp, any, 8082, kept.ip(), 80),
        ];
        net.publish(&[of_kept]).await.unwrap();
        net.publish(&others).await.unwrap();
        drop(net);

        let net = bed.open().await;
        let address = Address { ip: [172, 31, 7, 9].into(), ..kept.endpoint.ipv4.unwrap() };
        let gone = beeline_net::Endpoint {
            host_ifname: "bv-gone".into(),
            ipv4: Some(address),
            ..kept.endpoint.clone()
        };
        let keep = Keep {
            networks: vec![bed.network()],
            endpoints: vec![kept.endpoint.clone(), gone.clone()],
            publishes: [of_kept, missing, publish(Protocol::Tcp, any, 8084, address.ip, 80)]
                .map(Into::into)
                .into(),
        };
        assert_eq!(net.reconcile(keep).await.unwrap(), [gone]);
        let mut published: Vec<_> =
            net.publishes().unwrap().into_iter().map(|status| status.publish).collect();
        published.sort_by_key(|publish| publish.host_first);
        assert_eq!(published, [of_kept, missing]);
        assert!(links().contains(&kept.endpoint.host_ifname));
        assert!(!links().contains(&forgotten.endpoint.host_ifname));
        let _kept = Servers::start(&kept.netns, 80);
        assert_eq!(inside(&bed.client, || tcp(HOST, 8080)).unwrap(), IpAddr::from(CLIENT));

        // A daemon that knows nothing.
        net.reconcile(Keep::default()).await.unwrap();
        assert_eq!(links().len(), 2, "{:?}", links());
        net.destroy().await.unwrap();
    });
}
