//! What the programs tell: conversations of endpoints, and what is refused.
//!
//! The kernel tells that a conversation began, and that something was refused; that a conversation is over is found here, in
//! the table, once a second. What is listened to is said again as often: when no daemon says it any more, it ends.

use std::{
    collections::HashSet,
    net::{IpAddr, SocketAddr},
    os::fd::{AsFd as _, OwnedFd},
    time::{Duration, SystemTime},
};

use aya::maps::{MapData, RingBuf};
use beeline_abi::{
    Address, Begun, Conversation, Dropped, EventLoss, Listening, Tuple, conversation_state as state,
    event_kind, ip,
};

use super::{
    Datapath, Direction, Error, PeerScope, Volume, monotonic_now,
    pins::Pins,
    refusal::{self, Refusal},
    syscall,
    tables::{self, failed},
};

/// How long what was said of listening holds, in nanoseconds.
const HOLDS: u64 = 3_000_000_000;

/// How many beginnings a processor tells of in a tenth of a second.
const FLOW_BUDGET: u32 = 400;

/// How many refusals.
const DROP_BUDGET: u32 = 50;

/// How long a connection that is over is kept, for what is still on its way, in nanoseconds.
const LINGER: u64 = 1_000_000_000;

/// What became of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It began with this packet.
    Began,
    /// It was going on when somebody began to listen: who began is a guess.
    Found,
    /// Closed by both ends, or reset.
    Closed,
    /// The answer to the opening was a reset.
    Refused,
    /// The opening had no answer.
    Failed,
    /// Nothing was said for as long as such conversations are remembered.
    Silent,
    /// The endpoint is gone.
    Gone,
}

/// Both ends of a conversation, as one of them sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowEnds {
    /// The container's.
    pub local: SocketAddr,
    /// The peer's.
    pub remote: SocketAddr,
}

impl From<&Tuple> for FlowEnds {
    fn from(tuple: &Tuple) -> Self {
        let end = |address: Address, port| SocketAddr::new(IpAddr::from(address), port);
        Self { local: end(tuple.local, tuple.local_port), remote: end(tuple.remote, tuple.remote_port) }
    }
}

/// A conversation of an endpoint, when it began or when it was over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowRecord {
    /// When this was.
    pub time: SystemTime,
    /// What became of it.
    pub phase: Phase,
    /// The IP protocol.
    pub protocol: u8,
    /// Who began: out for the endpoint's container.
    pub direction: Direction,
    /// With whom it is.
    pub peer: PeerScope,
    /// Both ends as the container sees them.
    pub inside: FlowEnds,
    /// Both ends as the peer sees them.
    pub wire: FlowEnds,
    /// From the first packet to the last.
    pub duration: Duration,
    /// What the container sent.
    pub sent: Volume,
    /// What it got.
    pub received: Volume,
}

/// Something that the programs tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// Of a conversation.
    Flow(FlowRecord),
    /// Of something that was refused.
    Refused(Refusal),
}

/// The moment at which a clock that counts from the machine's start and one that counts from the epoch are compared.
#[derive(Clone, Copy)]
pub(super) struct Clock {
    monotonic: u64,
    system: SystemTime,
}

impl Clock {
    pub(super) fn read() -> Result<Self, Error> {
        Ok(Self { monotonic: monotonic_now()?, system: SystemTime::now() })
    }

    /// When something was, from its monotonic nanoseconds.
    pub(super) fn time(self, monotonic: u64) -> SystemTime {
        self.system - Duration::from_nanos(self.monotonic.saturating_sub(monotonic))
    }
}

/// The reader of what the programs tell. There is one for an instance.
pub struct Events {
    ring: RingBuf<MapData>,
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}

impl std::os::fd::AsFd for Events {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.ring.as_fd()
    }
}

impl Events {
    pub(super) fn open(pins: &Pins) -> Result<Self, Error> {
        let data = MapData::from_pin(pins.map("EVENTS")).map_err(failed("open", "EVENTS"))?;
        let ring = RingBuf::try_from(aya::maps::Map::RingBuf(data)).map_err(failed("open", "EVENTS"))?;
        Ok(Self { ring })
    }
}

impl Datapath {
    /// The reader of what the programs tell.
    ///
    /// # Errors
    /// [`Error::Map`].
    pub fn events(&self) -> Result<Events, Error> {
        Events::open(&self.pins)
    }

    /// Says what is listened to for the next three seconds; to be called every second.
    ///
    /// # Errors
    /// [`Error::Map`], [`Error::Flows`].
    pub fn listen(&self, to_flows: bool) -> Result<(), Error> {
        let until = monotonic_now()? + HOLDS;
        let listening = Listening {
            flows_until: if to_flows { until } else { 0 },
            drops_until: until,
            flow_budget: FLOW_BUDGET,
            drop_budget: DROP_BUDGET,
        };
        self.state().tables.listening.set(0, listening, 0).map_err(failed("write", "LISTENING"))
    }

    /// Hands on everything that the programs have told since the last call.
    ///
    /// # Errors
    /// [`Error::Flows`].
    pub fn drain(&self, events: &mut Events, mut each: impl FnMut(Told)) -> Result<(), Error> {
        let clock = Clock::read()?;
        while let Some(item) = events.ring.next() {
            let told = match item.first_chunk().map(|kind| u32::from_ne_bytes(*kind)) {
                Some(event_kind::BEGUN) => read::<Begun>(&item).map(|event| Told::Flow(begun(clock, &event))),
                Some(event_kind::DROPPED) => {
                    read::<Dropped>(&item).map(|event| Told::Refused(self.refusal(clock, &event)))
                }
                _ => None,
            };
            drop(item);
            told.into_iter().for_each(&mut each);
        }
        Ok(())
    }

    fn refusal(&self, clock: Clock, event: &Dropped) -> Refusal {
        Refusal { rule: self.state().rule_of(event.rule), ..refusal::parse(clock, event) }
    }

    /// Takes the conversations that are over out of the table.
    ///
    /// # Errors
    /// [`Error::Flows`], [`Error::Pins`].
    pub fn ended_flows(&self) -> Result<Vec<FlowRecord>, Error> {
        let clock = Clock::read()?;
        let table = self.conversations()?;
        let owners: HashSet<(u16, Address)> = {
            let state = self.state();
            let of = |device: &beeline_abi::Device| {
                let slot = device.slot as u16;
                [device.address, device.address6, device.link_local].map(|address| (slot, address))
            };
            state.devices.values().flat_map(of).collect()
        };
        let mut over = Vec::new();
        syscall::for_each_in_batches::<Tuple, Conversation>(&table, |tuple, conversation| {
            let is_gone = !owners.contains(&(tuple.zone, tuple.local));
            let phase = if is_gone { Some(Phase::Gone) } else { self.end(clock, tuple, conversation) };
            over.extend(phase.map(|phase| (*tuple, phase)));
        })
        .map_err(|source| Error::Flows { operation: "read the conversations among", source })?;
        let mut records = Vec::with_capacity(over.len());
        for (tuple, phase) in over {
            // What was said until this very moment is in it.
            let last = syscall::take::<Tuple, Conversation>(table.as_fd(), &tuple)
                .map_err(|source| Error::Flows { operation: "take conversations from", source })?;
            records.extend(last.map(|last| record(clock, phase, &tuple, &last)));
        }
        Ok(records)
    }

    /// The conversations that go on, and what they have carried so far.
    ///
    /// # Errors
    /// [`Error::Flows`], [`Error::Pins`].
    pub fn present_flows(&self) -> Result<Vec<FlowRecord>, Error> {
        let clock = Clock::read()?;
        let mut records = Vec::new();
        syscall::for_each_in_batches::<Tuple, Conversation>(&self.conversations()?, |tuple, conversation| {
            records.push(record(clock, Phase::Found, tuple, conversation));
        })
        .map_err(|source| Error::Flows { operation: "read the conversations among", source })?;
        Ok(records)
    }

    /// Forgets all conversations: nobody listens any more.
    ///
    /// # Errors
    /// [`Error::Flows`], [`Error::Pins`].
    pub fn forget_conversations(&self) -> Result<(), Error> {
        let table = self.conversations()?;
        let mut keys = Vec::new();
        syscall::for_each_in_batches::<Tuple, Conversation>(&table, |tuple, _| keys.push(*tuple))
            .map_err(|source| Error::Flows { operation: "read the conversations among", source })?;
        for key in keys {
            syscall::take::<Tuple, Conversation>(table.as_fd(), &key)
                .map_err(|source| Error::Flows { operation: "take conversations from", source })?;
        }
        Ok(())
    }

    fn conversations(&self) -> Result<OwnedFd, Error> {
        tables::open_raw(&self.pins, "CONVERSATIONS")
    }

    /// What the programs could not tell, by what it is and why.
    ///
    /// # Errors
    /// [`Error::Map`].
    pub fn event_losses(&self) -> Result<Vec<(EventLoss, u64)>, Error> {
        let state = self.state();
        let of = |loss: &EventLoss| {
            Ok((*loss, tables::sum(&state.tables.event_losses, "EVENT_LOSSES", *loss as u32)?))
        };
        EventLoss::ALL.iter().map(of).collect()
    }

    /// How a conversation ended, if it did.
    fn end(&self, clock: Clock, tuple: &Tuple, conversation: &Conversation) -> Option<Phase> {
        let silence = clock.monotonic.saturating_sub(conversation.last_seen);
        let (most, phase) = match (conversation.state, tuple.protocol) {
            (state::REFUSED, _) => (LINGER, Phase::Refused),
            (state::CLOSED, _) => (LINGER, Phase::Closed),
            (state::OPENING, _) => (self.timeouts.tcp_opening, Phase::Failed),
            (_, ip::TCP) => (self.timeouts.tcp_established, Phase::Silent),
            (_, ip::UDP) => (self.timeouts.udp, Phase::Silent),
            (_, ip::ICMP | ip::ICMPV6) => (self.timeouts.icmp, Phase::Silent),
            _ => (self.timeouts.other, Phase::Silent),
        };
        (silence > most).then_some(phase)
    }
}

/// Data as the kernel wrote it; none if it is cut off.
pub(super) fn read<T: aya::Pod>(bytes: &[u8]) -> Option<T> {
    // SAFETY: plain data of which any bytes are valid, and as many as there are.
    (bytes.len() >= size_of::<T>()).then(|| unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
}

fn begun(clock: Clock, event: &Begun) -> FlowRecord {
    let phase = if event.conversation.is_found == 0 { Phase::Began } else { Phase::Found };
    let record = record(clock, phase, &event.inside, &event.conversation);
    FlowRecord { time: clock.time(event.conversation.began), ..record }
}

fn record(clock: Clock, phase: Phase, inside: &Tuple, conversation: &Conversation) -> FlowRecord {
    FlowRecord {
        time: clock.time(conversation.last_seen),
        phase,
        protocol: inside.protocol,
        direction: if conversation.direction == 0 { Direction::Out } else { Direction::In },
        peer: conversation.peer_scope(),
        inside: inside.into(),
        wire: (&conversation.wire).into(),
        duration: Duration::from_nanos(conversation.last_seen.saturating_sub(conversation.began)),
        sent: conversation.sent,
        received: conversation.received,
    }
}
