use std::net::Ipv4Addr;

use super::*;

const FRONT: u32 = 2;
const BACK: u32 = 3;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn zone(network: u32, name: &str) -> Zone {
    let subnet = format!("10.{network}.0.0/16").parse().unwrap();
    Zone { network, name: name.into(), subnets: vec![subnet], internal: false }
}

fn member(network: u32, container: &str, names: &[&str], address: &str) -> Member {
    Member {
        network,
        container: container.into(),
        names: names.iter().map(|name| (*name).into()).collect(),
        addresses: vec![ip(address)],
        ..Member::default()
    }
}

fn names(members: impl IntoIterator<Item = Member>) -> Names {
    let mut names = Names::default();
    names.set_zone(zone(FRONT, "front"));
    names.set_zone(zone(BACK, "back.end"));
    for member in members {
        assert!(names.set_member(member));
    }
    names
}

fn ask(names: &Names, container: &str, name: &str) -> Outcome {
    names.resolve(container, &Subject::Name { name: name.into(), about_zone: false })
}

fn found(addresses: &[&str]) -> Outcome {
    Outcome::Addresses(addresses.iter().map(|address| ip(address)).collect())
}

#[test]
fn a_container_sees_the_names_of_its_own_networks_alone() {
    let names = names([
        member(FRONT, "a", &["Web", "aaaa"], "10.2.0.2"),
        member(FRONT, "b", &["proxy"], "10.2.0.3"),
        member(BACK, "b", &["proxy"], "10.3.0.3"),
        member(BACK, "c", &["db"], "10.3.0.4"),
    ]);
    assert_eq!(ask(&names, "b", "web"), found(&["10.2.0.2"]));
    assert_eq!(ask(&names, "b", "aaaa"), found(&["10.2.0.2"]));
    assert_eq!(ask(&names, "b", "db"), found(&["10.3.0.4"]));
    assert_eq!(ask(&names, "a", "db"), Outcome::Unknown);
    assert_eq!(ask(&names, "stranger", "db"), Outcome::Unknown);
    assert_eq!(ask(&names, "a", "www.example.com"), Outcome::Elsewhere);
}

#[test]
fn a_name_may_be_followed_by_that_of_its_network() {
    let names = names([
        member(FRONT, "a", &["web", "v1.web"], "10.2.0.2"),
        member(BACK, "a", &["web"], "10.3.0.2"),
        member(BACK, "c", &["db"], "10.3.0.4"),
    ]);
    assert_eq!(ask(&names, "a", "web.front"), found(&["10.2.0.2"]));
    assert_eq!(ask(&names, "a", "web.back.end"), found(&["10.3.0.2"]));
    assert_eq!(ask(&names, "a", "v1.web.front"), found(&["10.2.0.2"]));
    assert_eq!(ask(&names, "a", "nobody.front"), Outcome::Elsewhere);
    assert_eq!(ask(&names, "c", "web.front"), Outcome::Elsewhere, "not its network");
}

#[test]
fn one_name_has_the_addresses_of_all_who_share_it() {
    let mut names = names((2..5).map(|last| {
        let id = last.to_string();
        member(FRONT, &id, &["web", &format!("web-{last}")], &format!("10.2.0.{last}"))
    }));
    assert_eq!(ask(&names, "2", "web"), found(&["10.2.0.2", "10.2.0.3", "10.2.0.4"]));
    names.remove_member(FRONT, "3");
    assert_eq!(ask(&names, "2", "web"), found(&["10.2.0.2", "10.2.0.4"]));
    assert_eq!(ask(&names, "2", "web-3"), Outcome::Unknown);
    assert!(names.asker(ip("10.2.0.3")).is_none());
}

#[test]
fn of_two_networks_that_know_a_name_the_one_with_priority_decides() {
    let one = member(FRONT, "a", &["a"], "10.2.0.2");
    let other = member(BACK, "a", &["a"], "10.3.0.2");
    let dbs = [member(FRONT, "x", &["db"], "10.2.0.9"), member(BACK, "y", &["db"], "10.3.0.9")];
    let mut names = names(dbs.into_iter().chain([one.clone(), other.clone()]));
    assert_eq!(ask(&names, "a", "db"), found(&["10.3.0.9"]), "the first by name");
    names.set_member(Member { priority: 1, ..one });
    assert_eq!(ask(&names, "a", "db"), found(&["10.2.0.9"]));
    names.set_member(Member { priority: 2, ..other });
    assert_eq!(ask(&names, "a", "db"), found(&["10.3.0.9"]));
}

#[test]
fn a_link_is_a_name_for_one_alone() {
    let link = |alias: &str, target: &str| Link { alias: alias.into(), target: target.into() };
    let links = vec![link("Store", "db"), link("by-id", "c"), link("nowhere", "gone")];
    let names = names([
        Member { links, ..member(FRONT, "a", &["a"], "10.2.0.2") },
        member(FRONT, "b", &["b"], "10.2.0.3"),
        member(FRONT, "c", &["db"], "10.2.0.4"),
    ]);
    assert_eq!(ask(&names, "a", "store"), found(&["10.2.0.4"]));
    assert_eq!(ask(&names, "a", "by-id"), found(&["10.2.0.4"]));
    assert_eq!(ask(&names, "a", "nowhere"), Outcome::Unknown);
    assert_eq!(ask(&names, "b", "store"), Outcome::Unknown);
}

#[test]
fn an_address_is_told_by_its_first_name_and_its_network() {
    let names =
        names([member(FRONT, "a", &["web", "alias"], "10.2.0.2"), member(BACK, "c", &["db"], "10.3.0.4")]);
    let ask = |address: &str| names.resolve("a", &Subject::Address(ip(address)));
    assert_eq!(ask("10.2.0.2"), Outcome::Name("web.front".into()));
    assert_eq!(ask("10.2.7.7"), Outcome::Unknown, "the subnet is ours");
    assert_eq!(ask("10.3.0.4"), Outcome::Elsewhere, "of a network that it is not on");
    assert_eq!(ask("192.0.2.1"), Outcome::Elsewhere);
}

#[test]
fn who_is_on_internal_networks_alone_asks_nobody_outside() {
    let mut names = names([member(FRONT, "a", &["a"], "10.2.0.2")]);
    assert!(matches!(names.outside("a"), Outside::Host));
    names.set_zone(Zone { internal: true, ..zone(FRONT, "front") });
    assert!(matches!(names.outside("a"), Outside::None));
    let servers = vec![SocketAddr::new(ip("192.0.2.1"), 53)];
    names.set_member(Member { servers, ..member(BACK, "a", &["a"], "10.3.0.2") });
    assert!(matches!(names.outside("a"), Outside::Own(_)));
    names.remove_zone(BACK);
    assert!(matches!(names.outside("a"), Outside::None));
    assert!(matches!(names.outside("stranger"), Outside::None));
}

#[test]
fn an_address_that_moved_belongs_to_its_new_owner() {
    let mut names = names([member(FRONT, "a", &["a"], "10.2.0.2")]);
    names.set_member(member(FRONT, "b", &["b"], "10.2.0.2"));
    names.remove_member(FRONT, "a");
    assert_eq!(&*names.asker(ip("10.2.0.2")).unwrap().container, "b");
    names.set_member(member(FRONT, "b", &["b"], "10.2.0.3"));
    assert!(names.asker(ip("10.2.0.2")).is_none());
    assert!(!names.set_member(member(9, "b", &["b"], "10.9.0.2")), "no such network");
}

#[test]
fn what_is_known_of_a_container_goes_with_its_last_network() {
    let mut names = names((0..1500_u32).map(|number| {
        let address = Ipv4Addr::from(0x0a02_0002 + number).to_string();
        member(FRONT, &number.to_string(), &[&format!("c{number}")], &address)
    }));
    assert_eq!(ask(&names, "0", "c1499"), found(&["10.2.5.221"]));
    for number in 0..1500 {
        names.remove_member(FRONT, &number.to_string());
    }
    assert!(names.containers.is_empty() && names.addresses.is_empty());
    assert!(names.zones.values().all(|known| known.members.is_empty() && known.names.is_empty()));
}

#[test]
fn each_of_fifteen_hundred_members_is_found_by_every_other() {
    let names = names((0..1500).map(|number| {
        let address = format!("10.2.{}.{}", number / 250, number % 250 + 2);
        member(FRONT, &number.to_string(), &[&format!("web-{number}")], &address)
    }));
    for number in 0..1500 {
        let asker = ((number + 751) % 1500).to_string();
        let expected = format!("10.2.{}.{}", number / 250, number % 250 + 2);
        assert_eq!(ask(&names, &asker, &format!("web-{number}")), found(&[&expected]));
    }
}
