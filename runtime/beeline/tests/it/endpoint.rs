//! The metrics endpoint's protection, and what it tells Prometheus of others, with a real Prometheus.

use std::fs;

use beeline_testbed::HOST_ADDRESS;

use crate::bed::Bed;
use crate::dashboards::Prometheus;

/// A hash of "swordfish".
const HASH: &str = "$2y$04$abcdefghijklmnopqrstuugIEnm3ZbWF6xb2GcoE3L1CoGJFMKtu.";

/// An authority in the bed's directory, and certificates by it: the server's, named `server`, and a client's.
fn certificates(bed: &Bed, server: &str) {
    let directory = bed.dirs.path().display();
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2";
    let by = "-CA ca.pem -CAkey ca.key -addext basicConstraints=critical,CA:FALSE";
    let line = format!(
        "cd {directory} && {{ test -e ca.pem || openssl req -x509 {key} -keyout ca.key -out ca.pem -subj /CN=ca; }} && \
         openssl req -x509 {key} {by} -keyout server.key -out server.pem -subj /CN={server} \
         -addext subjectAltName=IP:127.0.0.1 && \
         openssl req -x509 {key} {by} -keyout client.key -out client.pem -subj /CN=prometheus"
    );
    bed.in_host(&format!("{{ {line}; }} 2>&1"));
}

#[test]
fn a_prometheus_with_certificate_and_password_scrapes_and_nobody_else() {
    let Some(mut bed) = Bed::without_daemon() else { return };
    certificates(&bed, "first");
    let web = format!(
        "tls_server_config:\n  cert_file: server.pem\n  key_file: server.key\n  client_ca_file: ca.pem\n  \
         client_auth_type: RequireAndVerifyClientCert\nbasic_auth_users:\n  eve: {HASH}\n\
         http_server_config:\n  headers:\n    X-Frame-Options: deny\n"
    );
    let directory = bed.dirs.path().display().to_string();
    fs::write(bed.dirs.path().join("web.yml"), web).unwrap();
    fs::write(bed.dirs.config(), format!(r#"{{ "metrics-web-config": "{directory}/web.yml" }}"#)).unwrap();
    bed.start();

    let curl = |args: &str| {
        let line = format!(
            "cd {directory}; curl -sS --max-time 5 --cacert ca.pem {args} https://127.0.0.1:9323/metrics 2>&1; true"
        );
        bed.in_host(&line)
    };
    let certificate = "--cert client.pem --key client.key";
    let stranger = curl("-u eve:swordfish");
    assert!(!stranger.contains("beeline_build_info"), "without a certificate: {stranger}");
    for user in ["", "-u eve:trout", "-u adam:swordfish"] {
        let refused = curl(&format!("{certificate} -i {user}"));
        assert!(refused.contains("401 Unauthorized") && refused.contains("Basic realm"), "{user}: {refused}");
    }
    let page = curl(&format!("{certificate} -i -u eve:swordfish"));
    assert!(page.contains("beeline_build_info") && page.contains("x-frame-options: deny"), "{page}");
    let plain = bed.in_host("curl -sS --max-time 5 http://127.0.0.1:9323/metrics 2>&1; true");
    assert!(!plain.contains("beeline_build_info"), "{plain}");

    let prometheus = Prometheus::with_config(
        &bed,
        &format!(
            "scrape_configs:\n  - job_name: beeline\n    scrape_interval: 1s\n    scheme: https\n    \
             basic_auth: {{ username: eve, password: swordfish }}\n    tls_config: {{ ca_file: {directory}/ca.pem, \
             cert_file: {directory}/client.pem, key_file: {directory}/client.key }}\n    \
             static_configs:\n      - targets: ['127.0.0.1:9323']\n"
        ),
    );
    bed.eventually("a scrape", || prometheus.finds("up{job=\"beeline\"} == 1").then_some(()));
    // Only OpenMetrics tells units: Prometheus asks for it, and read it.
    let metadata = "curl -sS 'http://127.0.0.1:9090/api/v1/metadata?metric=machine_memory_bytes'";
    bed.eventually("the unit", || bed.in_host(metadata).contains(r#""unit":"bytes""#).then_some(()));
    drop(prometheus);

    certificates(&bed, "second");
    let renewed = curl(&format!("{certificate} -v -u eve:swordfish -o /dev/null"));
    assert!(renewed.contains("CN=second"), "a renewed certificate needs no restart: {renewed}");
}

#[test]
fn only_listed_sources_are_answered() {
    let Some(mut bed) = Bed::without_daemon() else { return };
    let config = r#"{ "metrics-addr": "0.0.0.0:9323", "metrics-allow": ["127.0.0.0/8"] }"#;
    fs::write(bed.dirs.config(), config).unwrap();
    bed.start();
    assert!(bed.in_host("curl -sS http://127.0.0.1:9323/metrics").contains("beeline_build_info"));
    let refused = bed.in_client(&format!("curl -sS -i http://{HOST_ADDRESS}:9323/metrics"));
    assert!(refused.contains("403 Forbidden") && refused.contains("metrics-allow"), "{refused}");
}

#[test]
fn a_container_that_labels_itself_is_found_and_scraped() {
    let Some(bed) = Bed::new() else { return };
    bed.busybox();
    let serve = "mkdir /www; echo 'bees_total 7' > /www/figures; exec httpd -f -p 9100 -h /www";
    let labels = ["-l", "prometheus.io/scrape=true", "-l", "prometheus.io/path=/figures"];
    let port = ["-l", "prometheus.io/port=9100", "-l", "org.example.team=bees"];
    let run =
        [&["run", "-d", "--name", "hive"], &labels[..], &port, &["busybox", "sh", "-c", serve]].concat();
    bed.docker_ok(&run);
    let wrong =
        ["run", "-d", "--name", "wrong", "-l", "prometheus.io/scrape=true", "-l", "prometheus.io/port=http"];
    bed.docker_ok(&[&wrong[..], &["beeline/whoami"]].concat());
    bed.docker_ok(&["run", "-d", "--name", "silent", "beeline/whoami"]);
    let found: serde_json::Value =
        serde_json::from_str(&bed.in_host("curl -sS http://127.0.0.1:9323/sd")).unwrap();
    assert_eq!(found.as_array().unwrap().len(), 1, "{found}");
    assert_eq!(found[0]["targets"][0], format!("{}:9100", bed.address("hive")));
    assert!(bed.dirs.log().contains("use a number from 1 to 65535"), "{}", bed.dirs.log());

    let prometheus = Prometheus::with_config(
        &bed,
        "scrape_configs:\n  - job_name: containers\n    scrape_interval: 1s\n    http_sd_configs:\n      \
         - url: http://127.0.0.1:9323/sd\n        refresh_interval: 1s\n    relabel_configs:\n      \
         - { source_labels: [__meta_beeline_container_name], target_label: container }\n      \
         - { source_labels: [__meta_beeline_container_label_org_example_team], target_label: team }\n",
    );
    let query = "bees_total{container=\"hive\",team=\"bees\"} == 7";
    bed.eventually("the container's own figure", || prometheus.finds(query).then_some(()));
    bed.docker_ok(&["rm", "-f", "hive"]);
    bed.eventually("it is forgotten", || (!prometheus.finds("up{container=\"hive\"}")).then_some(()));
    drop(prometheus);
}
