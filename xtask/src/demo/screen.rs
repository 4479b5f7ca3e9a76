//! What the demo shows: a command, and the part of its output that matters.

#![allow(clippy::print_stdout, reason = "the demo's answers are its result")]

use std::io::IsTerminal;

/// Prints `output` under the `command` it came from.
pub(super) fn show(command: &str, output: &str) {
    let (bold, plain) = if std::io::stdout().is_terminal() { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
    println!("\n{bold}$ {command}{plain}");
    for line in output.trim_end().lines() {
        println!("    {line}");
    }
}

/// The samples of `metrics` (the text exposition) that carry `label` and one of the `names`, without the labels.
pub(super) fn metrics(metrics: &str, label: &str, names: &[&str]) -> String {
    let sample = |line: &str| {
        let (name, rest) = line.split_once('{')?;
        let (labels, value) = rest.rsplit_once('}')?;
        let wanted = names.contains(&name) && labels.contains(label);
        wanted.then(|| format!("{name:<42} {}", value.trim()))
    };
    metrics.lines().filter_map(sample).collect::<Vec<_>>().join("\n")
}

/// The lines of `bpftool net` that name a program.
pub(super) fn programs(listing: &str) -> String {
    listing
        .lines()
        .filter(|line| line.contains(" id ") || line.contains("prog_id"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// What `bpftool link show` says of the link pinned as `pin`, in one line.
pub(super) fn link(pin: &str, shown: &str) -> String {
    let mut words = shown.split_whitespace();
    let id = words.next().unwrap_or_default().trim_end_matches(':');
    let program = words.skip_while(|&word| word != "prog").nth(1).unwrap_or_default();
    format!("{pin:<24} link {id}, program {program}\n")
}

/// The lines of `page` that start with one of `heads`.
pub(super) fn lines(page: &str, heads: &[&str]) -> String {
    let wanted = |line: &&str| heads.iter().any(|head| line.starts_with(head));
    page.lines().filter(wanted).collect::<Vec<_>>().join("\n")
}

/// True when a dump of iptables or nft holds a rule; tables and chains with their default policy are none.
pub(super) fn has_rules(dump: &str) -> bool {
    dump.lines()
        .map(str::trim)
        .any(|line| !line.is_empty() && !line.starts_with(['#', '*', ':']) && line != "COMMIT")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_those_of_the_container() {
        let text =
            "# HELP a b\na{name=\"hello\",x=\"y\"} 3 17\na{name=\"other\"} 4\nb{name=\"hello\"} 5\nup 1\n";
        let shown = metrics(text, "name=\"hello\"", &["a"]);
        assert!(shown.starts_with("a ") && shown.ends_with("3 17"), "{shown}");
    }

    #[test]
    fn empty_tables_hold_no_rule() {
        assert!(!has_rules("# Generated\n*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n"));
        assert!(has_rules("*nat\n-A POSTROUTING -j MASQUERADE\nCOMMIT\n"));
        assert!(has_rules("table ip nat {\n}\n"));
    }

    #[test]
    fn a_link_is_one_line() {
        let shown = "2770: type 11  prog 3272  \n\tcgroup_id 1\n";
        assert_eq!(link("uplink_ingress_2", shown), "uplink_ingress_2         link 2770, program 3272\n");
    }

    #[test]
    fn lines_are_chosen_by_their_heads() {
        assert_eq!(
            lines("Hostname: a\nIP: b\nRemoteAddr: c", &["Hostname", "RemoteAddr"]),
            "Hostname: a\nRemoteAddr: c"
        );
    }

    #[test]
    fn programs_are_the_lines_with_an_id() {
        let listing =
            "xdp:\n\ntc:\nup0(2) tcx/ingress uplink_ingress prog_id 7 link_id 3\n\nflow_dissector:\n";
        assert_eq!(programs(listing), "up0(2) tcx/ingress uplink_ingress prog_id 7 link_id 3");
    }
}
