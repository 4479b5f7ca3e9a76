//! Flags and file together.

use super::*;

fn flags(args: &[&str]) -> Flags {
    Flags::try_parse_from([&["beeline daemon"], args].concat()).unwrap()
}

fn error(result: Result<impl fmt::Debug>) -> String {
    format!("{:#}", result.unwrap_err())
}

#[test]
fn without_flags_and_file_the_defaults_hold() {
    let settings = Settings::merge(flags(&[]), File::default()).unwrap();
    assert_eq!(settings.root, Path::new(DEFAULT_ROOT));
    assert_eq!(settings.hosts, [HostAddr::Unix("/run/beeline/beeline.sock".into())]);
    assert_eq!(settings.metrics.address, Some("127.0.0.1:9323".parse().unwrap()));
    assert_eq!(settings.log_level, LogLevel::Info);
}

#[test]
fn the_socket_lies_in_the_run_directory() {
    let settings = Settings::merge(flags(&["--run", "/tmp/x"]), File::default()).unwrap();
    assert_eq!(settings.hosts, [HostAddr::Unix("/tmp/x/beeline.sock".into())]);
}

#[test]
fn the_file_has_dockers_keys() {
    let file = parse(
        r#"{ "data-root": "/data", "hosts": ["unix:///a.sock", "tcp://127.0.0.1:2375"], "debug": true,
             "metrics-addr": "off", "bip": "172.30.0.1/24", "ipv6": true,
             "default-address-pools": [{ "base": "10.10.0.0/16", "size": 26 }] }"#,
    );
    let settings = Settings::merge(flags(&[]), file.unwrap()).unwrap();
    assert_eq!(settings.root, Path::new("/data"));
    assert_eq!(settings.hosts.len(), 2);
    assert_eq!(settings.metrics.address, None);
    assert_eq!(settings.log_level, LogLevel::Debug);
    assert_eq!(settings.bip, Some("172.30.0.1/24".parse().unwrap()));
    assert!(settings.ipv6);
    assert_eq!(settings.address_pools, [AddressPool { base: "10.10.0.0/16".parse().unwrap(), size: 26 }]);
}

#[test]
fn settings_of_the_metrics_come_from_flags_or_from_the_file() {
    let args =
        ["--metrics-addr", "192.0.2.1:1", "--metrics-labels", "a,b.*", "--metrics-web-config", "/web.yml"];
    let more = ["--metrics-allow", "192.0.2.0/24,::1", "--metrics-page", "off"];
    let by_flags = Settings::merge(flags(&[&args[..], &more].concat()), File::default()).unwrap();
    let file = parse(
        r#"{ "metrics-addr": "192.0.2.1:1", "metrics-labels": ["a", "b.*"], "metrics-web-config": "/web.yml",
             "metrics-allow": ["192.0.2.0/24", "::1"], "metrics-page": "off" }"#,
    );
    assert_eq!(by_flags, Settings::merge(flags(&[]), file.unwrap()).unwrap());
}

#[test]
fn a_pool_has_a_base_and_a_size_that_fit() {
    let pool = parse_pool("base=10.10.0.7/16,size=24").unwrap();
    assert_eq!((pool.base.to_string().as_str(), pool.size), ("10.10.0.0/16", 24));
    for (text, word) in [
        ("base=10.0.0.0/16,size=8", "size 8"),
        ("base=10.0.0.0/16,size=31", "size 31"),
        ("base=10.0.0.0/16", "size="),
        ("10.0.0.0/16", "base=CIDR"),
    ] {
        let error = parse_pool(text).unwrap_err();
        assert!(error.contains(word), "{text}: {error}");
    }
    let file = parse(r#"{"default-address-pools": [{"base": "fd00::/64", "size": 48}]}"#).unwrap();
    assert!(error(Settings::merge(flags(&[]), file)).contains("fd00::/64"));
}

#[test]
fn an_error_in_the_file_has_line_and_key() {
    let wrong_type = error(parse("{\n  \"metrics-addr\": 9323\n}"));
    assert!(wrong_type.contains("metrics-addr") && wrong_type.contains("line 2"), "{wrong_type}");
    let unknown = error(parse("{\n\n  \"colour\": 1\n}"));
    assert!(unknown.contains("colour") && unknown.contains("line 3"), "{unknown}");
    let nested = error(parse("{\"hosts\": [\"unix:///a\", 5]}"));
    assert!(nested.contains("hosts[1]"), "{nested}");
    assert!(error(parse("{} x")).contains("trailing characters at line 1"));
}

#[test]
fn the_log_driver_is_checked_with_its_options() {
    let file = parse(r#"{"log-driver": "local", "log-opts": {"max-size": "1m"}}"#).unwrap();
    let by_file = Settings::merge(flags(&[]), file).unwrap();
    let args = ["--log-driver", "local", "--log-opt", "max-size=1m"];
    assert_eq!(by_file, Settings::merge(flags(&args), File::default()).unwrap());
    let wrong = error(Settings::merge(flags(&["--log-driver", "fluentd"]), File::default()));
    assert!(wrong.contains("no log driver named 'fluentd'"), "{wrong}");
    let wrong = error(Settings::merge(flags(&["--log-opt", "colour=red"]), File::default()));
    assert!(wrong.contains("unknown log opt 'colour' for json-file"), "{wrong}");
}

#[test]
fn a_value_given_twice_is_refused() {
    let file = parse(r#"{"data-root": "/b"}"#).unwrap();
    let refused = error(Settings::merge(flags(&["--root", "/a"]), file));
    assert!(refused.contains("/a") && refused.contains("/b"), "{refused}");
}

#[test]
fn sources_and_the_guard_come_from_flags_or_from_the_file() {
    let args = ["--publish-deny", "203.0.113.0/24,2001:db8::/32", "--guard", "eth0", "--guard", "eth1"];
    let by_flags = Settings::merge(flags(&args), File::default()).unwrap();
    let file = r#"{ "beeline-publish-deny": ["203.0.113.0/24", "2001:db8::/32"], "beeline-guard": ["eth0", "eth1"] }"#;
    let by_file = Settings::merge(flags(&[]), parse(file).unwrap()).unwrap();
    assert_eq!(by_flags, by_file);
    assert_eq!(by_file.rules.len(), 2);
    let all = parse(r#"{ "beeline-guard": "all", "beeline-bridge-allow": ["10.0.0.0/8"] }"#).unwrap();
    let all = Settings::merge(flags(&[]), all).unwrap();
    assert_eq!((all.guard, all.bridge_rules.len()), (Guard::All, 1));
    let wrong = error(Settings::merge(flags(&["--publish-allow", "10.0.0.0/33"]), File::default()));
    assert!(wrong.contains("beeline-publish-allow") && wrong.contains("10.0.0.0/33"), "{wrong}");
}

#[test]
fn acceleration_comes_from_flags_or_from_the_file_and_is_off_without() {
    let off = Settings::merge(flags(&[]), File::default()).unwrap();
    assert!(off.bridge_accelerate == Acceleration::Off && !off.accelerate_host);
    let by_flags = Settings::merge(flags(&["--bridge-accelerate", "--accelerate-host"]), File::default());
    let file = parse(r#"{ "beeline-bridge-accelerate": "true", "beeline-accelerate-host": true }"#).unwrap();
    assert_eq!(by_flags.unwrap(), Settings::merge(flags(&[]), file).unwrap());
}

#[test]
fn what_costs_something_is_measured_only_where_it_is_asked_for() {
    let off = Settings::merge(flags(&[]), File::default()).unwrap();
    assert_eq!(off.watch, Watch::default());
    let by_flags = Settings::merge(flags(&["--latency-histograms", "--program-statistics"]), File::default());
    let file = parse(r#"{ "latency-histograms": true, "program-statistics": true }"#).unwrap();
    let by_file = Settings::merge(flags(&[]), file).unwrap();
    assert_eq!(by_file.watch, Watch { latencies: true, program_runs: true });
    assert_eq!(by_flags.unwrap(), by_file);
}

#[test]
fn what_docker_does_by_other_means_is_refused_with_the_reason() {
    for key in [stringify!(iptables), stringify!(ip6tables), "userland-proxy"] {
        let refused = error(parse(&format!("{{\n{key:?}: true}}")));
        assert!(refused.contains(key) && refused.contains("line 2"), "{refused}");
        assert!(refused.contains("set it to false"), "{refused}");
        parse(&format!("{{{key:?}: false}}")).unwrap();
    }
    let docker = parse(r#"{ "icc": false, "ip-masq": false }"#).unwrap();
    let settings = Settings::merge(flags(&[]), docker).unwrap();
    assert!(!settings.icc && !settings.ip_masq);
    assert!(!Settings::merge(flags(&["--icc=false"]), File::default()).unwrap().icc);
}
