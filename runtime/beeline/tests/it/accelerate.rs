//! Connections within the host that go past the network: asked for by an option, and real servers that do not notice.

use serde_json::Value;

use crate::bed::{Bed, shell};

/// Also on kernels with known faults: none of these servers minds them.
const OPTION: &str = "beeline.network.accelerate=despite-faults";

impl Bed {
    /// How many bytes went past the network, by the counters in the kernel.
    fn shortened(&self) -> u64 {
        let map = format!("/sys/fs/bpf/beeline/{}/maps_v*/SHORTCUTS", self.topology.instance);
        let dump = self.in_host(&format!("bpftool --json map dump pinned {map}"));
        sum(&serde_json::from_str(&dump).unwrap())
    }

    /// Starts the daemon with acceleration of the host's own clients.
    fn start_accelerating_the_host(&mut self) {
        std::fs::write(self.dirs.config(), r#"{ "beeline-accelerate-host": true }"#).unwrap();
        self.start();
    }

    /// A container's address on a network.
    fn address_on(&self, container: &str, network: &str) -> String {
        self.inspect(container, &format!("{{{{(index .NetworkSettings.Networks \"{network}\").IPAddress}}}}"))
    }
}

/// The sum of what was sent, wherever it stands in what bpftool says.
fn sum(value: &Value) -> u64 {
    match value {
        Value::Array(values) => values.iter().map(sum).sum(),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| if name == "tx_bytes" { value.as_u64().unwrap_or(0) } else { sum(value) })
            .sum(),
        _ => 0,
    }
}

#[test]
fn an_option_of_a_network_lets_its_members_connections_go_past_it() {
    let Some(bed) = Bed::new() else { return };
    bed.busybox();
    let refused = bed.docker(&["network", "create", "-o", "beeline.network.accelerate=perhaps", "bad"]);
    assert!(refused.to_string().contains("beeline.network.accelerate"), "{refused}");
    let page = "dd if=/dev/zero bs=1k count=100 2>/dev/null | tr '\\0' x > /page; httpd -f -p 80 -h /";
    for (network, option) in [("plain", None), ("fast", Some(OPTION))] {
        let mut create = vec!["network", "create"];
        create.extend(option.iter().flat_map(|option| ["-o", option]));
        create.push(network);
        bed.docker_ok(&create);
        let server = format!("server-{network}");
        bed.docker_ok(&["run", "-d", "--name", &server, "--network", network, "busybox", "sh", "-c", page]);
        let fetch = format!("wget -q -O - http://{server}/page | wc -c");
        bed.eventually("the server answers", || {
            let run = bed.docker(&["run", "--rm", "--network", network, "busybox", "sh", "-c", &fetch]);
            (run.text() == "102400").then_some(())
        });
        assert_eq!(bed.shortened() > 100_000, option.is_some(), "{network}");
    }
    let info = bed.docker(&["info"]);
    assert!(!info.to_string().contains("not accelerated"), "{info}");
    let shown = bed.docker_ok(&["network", "inspect", "fast", "--format", "{{json .Options}}"]);
    assert!(shown.contains("\"beeline.network.accelerate\":\"despite-faults\""), "{shown}");
    // What it was asked for survives the daemon.
    let before = bed.shortened();
    let mut bed = bed;
    bed.kill_daemon();
    bed.start();
    let fetch = "wget -q -O - http://server-fast/page | wc -c";
    let count = bed.docker_ok(&["run", "--rm", "--network", "fast", "busybox", "sh", "-c", fetch]);
    assert_eq!(count.trim(), "102400");
    assert!(bed.shortened() >= before + 100_000);
}

/// Fills the map that says which addresses may be accelerated: a kernel in which the test cannot enter its own fails it.
fn fill_the_map_of_ends(bed: &Bed) {
    let map = format!("$(echo /sys/fs/bpf/beeline/{}/maps_v*/ENDS)", bed.topology.instance);
    let entry = |number: u32| {
        let [a, b, c, d] = number.to_be_bytes();
        let value = "0 ".repeat(16);
        format!("map update pinned MAP key 0 0 0 0 0 0 0 0 0 0 255 255 {a} {b} {c} {d} value {value}\n")
    };
    let entries: String = (0..3 * 4096).map(|number| entry((10 << 24) + (200 << 16) + number)).collect();
    let script = bed.dirs.path().join("ends");
    std::fs::write(&script, entries).unwrap();
    let script = script.display();
    bed.in_host(&format!("sed -i s:MAP:{map}: {script} && bpftool batch file {script} > /dev/null"));
}

#[test]
fn a_kernel_that_fails_the_test_accelerates_nothing_and_the_reason_is_told() {
    let Some(mut bed) = Bed::new() else { return };
    bed.busybox();
    fill_the_map_of_ends(&bed);
    let reason = "allow the short way: write the BPF map ENDS";
    for (network, option) in [("careful", "true"), ("careless", "despite-faults")] {
        let option = format!("beeline.network.accelerate={option}");
        bed.docker_ok(&["network", "create", "-o", &option, network]);
        let serve = "echo page > /page; httpd -f -p 80 -h /";
        bed.docker_ok(&["run", "-d", "--name", network, "--network", network, "busybox", "sh", "-c", serve]);
        let fetch = format!("wget -q -O - http://{network}/page");
        bed.eventually("the server answers", || {
            let run = bed.docker(&["run", "--rm", "--network", network, "busybox", "sh", "-c", &fetch]);
            (run.text() == "page").then_some(())
        });
        let shown = bed.docker_ok(&["network", "inspect", network, "--format", "{{json .Options}}"]);
        assert!(shown.contains(&option.replace('=', "\":\"")), "what was asked for: {shown}");
    }
    assert_eq!(bed.shortened(), 0);
    let warning = |bed: &Bed| bed.docker(&["info"]).to_string();
    assert!(warning(&bed).contains(&format!("not accelerated, although a network asks for it: {reason}")));
    assert!(bed.beeline(&["info"]).to_string().contains(reason));
    assert!(bed.dirs.log().contains(reason), "{}", bed.dirs.log());
    // The next daemon asks anew.
    bed.kill_daemon();
    bed.start();
    assert!(!warning(&bed).contains(reason), "{}", warning(&bed));
}

#[test]
fn nginx_redis_and_postgresql_do_not_notice_that_their_connections_are_accelerated() {
    let Some(mut bed) = Bed::without_daemon() else { return };
    bed.start_accelerating_the_host();
    bed.docker_ok(&["network", "create", "-o", OPTION, "fast"]);
    nginx(&bed);
    poller(&bed);
    redis(&bed);
    postgresql(&bed);
}

/// Pages of all sizes, over kept and over new connections, fetched by curl from the host.
fn nginx(bed: &Bed) {
    bed.debian("nginx", &["nginx-light"]);
    let site = bed.dirs.path().join("site");
    std::fs::create_dir(&site).unwrap();
    let page: Vec<u8> = (0..20_000_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    std::fs::write(site.join("large"), &page).unwrap();
    std::fs::write(site.join("small"), "small\n").unwrap();
    let config = "events {} http { client_max_body_size 0; sendfile on; tcp_nopush on; \
                  server { listen 80; root /site; \
                  location /put { client_body_in_file_only on; client_body_temp_path /tmp; proxy_pass http://127.0.0.1/small; } } }";
    let config_path = bed.dirs.path().join("nginx.conf");
    std::fs::write(&config_path, config).unwrap();
    let site_volume = format!("{}:/site:ro", site.display());
    let config_volume = format!("{}:/etc/nginx/nginx.conf:ro", config_path.display());
    let run = ["run", "-d", "--name", "nginx", "--network", "fast", "-p", "8080:80", "-v", &site_volume];
    bed.docker_ok(&[&run[..], &["-v", &config_volume, "nginx", "nginx", "-g", "daemon off;"]].concat());
    bed.eventually("nginx listens", || {
        let command = bed.topology.host.command("sh");
        shell(command, "curl -sf http://127.0.0.1:8080/small").status.success().then_some(())
    });
    let before = bed.shortened();
    let large = site.join("large").display().to_string();
    let expected = bed.in_host(&format!("sha256sum < {large}"));
    for _ in 0..3 {
        assert_eq!(bed.in_host("curl -sS http://127.0.0.1:8080/large | sha256sum"), expected);
    }
    // A reader far slower than its server.
    let slow = "curl -sS --limit-rate 10M http://127.0.0.1:8080/large | sha256sum";
    assert_eq!(bed.in_host(slow), expected);
    // A body that nginx reads as it comes, with FIONREAD.
    let answer = bed.in_host(&format!(
        "curl -sS --data-binary @{large} http://127.0.0.1:8080/put -o /dev/null -w '%{{http_code}}'"
    ));
    assert_eq!(answer.trim(), "405", "it has read the body and asked for a page that takes none");
    let kept = bed.in_host("curl -sS 'http://127.0.0.1:8080/small?[1-500]' | grep -c small");
    assert_eq!(kept.trim(), "500");
    let report = bed.in_host("wrk -t1 -c16 -d2s http://127.0.0.1:8080/small");
    assert!(!report.contains("Socket errors") && !report.contains("Non-2xx"), "{report}");
    assert!(bed.shortened() > before + 1_000_000, "nothing went past the network");
}

/// A client of nginx's that is told of edges alone, as the runtime of Go is: each socket is registered once, for all that may
/// come, and is waited for only after a call has said that it would block.
fn poller(bed: &Bed) {
    const CLIENT: &str = "import select,socket,time\n\
        E=select.EPOLLIN|select.EPOLLOUT|select.EPOLLRDHUP|select.EPOLLET\n\
        poll,ends=select.epoll(),{}\n\
        ASK=b'GET /small HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n'\n\
        LAST=b'GET /large HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n'\n\
        def end(number):\n \
         s=socket.create_connection(('127.0.0.1',8080),10)\n \
         s.setblocking(False)\n \
         poll.register(s,E)\n \
         ends[s.fileno()]=run(s)\n \
         ends[s.fileno()].send(None)\n\
        def run(s):\n \
         def send(d):\n  \
          while d:\n   \
           try: d=d[s.send(d):]\n   \
           except BlockingIOError: yield\n \
         def take(n):\n  \
          while True:\n   \
           try: return s.recv(n)\n   \
           except BlockingIOError: yield\n \
         for turn in range(50):\n  \
          yield from send(ASK)\n  \
          got=b''\n  \
          while not got.endswith(b'small\\n'):\n   \
           part=yield from take(7)\n   \
           assert part,got\n   \
           got+=part\n \
         yield from send(LAST)\n \
         size=0\n \
         while part:=(yield from take(1<<16)): size+=len(part)\n \
         assert size>20_000_000,size\n \
         s.close()\n\
        for number in range(8): end(number)\n\
        limit=time.monotonic()+60\n\
        while ends and time.monotonic()<limit:\n \
         for fd,_ in poll.poll(1):\n  \
          try: ends[fd].send(None)\n  \
          except StopIteration: del ends[fd]\n\
        print(len(ends))";
    let before = bed.shortened();
    let mut python = bed.topology.host.command("python3");
    let output = beeline_testbed::command::output(python.args(["-c", CLIENT])).unwrap();
    assert_eq!(output.text(), "0", "nobody waits for an edge that does not come: {output}");
    assert!(bed.shortened() > before + 1_000_000, "nothing went past the network");
}

/// Commands in pipelines, and values of many packets.
fn redis(bed: &Bed) {
    bed.debian("redis", &["redis-server", "redis-tools"]);
    let server = ["run", "-d", "--name", "redis", "--network", "fast", "redis", "redis-server"];
    let options = ["--bind", "0.0.0.0", "--protected-mode", "no", "--save", ""];
    bed.docker_ok(&[&server[..], &options].concat());
    let address = bed.address_on("redis", "fast");
    let run = |args: &[&str]| bed.docker(&[&["run", "--rm", "--network", "fast", "redis"], args].concat());
    bed.eventually("redis answers", || {
        (run(&["redis-cli", "-h", &address, "ping"]).text() == "PONG").then_some(())
    });
    let before = bed.shortened();
    for options in
        [&["-n", "20000", "-c", "16"][..], &["-n", "20000", "-P", "32"], &["-n", "1000", "-d", "300000"]]
    {
        let command = ["redis-benchmark", "-h", &address, "-t", "set,get", "--csv"];
        let report = run(&[&command[..], options].concat());
        assert!(report.status.success(), "{report}");
        let lines = report.text();
        assert_eq!(lines.lines().filter(|line| line.contains("SET") || line.contains("GET")).count(), 2);
    }
    let stats = run(&["redis-cli", "-h", &address, "info", "commandstats"]).text();
    assert!(
        stats.contains("cmdstat_set:calls=41000") && stats.contains("cmdstat_get:calls=41000"),
        "{stats}"
    );
    assert!(bed.shortened() > before + 1_000_000, "nothing went past the network");
}

/// Transactions of several clients.
fn postgresql(bed: &Bed) {
    bed.debian("postgres", &["postgresql"]);
    let start = "export PATH=$PATH:$(echo /usr/lib/postgresql/*/bin) && initdb --auth=trust -D /tmp/data >/dev/null && \
                 echo 'host all all 0.0.0.0/0 trust' >> /tmp/data/pg_hba.conf && \
                 exec postgres -D /tmp/data -c listen_addresses=* -c fsync=off -c unix_socket_directories=/tmp";
    let server = ["run", "-d", "--name", "postgres", "--network", "fast", "-u", "postgres", "postgres"];
    bed.docker_ok(&[&server[..], &["sh", "-c", start]].concat());
    let address = bed.address_on("postgres", "fast");
    let run = |script: &str| {
        let line = format!(
            "export PATH=$PATH:$(echo /usr/lib/postgresql/*/bin) PGHOST={address} PGUSER=postgres; {script}"
        );
        bed.docker(&["run", "--rm", "--network", "fast", "-u", "postgres", "postgres", "sh", "-c", &line])
    };
    bed.eventually("PostgreSQL answers", || run("psql -c 'select 1'").status.success().then_some(()));
    let before = bed.shortened();
    let made = run("pgbench --initialize --quiet --scale=1");
    assert!(made.status.success(), "{made}");
    let report = run("pgbench --client=4 --transactions=250");
    assert!(report.text().contains("number of transactions actually processed: 1000/1000"), "{report}");
    let copied = run("psql -At -c 'copy pgbench_accounts to stdout' | wc -l");
    assert_eq!(copied.text(), "100000", "{copied}");
    assert!(bed.shortened() > before + 1_000_000, "nothing went past the network");
}
