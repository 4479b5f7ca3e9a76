//! Publishing ports: reserve them from the host's processes, tell the datapath, let go of the reservation.

use std::{collections::BTreeMap, net::IpAddr};

use super::{Inner, lock};
use crate::{Error, Publish, Rules, datapath, reserve};

/// Ports to publish, and for whom beside what their network and the daemon say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishSpec {
    /// The ports.
    pub publish: Publish,
    /// Who may come.
    pub rules: Rules,
}

impl From<Publish> for PublishSpec {
    /// For everybody.
    fn from(publish: Publish) -> Self {
        Self { publish, rules: Rules::default() }
    }
}

/// What is published, by container.
#[derive(Debug, Default)]
pub(super) struct Table(BTreeMap<IpAddr, Vec<Publish>>);

impl Table {
    pub(super) fn new(publishes: impl IntoIterator<Item = Publish>) -> Self {
        let mut table = Self::default();
        for publish in publishes {
            table.insert(publish);
        }
        table
    }

    fn insert(&mut self, publish: Publish) {
        let publishes = self.0.entry(publish.container_ip).or_default();
        if !publishes.contains(&publish) {
            publishes.push(publish);
        }
    }

    fn remove(&mut self, publish: &Publish) {
        if let Some(publishes) = self.0.get_mut(&publish.container_ip) {
            publishes.retain(|other| other != publish);
            if publishes.is_empty() {
                self.0.remove(&publish.container_ip);
            }
        }
    }

    pub(super) fn of(&self, container_ip: IpAddr) -> Vec<Publish> {
        self.0.get(&container_ip).cloned().unwrap_or_default()
    }

    pub(super) fn all(&self) -> Vec<Publish> {
        self.0.values().flatten().copied().collect()
    }

    fn contains(&self, publish: &Publish) -> bool {
        self.0.get(&publish.container_ip).is_some_and(|publishes| publishes.contains(publish))
    }

    fn conflict(&self, publish: &Publish) -> Option<Publish> {
        self.0.values().flatten().find(|other| other.overlaps(publish)).copied()
    }
}

impl Inner {
    pub(super) fn publish(&self, publishes: &[PublishSpec]) -> Result<Vec<Publish>, Error> {
        // One request at a time: the sockets of another's check would look like a process that has the port.
        let mut table = lock(&self.published);
        let mut done = Vec::with_capacity(publishes.len());
        for spec in publishes {
            match self.publish_one(&mut table, spec) {
                Ok((publish, is_new)) => done.push((publish, is_new)),
                Err(error) => {
                    for (publish, _) in done.iter().filter(|(_, is_new)| *is_new) {
                        self.withdraw(&mut table, publish).unwrap_or_else(
                            |error| tracing::warn!(%publish, error = ?error, "port not withdrawn"),
                        );
                    }
                    return Err(error);
                }
            }
        }
        Ok(done.into_iter().map(|(publish, _)| publish).collect())
    }

    /// Publishes one; tells whether it was not there before.
    fn publish_one(&self, table: &mut Table, spec: &PublishSpec) -> Result<(Publish, bool), Error> {
        let publish = &spec.publish;
        if table.contains(publish) {
            self.datapath.publish_to(publish, &spec.rules)?;
            return Ok((*publish, false));
        }
        if let Some(taken) = table.conflict(publish) {
            return Err(Error::PortPublished { wanted: *publish, taken });
        }
        let is_published = |candidate: &Publish| table.conflict(candidate).is_some();
        let (publish, reservation) = if self.datapath.is_staged() {
            // An earlier daemon's programs keep the port from everyone, us too.
            (*publish, None)
        } else if publish.host_first == 0 {
            let (publish, held) = reserve::choose(publish, is_published)?;
            (publish, Some(held))
        } else {
            (*publish, Some(reserve::reserve(publish, is_published)?))
        };
        self.datapath.publish_to(&publish, &spec.rules)?;
        table.insert(publish);
        // From here the datapath answers processes that bind the port.
        drop(reservation);
        Ok((publish, true))
    }

    pub(super) fn unpublish(&self, publishes: &[Publish]) -> Result<(), Error> {
        let mut table = lock(&self.published);
        let failures =
            publishes.iter().filter_map(|publish| self.withdraw(&mut table, publish).err()).collect();
        Error::collect(|| "withdraw published ports".to_owned(), failures)
    }

    pub(super) fn unpublish_all_of(&self, container_ip: IpAddr) -> Result<(), Error> {
        let publishes = lock(&self.published).of(container_ip);
        self.unpublish(&publishes)
    }

    fn withdraw(&self, table: &mut Table, publish: &Publish) -> Result<(), Error> {
        match self.datapath.unpublish(publish) {
            Ok(()) | Err(datapath::Error::NotPublished { .. }) => {
                table.remove(publish);
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Protocol;

    fn publish(protocol: Protocol, host: [u8; 4], first: u16, last: u16, container: u8) -> Publish {
        Publish {
            protocol,
            host_ip: IpAddr::from(host),
            host_first: first,
            host_last: last,
            container_ip: [172, 31, 0, container].into(),
            container_first: 80,
        }
    }

    #[test]
    fn ports_conflict_by_protocol_address_and_interval() {
        let held = publish(Protocol::Tcp, [192, 0, 2, 1], 8000, 8010, 2);
        let table = Table::new([held]);
        let any = [0, 0, 0, 0];
        for (wanted, conflicts) in [
            (publish(Protocol::Tcp, any, 8010, 8010, 3), true),
            (publish(Protocol::Tcp, [192, 0, 2, 1], 7999, 8000, 3), true),
            (publish(Protocol::Tcp, any, 7000, 9000, 3), true),
            (publish(Protocol::Tcp, [192, 0, 2, 2], 8000, 8010, 3), false),
            (publish(Protocol::Udp, any, 8000, 8010, 3), false),
            (publish(Protocol::Tcp, any, 8011, 8012, 3), false),
        ] {
            assert_eq!(table.conflict(&wanted), conflicts.then_some(held), "{wanted}");
        }
    }

    #[test]
    fn a_container_is_forgotten_with_its_last_port() {
        let one = publish(Protocol::Tcp, [0, 0, 0, 0], 80, 80, 2);
        let other = publish(Protocol::Tcp, [0, 0, 0, 0], 81, 81, 2);
        let mut table = Table::new([one, other, one]);
        assert_eq!(table.of(one.container_ip), [one, other]);
        table.remove(&one);
        table.remove(&one);
        assert_eq!(table.all(), [other]);
        table.remove(&other);
        assert!(table.0.is_empty());
    }

    fn any_publish() -> impl Strategy<Value = Publish> {
        (any::<bool>(), 0_u8..3, 1_u16..60, 0_u16..8, 2_u8..5).prop_map(
            |(tcp, host, first, more, container)| {
                let protocol = if tcp { Protocol::Tcp } else { Protocol::Udp };
                let host = if host == 0 { [0, 0, 0, 0] } else { [192, 0, 2, host] };
                publish(protocol, host, first, first + more, container)
            },
        )
    }

    proptest! {
        #[test]
        fn a_conflict_is_a_port_that_two_would_answer(wanted in any_publish(), held in prop::collection::vec(any_publish(), 0..6)) {
            let table = Table::new(held.clone());
            let answers = |publish: &Publish, protocol, address: IpAddr, port| {
                publish.protocol == protocol
                    && (publish.host_first..=publish.host_last).contains(&port)
                    && (publish.host_ip.is_unspecified() || publish.host_ip == address)
            };
            let mut expected = false;
            for protocol in [Protocol::Tcp, Protocol::Udp] {
                for address in [[192, 0, 2, 1], [192, 0, 2, 2]].map(IpAddr::from) {
                    for port in 1..=70 {
                        expected |= answers(&wanted, protocol, address, port)
                            && held.iter().any(|other| answers(other, protocol, address, port));
                    }
                }
            }
            prop_assert_eq!(table.conflict(&wanted).is_some(), expected);
        }
    }
}
