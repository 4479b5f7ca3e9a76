//! Who may reach a published port: rules by the source's address.
//!
//! Rules lie in sets: a publish has one of its own, its network another, the daemon a third. All sets share one
//! longest-prefix-match table, whose keys begin with the set's number. A set answers for every source: it has an entry for
//! all of IPv4 and one for all of IPv6 besides its rules, so that a rule for `::/0` does not meet IPv4 in its mapped form.

use crate::Address;

/// The most rules of one instance, over all sets: the size of the table of their counters.
pub const MAX_RULES: u32 = 16_384;

/// What a rule does with its sources.
pub mod action {
    /// They are let through.
    pub const ALLOW: u32 = 0;
    /// They are refused.
    pub const DENY: u32 = 1;
    /// No rule names them and the set has a list of who is allowed: refused, unless it is the host itself.
    pub const UNLISTED: u32 = 2;
    /// No rule names them and the set has no such list: they are let through.
    pub const OTHERS: u32 = 3;
}

/// The sets that the sources of a publish have to pass, each by its number; zero for none.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RuleSets {
    /// The publish's own.
    pub publish: u32,
    /// Its network's.
    pub network: u32,
    /// The daemon's.
    pub daemon: u32,
}

impl RuleSets {
    /// Whether anybody may come.
    #[inline(always)]
    pub const fn is_empty(&self) -> bool {
        self.publish | self.network | self.daemon == 0
    }

    /// The sets in the order they are asked.
    #[inline(always)]
    pub const fn in_order(&self) -> [u32; 3] {
        [self.publish, self.network, self.daemon]
    }
}

/// The data of a key of the tables of rules: compared bit by bit from the front.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PolicyKey {
    /// The set's number; in the table of the guard the address's family.
    pub set: u32,
    /// The source's address.
    pub address: Address,
}

impl PolicyKey {
    /// The prefix length, in bits, that compares everything.
    pub const FULL: u32 = 8 * size_of::<Self>() as u32;

    /// The bits before those of an IPv6 address.
    pub const BITS_BEFORE_V6: u32 = Self::FULL - 128;

    /// The bits before those of an IPv4 address.
    pub const BITS_BEFORE_V4: u32 = Self::FULL - 32;

    /// In the table of the guard, the number of IPv4's rules.
    pub const GUARD_V4: u32 = 4;

    /// In the table of the guard, the number of IPv6's rules.
    pub const GUARD_V6: u32 = 6;

    /// A key for one address.
    #[inline(always)]
    pub const fn new(set: u32, address: Address) -> Self {
        Self { set, address }
    }
}

/// What is said of the sources of a prefix.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// See [`action`].
    pub action: u32,
    /// The index of its counter; from [`MAX_RULES`] on it has none.
    pub counter: u32,
}

impl Rule {
    /// What a set that is not there says: nothing, and nothing is counted.
    pub const NONE: Self = Self { action: action::ALLOW, counter: MAX_RULES };

    /// What a set says that is this very moment replaced: come again.
    pub const REPLACED: Self = Self { action: action::DENY, counter: MAX_RULES };

    /// Whether the rule refuses a source. The host itself is refused only by a rule that names it.
    #[inline(always)]
    pub const fn refuses(&self, is_host: bool) -> bool {
        self.action == action::DENY || self.action == action::UNLISTED && !is_host
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_refused_only_by_a_rule_that_names_it() {
        let rule = |action| Rule { action, counter: 0 };
        assert!(rule(action::DENY).refuses(true) && rule(action::DENY).refuses(false));
        assert!(!rule(action::UNLISTED).refuses(true) && rule(action::UNLISTED).refuses(false));
        for open in [action::ALLOW, action::OTHERS] {
            assert!(!rule(open).refuses(true) && !rule(open).refuses(false));
        }
        assert!(!Rule::NONE.refuses(false));
    }

    #[test]
    fn a_publish_without_sets_is_open() {
        assert!(RuleSets::default().is_empty());
        for sets in [
            RuleSets { publish: 1, ..RuleSets::default() },
            RuleSets { network: 1, ..RuleSets::default() },
            RuleSets { daemon: 1, ..RuleSets::default() },
        ] {
            assert!(!sets.is_empty());
        }
    }
}
