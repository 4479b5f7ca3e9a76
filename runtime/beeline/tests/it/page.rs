//! The page on the metrics port, in a real browser.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use beeline_testbed::{CLIENT_ADDRESS, HOST_ADDRESS};

use crate::accuracy::counts_devices;
use crate::bed::Bed;
use crate::browser::Browser;

const URL: &str = "http://127.0.0.1:9323/";

/// Where pictures of the page are left for people to look at.
fn pictures() -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("page");
    fs::create_dir_all(&directory).unwrap();
    directory
}

/// Containers that use a bit of everything, and talk to each other.
fn start_workload(bed: &Bed) {
    bed.busybox();
    bed.docker_ok(&["run", "-d", "--name", "web", "-p", "8080:80", "beeline/whoami"]);
    let talk = format!("while :; do wget -q -O /dev/null http://{HOST_ADDRESS}:8080/; sleep 0.05; done");
    bed.docker_ok(&["run", "-d", "--name", "worker", "busybox", "sh", "-c", &talk]);
    let talk = format!("while :; do wget -q -O /dev/null http://{}/; sleep 0.2; done", bed.address("web"));
    bed.docker_ok(&["run", "-d", "--name", "member", "busybox", "sh", "-c", &talk]);
    let work = "while :; do dd if=/dev/zero of=/file bs=64k count=16 conv=fsync 2>/dev/null; \
                i=0; while [ $i -lt 9000 ]; do i=$((i+1)); done; done";
    bed.docker_ok(&["run", "-d", "--name", "busy", "--cpus", "0.2", "busybox", "sh", "-c", work]);
    bed.docker_ok(&["create", "--name", "idle", "busybox", "true"]);
}

/// The text of a cell, by its row's first words and its column's heading.
fn cell(table: &str, row: &str, column: &str) -> String {
    format!(
        "(() => {{ const table = document.getElementById('table-{table}'); \
         const heads = [...table.tHead.rows[0].cells].map((cell) => cell.textContent); \
         const row = [...table.tBodies[0].rows].find((row) => row.cells[0].textContent.startsWith('{row}')); \
         return row?.cells[heads.indexOf('{column}')]?.textContent ?? ''; }})()"
    )
}

#[test]
fn people_see_what_containers_do_and_nothing_leaves_the_page() {
    let Some(bed) = Bed::new() else { return };
    start_workload(&bed);
    let mut browser = Browser::start(&bed);
    browser.look(1280, 1500, false);
    browser.open(URL);
    browser.until("document.getElementById('state').textContent === 'Live'");

    // What containers use, by rates: they need two samples.
    for (row, column) in [("web", "Received"), ("web", "Sent"), ("busy", "CPU"), ("worker", "Tasks")] {
        browser.until(&format!("parseFloat({}) > 0", cell("containers", row, column)));
    }
    if counts_devices() {
        browser.until(&format!("parseFloat({}) > 0", cell("containers", "busy", "Written")));
    }
    browser.until(&format!("{} === 'created'", cell("containers", "idle", "State")));
    browser.until(&format!("{}.includes('beeline/whoami')", cell("containers", "web", "Name")));

    // Published ports: hits rise with requests.
    let hits = format!("Number({}.replaceAll(',', ''))", cell("ports", "0.0.0.0:8080", "Connections"));
    let before = browser.value(&hits).as_f64().unwrap();
    bed.in_client(&format!("for i in 1 2 3; do curl -sS -o /dev/null http://{HOST_ADDRESS}:8080/; done"));
    browser.until(&format!("{hits} >= {}", before + 3.0));
    browser.until(&format!("{} === 'web:80'", cell("ports", "0.0.0.0:8080", "Leads to")));

    // Who talks to whom: by a published port of its own host, within a network, and from outside.
    for row in ["worker", "member", "outside"] {
        browser.until(&format!("{} === 'web'", cell("talks", row, "To")));
        browser.until(&format!("parseFloat({}) > 0", cell("talks", row, "Received")));
    }
    browser.until("document.querySelectorAll('#map path.band').length === 3");
    let says = browser.value("document.querySelector('#map svg').getAttribute('aria-label')");
    assert!(says.as_str().unwrap().contains("worker to web"), "{says}");

    // Refusals, with the reason and what to do.
    let address = bed.address("web");
    bed.in_client(&format!(
        "ip route add {address} via {HOST_ADDRESS}; curl -sS -m 1 http://{address}/; true"
    ));
    browser.until(&format!("Number({}) > 0", cell("drops", "not routed", "In the last minute")));
    browser.until(&format!("{}.includes('publish the port')", cell("drops", "not routed", "What it means")));
    let last =
        |column| format!("document.querySelector('#table-refused tbody tr')?.cells[{column}].textContent");
    browser.until(&format!("{} === 'not routed'", last(1)));
    browser.until(&format!("{}.startsWith('{CLIENT_ADDRESS}:') && {} === 'web:80'", last(3), last(4)));

    // Plots have curves: not every point is of the ground's colour.
    let painted = "[...document.querySelectorAll('.plot canvas')].every((canvas) => { \
        const { width, height } = canvas; \
        const data = canvas.getContext('2d').getImageData(80, 0, width - 80, height - 30).data; \
        const seen = new Set(); \
        for (let at = 0; at < data.length; at += 4) if (data[at + 3] > 200) seen.add(data.slice(at, at + 3).join()); \
        return seen.size > 1; })";
    browser.until(painted);

    let all_from_here = browser.requests().iter().all(|url| url.starts_with(URL));
    assert!(all_from_here && browser.requests().len() > 10, "{:?}", browser.requests());
    assert!(browser.complaints().is_empty(), "{:?}", browser.complaints());

    // A container that ends is told of, and gone.
    bed.docker_ok(&["rm", "-f", "busy"]);
    browser.until("document.getElementById('news').textContent.includes('busy was removed')");
    browser.until(&format!("{} === ''", cell("containers", "busy", "Name")));
}

#[test]
fn it_is_used_by_keyboard_and_looks_right_in_any_light() {
    let Some(bed) = Bed::new() else { return };
    start_workload(&bed);
    let mut browser = Browser::start(&bed);
    browser.look(1280, 1500, false);
    browser.open(URL);
    browser.until(&format!("parseFloat({}) > 0", cell("containers", "web", "Received")));

    // The first stop leads past the header; what has focus is seen.
    browser.press("Tab");
    assert_eq!(browser.value("document.activeElement.textContent"), "Skip to the containers");
    assert_eq!(browser.value("document.activeElement.getBoundingClientRect().left >= 0"), true);
    browser.press("Enter");
    browser.press("Tab");
    browser.press("Tab");
    assert_eq!(browser.value("document.activeElement.textContent"), "Name");
    assert_eq!(browser.value("getComputedStyle(document.activeElement).outlineStyle"), "solid");
    browser.press("Enter");
    let order = "[...document.querySelectorAll('#table-containers tbody button')].map((name) => name.textContent).join()";
    browser.until(&format!("{order} === 'worker,web,member,idle,busy'"));
    let sort = "document.querySelector('#table-containers th').getAttribute('aria-sort')";
    assert_eq!(browser.value(sort), "descending");

    // One container alone, by its name; focus stays while figures change.
    browser.value("document.querySelector('#table-containers tbody button').focus()");
    browser.press("Enter");
    let pressed = "document.activeElement.textContent + document.activeElement.getAttribute('aria-pressed')";
    browser.until(&format!("{pressed} === 'workertrue'"));
    std::thread::sleep(Duration::from_millis(2500));
    assert_eq!(browser.value(pressed), "workertrue");
    let plot = "document.getElementById('plot-cpu').getAttribute('aria-label')";
    let says = browser.value(plot);
    assert!(says.as_str().unwrap().contains("worker") && !says.as_str().unwrap().contains("busy"), "{says}");
    browser.press("Escape");
    browser.until(&format!("{plot}.includes('busy')"));

    // All that is interactive or drawn has a name.
    let nameless = "[...document.querySelectorAll('button, input, a, [role=img], [role=region]')].filter((element) => \
        !(element.textContent.trim() || element.getAttribute('aria-label') || element.labels?.length || \
        document.getElementById(element.getAttribute('aria-labelledby')))).length";
    assert_eq!(browser.value(nameless), 0);

    let ground = "getComputedStyle(document.body).backgroundColor";
    let light = browser.value(ground);
    for (name, width, height, is_dark) in [
        ("wide-light", 1280, 1500, false),
        ("wide-dark", 1280, 1500, true),
        ("narrow-light", 390, 2200, false),
        ("narrow-dark", 390, 2200, true),
    ] {
        browser.look(width, height, is_dark);
        // Nothing scrolls sideways, as soon as the plots have followed.
        browser.until("document.documentElement.scrollWidth <= innerWidth");
        assert_eq!(browser.value(ground) == light, !is_dark, "{name}");
        std::thread::sleep(Duration::from_millis(1500));
        browser.picture(&pictures().join(format!("{name}.png")));
    }
    assert!(browser.complaints().is_empty(), "{:?}", browser.complaints());
}

#[test]
fn one_sampler_serves_all_who_look_and_ends_with_the_last() {
    let Some(mut bed) = Bed::without_daemon() else { return };
    fs::write(bed.dirs.config(), r#"{ "log-level": "debug" }"#).unwrap();
    bed.start();
    let looks = "somebody looks at the page";
    let left = "nobody looks at the page any more";
    let look = format!("curl -sS -N -m 8 {URL}page/live 2>/dev/null | grep -c '^data: ' || true");
    let counts = bed.in_host(&format!("{{ {look}; }} & {{ {look}; }} & wait"));
    let samples: Vec<u32> = counts.lines().map(|count| count.parse().unwrap()).collect();
    assert!(samples.len() == 2 && samples.iter().all(|count| (2..=9).contains(count)), "{samples:?}");
    bed.eventually("it ends", || bed.dirs.log().contains(left).then_some(()));
    assert_eq!(bed.dirs.log().matches(looks).count(), 1, "{}", bed.dirs.log());
    bed.in_host(&look);
    assert_eq!(bed.dirs.log().matches(looks).count(), 2, "it begins again");
}

#[test]
fn it_is_off_by_option_and_protected_as_the_metrics_are() {
    let Some(mut bed) = Bed::without_daemon() else { return };
    fs::write(bed.dirs.config(), r#"{ "metrics-page": "off" }"#).unwrap();
    bed.start();
    let code = |path: &str| bed.in_host(&format!("curl -sS -o /dev/null -w '%{{http_code}}' {URL}{path}"));
    for path in ["", "page/main.js", "page/live"] {
        assert_eq!(code(path), "404", "{path}");
    }
    assert_eq!(code("metrics"), "200");
    bed.kill_daemon();

    let hash = "$2y$04$abcdefghijklmnopqrstuugIEnm3ZbWF6xb2GcoE3L1CoGJFMKtu.";
    let web = bed.dirs.path().join("web.yml");
    fs::write(&web, format!("basic_auth_users:\n  eve: {hash}\n")).unwrap();
    let config =
        format!(r#"{{ "metrics-addr": "0.0.0.0:9323", "metrics-web-config": "{}" }}"#, web.display());
    fs::write(bed.dirs.config(), config).unwrap();
    bed.start();
    assert!(bed.dirs.log().contains("in the clear"), "a password without TLS: {}", bed.dirs.log());
    let code = |path: &str| bed.in_host(&format!("curl -sS -o /dev/null -w '%{{http_code}}' {URL}{path}"));
    for path in ["", "page/main.js", "page/live"] {
        assert_eq!(code(path), "401", "{path}");
    }
    let headers = bed.in_host(&format!("curl -sS -i -u eve:swordfish {URL}"));
    assert!(headers.contains("content-security-policy: default-src 'none'"), "{headers}");
    let live = bed.in_host(&format!("curl -sS -N -m 3 -u eve:swordfish {URL}page/live; true"));
    assert!(live.matches("data: {").count() >= 2, "a sample a second: {live}");
}
