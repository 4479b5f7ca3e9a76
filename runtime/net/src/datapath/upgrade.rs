//! Taking over from a daemon whose maps are laid out otherwise.
//!
//! The programs in place go on with their own maps until the new ones hold all that the daemon knows; then the links lead
//! to the new programs, one update each. Flows are carried over before that, and once more after it for those that began
//! meanwhile.

use std::{collections::HashMap, os::fd::AsFd as _, path::PathBuf};

use beeline_abi::{Address, FLOW_LAYOUT_SINCE, Flow, FlowKind, NO_PUBLISH, Tuple};

use super::{
    Error,
    attach::Way,
    flows::Generations,
    pins::Pins,
    state::State,
    syscall,
    tables::{BPF_NOEXIST, errno, failed},
};

/// What waits for the links to be updated.
#[derive(Debug, Default)]
pub(super) struct Staged {
    /// Maps of other layouts with their versions.
    pub(super) earlier: Vec<(u32, PathBuf)>,
    /// Where programs are to be attached.
    pub(super) devices: Vec<Device>,
}

/// A device at which a program is to be attached.
#[derive(Clone, Debug)]
pub(super) struct Device {
    pub(super) program: &'static str,
    pub(super) ifindex: u32,
    pub(super) ifname: String,
    pub(super) way: Way,
}

impl Staged {
    /// What is staged when maps of another layout are there; nothing otherwise.
    pub(super) fn find(pins: &Pins) -> Result<Option<Self>, Error> {
        let earlier = pins.earlier_maps()?;
        Ok((!earlier.is_empty()).then(|| Self { earlier, devices: Vec::new() }))
    }

    /// Carries over the flows whose endpoints, and publishes, are there. Those that are known already are left alone.
    pub(super) fn carry_flows(&self, state: &mut State) -> Result<u64, Error> {
        let mut carried = 0;
        for (version, folder) in &self.earlier {
            if *version < FLOW_LAYOUT_SINCE {
                tracing::warn!(version, "connections end: their layout is of long ago");
                continue;
            }
            let path = folder.join("FLOWS");
            // A daemon that was killed while it made its maps left none.
            let Ok(map) = syscall::open_pinned(&path) else { continue };
            let mut flows = Vec::new();
            syscall::for_each_in_batches::<Tuple, Flow>(map.as_fd(), |tuple, flow| {
                if flow.kind != FlowKind::Stub as u8 {
                    flows.push((*tuple, *flow));
                }
            })
            .map_err(|source| Error::Flows { operation: "carry over", source })?;
            let generations = state.generations()?;
            let slots = slots(state);
            for (tuple, flow) in flows {
                if let Some(flow) = adapt(state, &generations, &slots, &tuple, flow)
                    && carry(state, tuple, flow)?
                {
                    carried += 1;
                }
            }
        }
        Ok(carried)
    }
}

/// The slots of the publishes by the containers they lead to.
fn slots(state: &State) -> HashMap<Address, Vec<u32>> {
    let mut slots: HashMap<Address, Vec<u32>> = HashMap::new();
    for (slot, publish) in &state.publishes {
        slots.entry(publish.container).or_default().push(*slot);
    }
    slots
}

/// The flow as one of the endpoint, and the publish, of now; none if one of them is gone.
fn adapt(
    state: &State,
    generations: &Generations,
    slots: &HashMap<Address, Vec<u32>>,
    tuple: &Tuple,
    flow: Flow,
) -> Option<Flow> {
    let endpoint_generation = generations.endpoint(&tuple.local)?;
    if flow.publish == NO_PUBLISH {
        return Some(Flow { endpoint_generation, ..flow });
    }
    let wire = &flow.counterpart;
    let mut candidates =
        slots.get(&tuple.local)?.iter().filter_map(|slot| state.publishes.get_key_value(slot));
    let (slot, publish) = candidates.find(|(_, publish)| {
        let is_any = publish.host == Address::ANY_V4 || publish.host == Address::ANY_V6;
        publish.protocol == wire.protocol
            && publish.host.is_v4() == wire.local.is_v4()
            && (is_any || publish.host == wire.local)
            && publish.container_port(wire.local_port) == Some(tuple.local_port)
    })?;
    // Other rules may hold than when it began; where the kernel does not tell, it begins anew.
    if !state.permits(*slot, &wire.remote).unwrap_or(false) {
        return None;
    }
    Some(Flow { endpoint_generation, publish: *slot, publish_generation: publish.generation, ..flow })
}

/// Writes both halves of a flow, unless it is there; tells whether it was not.
fn carry(state: &mut State, tuple: Tuple, flow: Flow) -> Result<bool, Error> {
    let table = &mut state.tables.flows;
    match table.insert(tuple, flow, BPF_NOEXIST) {
        Ok(()) => {}
        Err(error) if errno(&error) == Some(libc::EEXIST) => return Ok(false),
        Err(error) => return Err(failed("write", "FLOWS")(error)),
    }
    let stub = Flow { counterpart: tuple, kind: FlowKind::Stub as u8, ..flow };
    match table.insert(flow.counterpart, stub, BPF_NOEXIST) {
        Ok(()) => Ok(true),
        Err(error) if errno(&error) == Some(libc::EEXIST) => Ok(true),
        Err(error) => Err(failed("write", "FLOWS")(error)),
    }
}
