//! The shipped compose file, with the stock docker-compose.

use std::fs;

use beeline_testbed::command;

use crate::bed::{Bed, image_cache};
use crate::dashboards::shipped;

/// Runs docker-compose with the shipped file; it must succeed.
#[track_caller]
fn compose(bed: &Bed, args: &[&str]) -> String {
    let mut compose = bed.topology.host.command("docker-compose");
    compose.env("DOCKER_HOST", bed.dirs.docker_host()).env_remove("DOCKER_CONTEXT");
    compose.arg("-f").arg(shipped("compose.yml")).args(["--project-name", "dashboards"]).args(args);
    let output = command::output(&mut compose).unwrap();
    assert!(output.status.success(), "docker-compose {args:?}: {output}");
    output.text()
}

/// The images that the file names.
fn images() -> Vec<String> {
    let text = fs::read_to_string(shipped("compose.yml")).unwrap();
    text.lines().filter_map(|line| line.trim().strip_prefix("image: ")).map(str::to_owned).collect()
}

/// The services run the images of a registry. One that is made of Debian's package stands in for Prometheus'; Debian has no
/// Grafana, whose part is read by docker-compose alone.
#[test]
fn a_prometheus_that_compose_starts_scrapes_the_daemon_it_runs_on() {
    let Some(bed) = Bed::new() else { return };
    let [prometheus, grafana]: [String; 2] = images().try_into().unwrap();
    let service = |name: &str| name.split(['/', ':']).nth(1).unwrap().to_owned();
    assert_eq!(compose(&bed, &["config", "--services"]).lines().count(), 2, "{prometheus}, {grafana}");
    // Whatever the containers are given is there.
    let mounts = compose(&bed, &["config"]);
    let shipped_paths = ["grafana/provisioning", "grafana/dashboards", "prometheus"].map(shipped);
    for path in &shipped_paths {
        let path = path.canonicalize().unwrap();
        assert!(mounts.contains(&path.display().to_string()), "{}: {mounts}", path.display());
    }

    let archive = beeline_testbed::debian_tar(&image_cache(), "prometheus", &["prometheus"]).unwrap();
    let entrypoint = r#"ENTRYPOINT ["/usr/bin/prometheus"]"#;
    bed.docker_ok(&["import", "--change", entrypoint, &archive.display().to_string(), &prometheus]);
    compose(&bed, &["up", "-d", &service(&prometheus)]);
    let query = |what: &str| {
        bed.in_host(&format!("curl -sS -m 5 'http://127.0.0.1:9090/api/v1/query?query={what}' 2>&1; true"))
    };
    bed.eventually("a scrape", || query("up").contains(r#""1"]"#).then_some(()));
    // The container is among its own figures, by its name in the project.
    let name = "container_last_seen%7Bcontainer_label_com_docker_compose_project%3D%22dashboards%22%7D";
    bed.eventually("its own figures", || query(name).contains("prometheus").then_some(()));
    let rules = bed.in_host("curl -sS http://127.0.0.1:9090/api/v1/rules");
    assert!(rules.contains("runbook_url"), "the shipped rules are loaded: {rules}");

    compose(&bed, &["down", "--volumes"]);
    assert_eq!(bed.docker_ok(&["ps", "-aq"]), "");
    assert_eq!(bed.docker_ok(&["volume", "ls", "-q"]), "");
}
