//! Who has a port: processes of the host, containers, and what is said to whom.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};

use beeline_net::{Error, ErrorKind, Protocol, Publish};

use crate::bed::{HOST, container, publish, run};

#[test]
fn a_port_of_a_host_process_is_refused_and_nothing_else_published() {
    run(async |bed| {
        let net = bed.start().await;
        let one = container(&net, 2).await;
        let listener = TcpListener::bind((HOST, 8081)).unwrap();
        let any = Ipv4Addr::UNSPECIFIED;
        let wanted = [
            publish(Protocol::Tcp, any, 8080, one.ip(), 80),
            publish(Protocol::Tcp, any, 8081, one.ip(), 81),
        ];
        let error = net.publish(&wanted).await.unwrap_err();
        assert!(matches!(error, Error::PortInUse { port: 8081, .. }), "{error}");
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert!(net.publishes().unwrap().is_empty(), "all or none");
        drop(listener);
        net.publish(&wanted).await.unwrap();
        net.destroy().await.unwrap();
    });
}

#[test]
fn a_published_port_is_refused_to_others() {
    run(async |bed| {
        let net = bed.start().await;
        let (one, other) = (container(&net, 2).await, container(&net, 3).await);
        let any = Ipv4Addr::UNSPECIFIED;
        let interval = Publish { host_last: 8090, ..publish(Protocol::Udp, any, 8080, one.ip(), 80) };
        net.publish(&[interval]).await.unwrap();
        net.publish(&[interval]).await.unwrap();
        let error = net.publish(&[publish(Protocol::Udp, HOST, 8085, other.ip(), 80)]).await.unwrap_err();
        assert!(matches!(error, Error::PortPublished { .. }), "{error}");
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert!(error.to_string().contains(&one.ip().to_string()), "{error}");
        // No socket holds it, yet processes of the host do not get it.
        for port in [8080, 8085, 8090] {
            let error = UdpSocket::bind((any, port)).unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse, "{port}");
        }
        UdpSocket::bind((any, 8091)).unwrap();
        TcpListener::bind((any, 8085)).unwrap();
        net.detach(&one.endpoint).await.unwrap();
        assert!(net.publishes().unwrap().is_empty());
        UdpSocket::bind((any, 8085)).unwrap();
        net.destroy().await.unwrap();
    });
}

#[test]
fn an_unnamed_port_is_chosen_among_the_free_ones() {
    run(async |bed| {
        let net = bed.start().await;
        let one = container(&net, 2).await;
        std::fs::write("/proc/sys/net/ipv4/ip_local_port_range", "40000 40003").unwrap();
        let unnamed = publish(Protocol::Tcp, Ipv4Addr::UNSPECIFIED, 0, one.ip(), 80);
        let mut ports = Vec::new();
        for _ in 0..4 {
            ports.push(net.publish(&[unnamed]).await.unwrap()[0].host_first);
        }
        ports.sort_unstable();
        assert_eq!(ports, [40000, 40001, 40002, 40003]);
        let error = net.publish(&[unnamed]).await.unwrap_err();
        assert!(matches!(error, Error::NoFreePort { .. }), "{error}");
        net.destroy().await.unwrap();
    });
}

#[test]
fn publishes_that_make_no_sense_are_refused() {
    run(async |bed| {
        let net = bed.start().await;
        let one = container(&net, 2).await;
        let any = Ipv4Addr::UNSPECIFIED;
        let good = publish(Protocol::Tcp, any, 8080, one.ip(), 80);
        for bad in [
            Publish { host_last: 8079, ..good },
            Publish { host_ip: [192, 0, 2, 77].into(), ..good },
            Publish { host_ip: std::net::Ipv6Addr::UNSPECIFIED.into(), ..good },
            Publish { container_first: 65535, host_last: 8081, ..good },
            Publish { container_first: 0, ..good },
        ] {
            let error = net.publish(&[bad]).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidParameter, "{error}");
        }
        net.destroy().await.unwrap();
    });
}
