//! Real servers from Debian's packages, under real load: nginx, redis, PostgreSQL.

use beeline_testbed::CLIENT_ADDRESS;
use beeline_testbed::HOST_ADDRESS;

use crate::bed::{Bed, shell};

#[test]
fn nginx_serves_pages_through_a_published_port() {
    let Some(bed) = Bed::new() else { return };
    bed.debian("nginx", &["nginx-light"]);
    let site = bed.dirs.path().join("site");
    std::fs::create_dir(&site).unwrap();
    let page: Vec<u8> = (0..3_000_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    std::fs::write(site.join("large"), &page).unwrap();
    std::fs::write(site.join("small"), "small\n").unwrap();
    let config = "events {} http { access_log /dev/stdout; error_log /dev/stderr; \
                  server { listen 80; root /site; } }";
    std::fs::write(bed.dirs.path().join("nginx.conf"), config).unwrap();
    let (site_volume, config_volume) = (
        format!("{}:/site:ro", site.display()),
        format!("{}:/etc/nginx/nginx.conf:ro", bed.dirs.path().join("nginx.conf").display()),
    );
    bed.docker_ok(&[
        "run",
        "-d",
        "--name",
        "nginx",
        "-p",
        "8080:80",
        "-v",
        &site_volume,
        "-v",
        &config_volume,
        "nginx",
        "nginx",
        "-g",
        "daemon off;",
    ]);
    bed.eventually("nginx listens", || {
        shell(bed.topology.client.command("sh"), &format!("curl -sf http://{HOST_ADDRESS}:8080/small"))
            .status
            .success()
            .then_some(())
    });
    let expected = bed.in_host(&format!("sha256sum < {}", site.join("large").display()));
    for _ in 0..5 {
        assert_eq!(
            bed.in_client(&format!("curl -sS http://{HOST_ADDRESS}:8080/large | sha256sum")),
            expected
        );
    }
    let report = bed.in_client(&format!("wrk -t1 -c16 -d3s http://{HOST_ADDRESS}:8080/small"));
    assert!(!report.contains("Socket errors") && !report.contains("Non-2xx"), "{report}");
    let requests: u64 =
        report.lines().find_map(|line| line.trim().split_once(" requests in")?.0.parse().ok()).unwrap();
    let log = bed.docker_ok(&["logs", "nginx"]);
    let of_client =
        log.lines().filter(|line| line.starts_with(CLIENT_ADDRESS) && line.contains("/small")).count();
    // wrk stops mid-request: nginx may have logged up to one more for each connection.
    let (low, high) = (requests, requests + 16 + 60);
    assert!(
        (low..=high).contains(&(of_client as u64)),
        "{requests} requests by wrk, {of_client} lines by nginx"
    );
    assert!(
        log.lines().all(|line| line.starts_with(CLIENT_ADDRESS)),
        "every line has the client's own address"
    );
}

#[test]
fn redis_is_benchmarked_from_another_container() {
    let Some(bed) = Bed::new() else { return };
    bed.debian("redis", &["redis-server", "redis-tools"]);
    bed.docker_ok(&[
        "run",
        "-d",
        "--name",
        "redis",
        "redis",
        "redis-server",
        "--bind",
        "0.0.0.0",
        "--protected-mode",
        "no",
        "--save",
        "",
    ]);
    let address = bed.address("redis");
    let run = |args: &[&str]| {
        let mut line = vec!["run", "--rm", "redis"];
        line.extend(args);
        bed.docker(&line)
    };
    bed.eventually("redis answers", || {
        (run(&["redis-cli", "-h", &address, "ping"]).text() == "PONG").then_some(())
    });
    let report =
        run(&["redis-benchmark", "-h", &address, "-n", "20000", "-c", "16", "-t", "set,get", "--csv"]);
    assert!(report.status.success(), "{report}");
    assert_eq!(
        report.text().lines().filter(|line| line.contains("SET") || line.contains("GET")).count(),
        2,
        "{report}"
    );
    // 20,000 sets and as many gets, counted by the server itself.
    let stats = run(&["redis-cli", "-h", &address, "info", "commandstats"]).text();
    for command in ["cmdstat_set:calls=20000", "cmdstat_get:calls=20000"] {
        assert!(stats.contains(command), "{stats}");
    }
}

#[test]
fn postgresql_is_benchmarked_from_another_container() {
    let Some(bed) = Bed::new() else { return };
    bed.debian("postgres", &["postgresql"]);
    let start = "export PATH=$PATH:$(echo /usr/lib/postgresql/*/bin) && initdb --auth=trust -D /tmp/data >/dev/null && \
                 echo 'host all all 0.0.0.0/0 trust' >> /tmp/data/pg_hba.conf && \
                 exec postgres -D /tmp/data -c listen_addresses=* -c fsync=off -c unix_socket_directories=/tmp";
    bed.docker_ok(&["run", "-d", "--name", "postgres", "-u", "postgres", "postgres", "sh", "-c", start]);
    let address = bed.address("postgres");
    let run = |script: &str| {
        let line = format!(
            "export PATH=$PATH:$(echo /usr/lib/postgresql/*/bin) PGHOST={address} PGUSER=postgres; {script}"
        );
        bed.docker(&["run", "--rm", "-u", "postgres", "postgres", "sh", "-c", &line])
    };
    bed.eventually("PostgreSQL answers", || run("psql -c 'select 1'").status.success().then_some(()));
    let made = run("pgbench --initialize --quiet --scale=1");
    assert!(made.status.success(), "{made}");
    let report = run("pgbench --client=4 --transactions=250");
    assert!(report.status.success(), "{report}");
    assert!(report.text().contains("number of transactions actually processed: 1000/1000"), "{report}");
    assert!(report.text().contains("number of failed transactions: 0"), "{report}");
    let history = run("psql -At -c 'select count(*) from pgbench_history'");
    assert_eq!(history.text(), "1000", "{history}");
}
