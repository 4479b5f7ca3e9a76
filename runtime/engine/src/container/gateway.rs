//! By which of its networks a container's default routes lead, and its published ports.

use std::cmp::Reverse;

/// A network a container is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Candidate<'a> {
    pub(crate) name: &'a str,
    /// The container's wish.
    pub(crate) priority: i64,
    /// Nothing outside can be reached by it.
    pub(crate) internal: bool,
    pub(crate) ipv4: bool,
    pub(crate) ipv6: bool,
}

/// The positions of the gateways of both families.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Gateways {
    pub(crate) ipv4: Option<usize>,
    pub(crate) ipv6: Option<usize>,
}

/// Docker's order: the greatest priority, then networks with both families, then by name. Internal ones have no gateway.
pub(crate) fn choose(candidates: &[Candidate<'_>]) -> Gateways {
    let mut order: Vec<usize> = (0..candidates.len()).filter(|at| !candidates[*at].internal).collect();
    order.sort_by_key(|at| {
        let candidate = &candidates[*at];
        (Reverse(candidate.priority), !(candidate.ipv4 && candidate.ipv6), candidate.name)
    });
    let first = |has: fn(&Candidate<'_>) -> bool| order.iter().copied().find(|at| has(&candidates[*at]));
    Gateways { ipv4: first(|candidate| candidate.ipv4), ipv6: first(|candidate| candidate.ipv6) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(name: &str) -> Candidate<'_> {
        Candidate { name, priority: 0, internal: false, ipv4: true, ipv6: false }
    }

    #[test]
    fn the_first_name_leads_unless_a_priority_says_otherwise() {
        let (back, front) = (candidate("back"), candidate("front"));
        assert_eq!(choose(&[front, back]).ipv4, Some(1));
        assert_eq!(choose(&[Candidate { priority: 1, ..front }, back]).ipv4, Some(0));
        assert_eq!(choose(&[front, Candidate { priority: -1, ..back }]).ipv4, Some(0));
        assert_eq!(choose(&[]), Gateways::default());
    }

    #[test]
    fn an_internal_network_never_leads() {
        let internal = Candidate { internal: true, priority: 9, ..candidate("a") };
        assert_eq!(choose(&[internal, candidate("b")]).ipv4, Some(1));
        assert_eq!(choose(&[internal]), Gateways::default());
    }

    #[test]
    fn each_family_has_its_gateway_and_one_network_both_if_it_can() {
        let six = Candidate { ipv4: false, ipv6: true, ..candidate("a") };
        let four = candidate("b");
        let both = Candidate { ipv6: true, ..candidate("c") };
        assert_eq!(choose(&[six, four]), Gateways { ipv4: Some(1), ipv6: Some(0) });
        assert_eq!(choose(&[six, four, both]), Gateways { ipv4: Some(2), ipv6: Some(2) });
    }
}
