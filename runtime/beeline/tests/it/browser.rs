//! A real browser without a screen, spoken to by its DevTools protocol through two pipes.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use beeline_testbed::command::{eventually, wait};
use serde_json::{Value, json};

use crate::bed::Bed;

/// How long an answer may take: the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// A browser in the host's namespace, with one page.
pub(crate) struct Browser {
    process: Child,
    commands: File,
    answers: Receiver<Value>,
    session: Option<String>,
    last: u64,
    /// What the page told unasked.
    events: Vec<Value>,
}

impl Browser {
    /// Starts one with an empty page.
    pub(crate) fn start(bed: &Bed) -> Self {
        let directory = bed.dirs.path().join("browser");
        let place = directory.display();
        bed.in_host(&format!("mkdir {place} && mkfifo {place}/commands {place}/answers"));
        let options = "--no-sandbox --disable-gpu --hide-scrollbars --no-first-run --disable-background-networking \
                       --remote-debugging-pipe about:blank";
        let line = format!(
            "exec chromium-headless-shell --user-data-dir={place}/profile {options} \
             3<{place}/commands 4>{place}/answers"
        );
        let mut shell = bed.topology.host.command("sh");
        let process = shell.args(["-c", &line]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // Each waits for the shell to open the other end, in its order.
        let commands = OpenOptions::new().write(true).open(directory.join("commands")).unwrap();
        let answers = listen(File::open(directory.join("answers")).unwrap());
        let mut browser = Self { process, commands, answers, session: None, last: 0, events: Vec::new() };
        browser.attach();
        browser
    }

    fn attach(&mut self) {
        let target = self.call("Target.createTarget", &json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = self.call("Target.attachToTarget", &attach);
        self.session = Some(attached["sessionId"].as_str().unwrap().to_owned());
        for domain in ["Page", "Runtime", "Log", "Network"] {
            self.call(&format!("{domain}.enable"), &json!({}));
        }
    }

    /// Calls a method, and returns what it answers.
    #[track_caller]
    pub(crate) fn call(&mut self, method: &str, parameters: &Value) -> Value {
        self.last += 1;
        let mut message = json!({ "id": self.last, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        self.commands.write_all(format!("{message}\0").as_bytes()).unwrap();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let told = self.answers.recv_timeout(left).unwrap_or_else(|error| panic!("{method}: {error}"));
            if told["id"] == json!(self.last) {
                assert!(told["error"].is_null(), "{method}: {}", told["error"]);
                return told["result"].clone();
            }
            self.events.push(told);
        }
    }

    /// Sets the window's width and height, and whether colours are dark.
    pub(crate) fn look(&mut self, width: u32, height: u32, is_dark: bool) {
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", &metrics);
        let scheme = if is_dark { "dark" } else { "light" };
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.call("Emulation.setEmulatedMedia", &json!({ "features": features }));
    }

    /// Opens a page, and waits until it is loaded.
    pub(crate) fn open(&mut self, url: &str) {
        let opened = self.call("Page.navigate", &json!({ "url": url }));
        assert!(opened["errorText"].is_null(), "{url}: {opened}");
        self.until(&format!("location.href === '{url}' && document.readyState === 'complete'"));
    }

    /// The value of an expression.
    #[track_caller]
    pub(crate) fn value(&mut self, expression: &str) -> Value {
        let ask = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let answer = self.call("Runtime.evaluate", &ask);
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {answer}");
        answer["result"]["value"].clone()
    }

    /// Waits until an expression is true.
    #[track_caller]
    pub(crate) fn until(&mut self, expression: &str) {
        let found = eventually(expression, PATIENCE, || {
            std::thread::sleep(Duration::from_millis(100));
            (self.value(expression) == json!(true)).then_some(())
        });
        if let Err(error) = found {
            panic!(
                "{error}; the page says\n{}",
                self.value("document.body.innerText").as_str().unwrap_or("")
            );
        }
    }

    /// Presses and releases a key, by its name.
    pub(crate) fn press(&mut self, key: &str) {
        let text = if key == "Enter" { "\r" } else { "" };
        for kind in ["keyDown", "keyUp"] {
            let code = match key {
                "Tab" => 9,
                "Enter" => 13,
                _ => 27,
            };
            let event =
                json!({ "type": kind, "key": key, "code": key, "text": text, "windowsVirtualKeyCode": code });
            self.call("Input.dispatchKeyEvent", &event);
        }
    }

    /// Writes a picture of the whole page.
    pub(crate) fn picture(&mut self, file: &Path) {
        let shot =
            self.call("Page.captureScreenshot", &json!({ "format": "png", "captureBeyondViewport": true }));
        std::fs::write(file, STANDARD.decode(shot["data"].as_str().unwrap()).unwrap()).unwrap();
    }

    /// Everything the page asked for.
    pub(crate) fn requests(&self) -> Vec<&str> {
        let asked = self.events.iter().filter(|event| event["method"] == "Network.requestWillBeSent");
        asked.map(|event| event["params"]["request"]["url"].as_str().unwrap()).collect()
    }

    /// What the page complained of.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let is_complaint = |event: &&Value| match event["method"].as_str() {
            Some("Runtime.exceptionThrown") => true,
            Some("Runtime.consoleAPICalled") => event["params"]["type"] != "log",
            Some("Log.entryAdded") => event["params"]["entry"]["level"] != "verbose",
            _ => false,
        };
        self.events.iter().filter(is_complaint).map(ToString::to_string).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.commands.write_all(b"{\"id\":0,\"method\":\"Browser.close\"}\0");
        if wait(&mut self.process, Duration::from_secs(20)).is_err() {
            assert!(std::thread::panicking(), "the browser does not close");
        }
    }
}

/// Messages are JSON, with a zero after each.
fn listen(answers: File) -> Receiver<Value> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for message in BufReader::new(answers).split(0).map_while(Result::ok) {
            let Ok(value) = serde_json::from_slice(&message) else { continue };
            if sender.send(value).is_err() {
                return;
            }
        }
    });
    receiver
}
