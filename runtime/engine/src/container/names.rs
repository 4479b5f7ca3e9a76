//! Invented names: an adjective and the surname of somebody who taught machines or packets something.

use crate::error::Error;

const ADJECTIVES: [&str; 48] = [
    "able", "agile", "amber", "ample", "apt", "astute", "bold", "brave", "brisk", "calm", "candid", "clever",
    "cosy", "crisp", "deft", "eager", "earnest", "fair", "fleet", "fond", "frank", "gentle", "glad",
    "golden", "hardy", "humble", "jolly", "keen", "kind", "lively", "lucid", "mellow", "merry", "nimble",
    "noble", "patient", "plucky", "polite", "proud", "quiet", "rapid", "serene", "sharp", "steady", "sunny",
    "swift", "warm", "witty",
];

const SURNAMES: [&str; 56] = [
    "allen",
    "backus",
    "baran",
    "bartik",
    "berezin",
    "cerf",
    "clark",
    "cocke",
    "codd",
    "corbato",
    "dahl",
    "davies",
    "diffie",
    "dijkstra",
    "engelbart",
    "feinler",
    "floyd",
    "goldberg",
    "granville",
    "gray",
    "hamilton",
    "hamming",
    "hoare",
    "holberton",
    "hopper",
    "jacobson",
    "kahan",
    "kahn",
    "keller",
    "kernighan",
    "kildall",
    "kleinrock",
    "knuth",
    "lamport",
    "lampson",
    "liskov",
    "lovelace",
    "mccarthy",
    "metcalfe",
    "milner",
    "naur",
    "nygaard",
    "perlman",
    "pouzin",
    "rabin",
    "ritchie",
    "sammet",
    "shannon",
    "sutherland",
    "tarjan",
    "thacker",
    "thompson",
    "turing",
    "wilkes",
    "wirth",
    "zuse",
];

/// A name drawn at random; the `attempt`-th draw appends a number when the plain ones seem to be taken.
///
/// # Errors
/// The kernel gives no random bytes.
pub(crate) fn random(attempt: u32) -> Result<String, Error> {
    let draw = getrandom::u32().map_err(|error| Error::internal("draw a container name", &error))? as usize;
    let adjective = ADJECTIVES[draw % ADJECTIVES.len()];
    let surname = SURNAMES[draw / ADJECTIVES.len() % SURNAMES.len()];
    Ok(if attempt < 6 { format!("{adjective}_{surname}") } else { format!("{adjective}_{surname}{attempt}") })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::ContainerName;

    #[test]
    fn every_part_makes_a_valid_name() {
        for adjective in ADJECTIVES {
            for surname in SURNAMES {
                assert!(format!("{adjective}_{surname}").parse::<ContainerName>().is_ok());
            }
        }
        assert!(random(7).unwrap().ends_with('7'));
    }
}
