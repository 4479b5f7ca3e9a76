//! Conversations of containers, for whoever listens: without anybody, a packet pays for one comparison.
//!
//! A packet is noted for each container that sends or gets it, when its fate is known.

use aya_ebpf::{
    bindings::{BPF_F_NO_PREALLOC, BPF_NOEXIST},
    btf_maps::{HashMap, PerCpuArray},
    macros::btf_map,
};
use beeline_abi::{
    Begun, Conversation, Direction, EventLoss, MAX_CONVERSATIONS, PeerScope, Side, Tuple, Volume,
    conversation_state as state, event_kind, ip,
};

use crate::{
    conntrack,
    ends::Ends,
    event,
    maps::{self, Table as _},
    packet::{ACK, FIN, Packet, RST, SYN, Transport},
    plan::Plan,
};

/// Conversations by the tuple as the container sees it, with its slot as the zone. Memory is taken as it is needed.
#[btf_map]
static CONVERSATIONS: HashMap<
    Tuple,
    Conversation,
    { MAX_CONVERSATIONS as usize },
    { BPF_F_NO_PREALLOC as usize },
> = HashMap::new();

/// Room for one that begins.
#[btf_map]
static BEGINNINGS: PerCpuArray<Begun, 1> = PerCpuArray::new();

/// Whose packet it is: its container's slot, and which way it goes.
#[derive(Clone, Copy)]
pub struct Noted {
    pub slot: u32,
    pub direction: Direction,
}

/// Notes a packet that a container sends or gets, translated as planned.
#[inline(always)]
pub fn note(packet: &Packet, plan: &Plan, noted: Noted, volume: Volume) {
    // An error is of the conversation it tells of, and no part of it.
    if event::is_listening() && packet.has_ports() {
        let _ = note_wanted(
            packet,
            plan,
            noted.slot << 1 | noted.direction.index() as u32,
            volume.bytes,
            volume.packets,
        );
    }
}

/// A function of its own: what it needs of the stack is free again afterwards, and it has as many parameters as there are
/// registers for.
#[inline(never)]
fn note_wanted(
    packet: &Packet,
    plan: &Plan,
    slot_and_direction: u32,
    bytes: u64,
    packets: u64,
) -> Option<()> {
    let noted = Noted {
        slot: slot_and_direction >> 1,
        direction: if slot_and_direction & 1 == 0 { Direction::Out } else { Direction::In },
    };
    let begun = maps::own(&BEGINNINGS, 0)?;
    let before = packet.ends();
    let after = if plan.is_translated() { plan.ends() } else { packet.ends() };
    let (inside, wire) = match noted.direction {
        Direction::Out => (&before, &after),
        Direction::In => (&after, &before),
    };
    write(&mut begun.inside, inside, noted.direction);
    write(&mut begun.conversation.wire, wire, noted.direction);
    (begun.inside.protocol, begun.inside.side, begun.inside.zone) =
        (packet.protocol, Side::Inside as u8, noted.slot as u16);
    let wire = &mut begun.conversation.wire;
    (wire.protocol, wire.side, wire.zone) = (packet.protocol, Side::Wire as u8, 0);
    let volume = Volume { bytes, packets };
    match CONVERSATIONS.find_mut(&begun.inside) {
        Some(known) => go_on(known, packet, noted, volume),
        None => begin(begun, packet, plan.peer(), noted, volume),
    }
    Some(())
}

/// Writes the ends of a packet that goes this way, field by field where the tuple lies.
#[inline(always)]
fn write(tuple: &mut Tuple, ends: &Ends<'_>, direction: Direction) {
    let (source, destination) =
        ((ends.source, ends.ports.source), (ends.destination, ends.ports.destination));
    let (local, remote) = match direction {
        Direction::Out => (source, destination),
        Direction::In => (destination, source),
    };
    (tuple.local, tuple.remote) = (local.0.by_words(), remote.0.by_words());
    (tuple.local_port, tuple.remote_port) = (local.1, remote.1);
}

/// A packet of a conversation that is known.
#[inline(always)]
fn go_on(known: &mut Conversation, packet: &Packet, noted: Noted, volume: Volume) {
    known.last_seen = conntrack::now();
    match noted.direction {
        Direction::Out => known.sent += volume,
        Direction::In => known.received += volume,
    }
    if packet.protocol != ip::TCP || packet.transport != Transport::Header {
        return;
    }
    let is_answer = noted.direction.index() as u8 != known.direction;
    let was_opening = known.state == state::OPENING;
    if packet.tcp & RST != 0 {
        known.state = if was_opening && is_answer { state::REFUSED } else { state::CLOSED };
    } else if packet.opens() && known.state > state::OPEN {
        // The same ports once more, before the daemon has taken the old conversation away.
        (known.state, known.closed) = (state::OPENING, 0);
    } else if packet.tcp & (SYN | ACK) == SYN | ACK && was_opening && is_answer {
        known.state = state::OPEN;
    } else if packet.tcp & FIN != 0 {
        known.closed |= 1 << noted.direction.index();
        if known.closed == 3 {
            known.state = state::CLOSED;
        }
    }
}

/// A packet of none that is known.
#[inline(always)]
fn begin(begun: &mut Begun, packet: &Packet, peer: PeerScope, noted: Noted, volume: Volume) {
    let is_segment = packet.protocol == ip::TCP && packet.transport == Transport::Header;
    let opens = is_segment && packet.opens();
    // Of a connection that ends, nothing is begun.
    if !opens && is_segment && packet.tcp & (RST | FIN) != 0 {
        return;
    }
    let is_translated = begun.inside.local != begun.conversation.wire.local;
    let direction = if opens { noted.direction } else { guess(&begun.inside, peer, is_translated, noted) };
    // What two containers have to do with each other is told of the one that began.
    if direction == Direction::In && peer.is_container() {
        return;
    }
    let now = conntrack::now();
    if !event::may_tell_flow(now) {
        event::lost(EventLoss::FlowRate);
        return;
    }
    let new = &mut begun.conversation;
    (new.began, new.last_seen) = (now, now);
    (new.sent, new.received) = match noted.direction {
        Direction::Out => (volume, Volume { bytes: 0, packets: 0 }),
        Direction::In => (Volume { bytes: 0, packets: 0 }, volume),
    };
    new.state = if opens { state::OPENING } else { state::OPEN };
    (new.peer, new.direction, new.closed) = (peer as u8, direction.index() as u8, 0);
    (new.is_found, new.pad) = (u8::from(is_segment && !opens), [0; 3]);
    match CONVERSATIONS.insert(&begun.inside, &begun.conversation, u64::from(BPF_NOEXIST)) {
        Ok(()) => {
            (begun.kind, begun.pad) = (event_kind::BEGUN, 0);
            event::begun(begun);
        }
        // Another processor has begun it.
        Err(conntrack::EEXIST) => {}
        Err(_) => event::lost(EventLoss::FlowTable),
    }
}

/// Who began what no SYN begins, or what is found in the middle: the way it goes says so, or else that a server's port is
/// the lower one.
#[inline(always)]
fn guess(inside: &Tuple, peer: PeerScope, is_translated: bool, noted: Noted) -> Direction {
    match peer {
        PeerScope::Published => Direction::In,
        PeerScope::Outside if is_translated => Direction::Out,
        _ if inside.protocol != ip::TCP && !peer.is_container() => noted.direction,
        _ if inside.local_port < inside.remote_port => Direction::In,
        _ => Direction::Out,
    }
}
