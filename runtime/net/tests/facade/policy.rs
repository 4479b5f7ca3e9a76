//! Rules by source and the guard, as the daemon's configuration and its restarts have them.

use std::{collections::BTreeSet, net::Ipv4Addr};

use beeline_net::{
    Guard, GuardMode, GuardStatus, Keep, Net, NetConfig, Protocol, PublishSpec, Rules, Scope, parse_sources,
};

use crate::{
    bed::{Bed, HOST, container, eventually, explain, inside, ip, publish, run},
    server::{Connection, Servers, tcp},
};

fn rules(allow: &str, deny: &str) -> Rules {
    Rules::new(parse_sources(allow).unwrap(), parse_sources(deny).unwrap())
}

async fn open(bed: &Bed, rules: Rules, guard: Guard) -> Net {
    let config = NetConfig { rules, guard, ..bed.config() };
    Net::open(config).await.unwrap_or_else(|error| panic!("{}", explain(&error)))
}

#[test]
fn the_next_daemons_rules_take_the_place_of_the_last_ones() {
    run(async |bed| {
        let net = bed.start().await;
        let web = container(&net, 2).await;
        let _web = Servers::start(&web.netns, 80);
        let wanted = publish(Protocol::Tcp, Ipv4Addr::UNSPECIFIED, 8080, web.ip(), 80);
        let spec = PublishSpec { publish: wanted, rules: rules("192.0.2.0/24", "") };
        assert_eq!(net.publish(std::slice::from_ref(&spec)).await.unwrap(), [wanted]);
        let mut open_since = inside(&bed.client, || Connection::open(HOST, 8080)).unwrap();
        open_since.exchange(1000).unwrap();
        drop(net);

        let net = open(&bed, rules("", "198.51.100.0/24"), Guard::Off).await;
        let network = beeline_net::NetworkSpec { rules: rules("", "203.0.113.0/24"), ..bed.network() };
        let keep = Keep {
            networks: vec![network],
            endpoints: vec![web.endpoint.clone()],
            publishes: vec![spec.clone()],
        };
        net.reconcile(keep.clone()).await.unwrap();
        open_since.exchange(1000).unwrap();
        inside(&bed.client, || tcp(HOST, 8080)).unwrap();
        let published = net.publish_rules().unwrap();
        let told: Vec<_> = published[0].rules.iter().map(|(scope, rule)| (*scope, rule.hits)).collect();
        // What was counted before goes on; the new set of the network saw the second connection alone.
        let expected = [(Scope::Publish, 2), (Scope::Publish, 0), (Scope::Network, 0), (Scope::Network, 1)];
        assert_eq!(told, expected);

        let denied = PublishSpec { publish: wanted, rules: rules("", "192.0.2.2") };
        net.reconcile(Keep { publishes: vec![denied], ..keep }).await.unwrap();
        assert!(inside(&bed.client, || Connection::open(HOST, 8080)).is_err());
        assert_eq!(net.publishes().unwrap()[0].counters.connections, 2);
        assert!(net.publishes().unwrap()[0].counters.refused >= 1);
        net.destroy().await.unwrap();
    });
}

#[test]
fn the_guard_follows_the_uplinks_that_ask_for_it() {
    run(async |bed| {
        let devices = BTreeSet::from(["up1".to_owned()]);
        let net = open(&bed, rules("", "203.0.113.0/24"), Guard::Devices(devices)).await;
        assert_eq!(net.guards(), [], "there is no such uplink yet");
        ip("link add up1 type veth peer name peer1");
        ip("addr add 198.51.100.1/24 dev up1");
        ip("link set peer1 up");
        ip("link set up1 up");
        let guarded = [GuardStatus { device: "up1".into(), mode: GuardMode::Native }];
        eventually("the uplink that came has its guard", || net.guards() == guarded).await;
        drop(net);

        let net = open(&bed, Rules::default(), Guard::All).await;
        let of_all: Vec<String> = net.guards().into_iter().map(|guard| guard.device).collect();
        assert!(of_all.contains(&"up0".into()) && of_all.contains(&"up1".into()), "{of_all:?}");
        ip("link del up1");
        eventually("its guard goes with it", || net.guards().iter().all(|guard| guard.device != "up1")).await;
        drop(net);
        let net = open(&bed, Rules::default(), Guard::Off).await;
        assert_eq!(net.guards(), []);
        net.destroy().await.unwrap();
    });
}
