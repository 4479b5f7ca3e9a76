//! Who may reach a published port. Asked once for each new flow, and by the host's own clients at their sockets; a
//! packet of a flow that is there is asked nothing.

use aya_ebpf::btf_maps::lpm_trie::Key;
use beeline_abi::{Address, PolicyKey, Rule};

use crate::{count, maps::POLICY, publish::Target};

/// Who wants to come.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// A packet that opens a flow.
    Packet,
    /// A socket of the host that connects.
    Connecting,
    /// A socket of the host that sends one datagram.
    Sending,
}

/// Whether a source may come: each set has to let it through, and the first that does not refuses. A publish without
/// rules costs one comparison.
///
/// Counted are the rule that refuses, or of each set the rule that lets the source through; single datagrams of the
/// host's only when they are refused, as nothing tells their first. The error is the counter of the rule that refuses.
#[inline(always)]
pub fn admit(target: &Target, source: &Address, client: Client) -> Result<(), u32> {
    let sets = target.publish.rules;
    if sets.is_empty() {
        return Ok(());
    }
    let rules = sets.in_order().map(|set| find(set, source));
    for rule in &rules {
        if rule.refuses(client != Client::Packet) {
            count::hit(rule);
            count::denied(target.slot);
            return Err(rule.counter);
        }
    }
    if client != Client::Sending {
        // What a rule would refuse to others, the host gets by no rule.
        for rule in rules.iter().filter(|rule| !rule.refuses(false)) {
            count::hit(rule);
        }
    }
    Ok(())
}

/// What a set says of a source.
#[inline(always)]
fn find(set: u32, source: &Address) -> Rule {
    if set == 0 {
        return Rule::NONE;
    }
    let key = Key::new(PolicyKey::FULL, PolicyKey::new(set, *source));
    POLICY.get(&key).copied().unwrap_or(Rule::REPLACED)
}
