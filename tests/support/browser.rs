//! A headless browser that a test looks into: over the pipe of its debugging protocol, so that nothing
//! listens and nobody waits a fixed time.

#![allow(dead_code)] // Each test uses its own part of this.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use base64::Engine as _;
use serde_json::{Value, json};
use tempfile::TempDir;

/// How long the browser may take for anything that it is asked.
const PATIENCE: Duration = Duration::from_secs(120);

/// Browsers that draw without a screen, by the names of their packages.
const BROWSERS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome"];

/// Where a browser is; none where there is none.
pub fn find() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places =
        std::env::split_paths(&path).flat_map(|folder| BROWSERS.map(|name| folder.join(name)));
    places.find(|place| place.is_file())
}

/// A browser with one page. It ends with the value.
pub struct Browser {
    child: Child,
    to: File,
    from: Receiver<Value>,
    /// Of the page.
    session: Option<String>,
    asked: u64,
    /// What the page complained of: exceptions, violations of its policy, failed requests.
    pub complaints: Vec<String>,
    _profile: TempDir,
}

impl Browser {
    /// Starts a browser with an empty page.
    pub fn start(program: &Path) -> Browser {
        let profile = TempDir::new().expect("a folder");
        let [to, from] = ["to", "from"].map(|name| profile.path().join(name));
        for pipe in [&to, &from] {
            let made = Command::new("mkfifo").arg(pipe).status();
            assert!(made.expect("mkfifo").success());
        }
        // The browser has its ends of the pipes as files 3 and 4; opening them waits for ours.
        let child = Command::new("sh")
            .args(["-c", "exec \"$@\" 3<\"$0/to\" 4>\"$0/from\""])
            .arg(profile.path())
            .arg(program)
            .args(["--headless", "--no-sandbox", "--disable-gpu"])
            .args(["--remote-debugging-pipe", "--no-first-run"])
            .arg(format!(
                "--user-data-dir={}",
                profile.path().join("user").display()
            ))
            .arg("about:blank")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell");
        let to = File::options().write(true).open(to).expect("a pipe");
        let from = File::open(from).expect("a pipe");
        let (tell, told) = mpsc::channel();
        // Ends when the browser does.
        std::thread::spawn(move || {
            for message in BufReader::new(from).split(0).map_while(Result::ok) {
                let message = serde_json::from_slice(&message).expect("JSON");
                if tell.send(message).is_err() {
                    return;
                }
            }
        });
        let mut browser = Browser {
            child,
            to,
            from: told,
            session: None,
            asked: 0,
            complaints: Vec::new(),
            _profile: profile,
        };
        browser.attach();
        browser
    }

    fn attach(&mut self) {
        let targets = self.ask("Target.getTargets", json!({}));
        let pages = targets["targetInfos"].as_array().expect("a list");
        let page = pages.iter().find(|it| it["type"] == "page");
        let id = page.expect("a page")["targetId"].clone();
        let parameters = json!({"targetId": id, "flatten": true});
        let attached = self.ask("Target.attachToTarget", parameters);
        self.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page.enable", "Runtime.enable", "Log.enable"] {
            self.ask(domain, json!({}));
        }
    }

    /// Sends a command and waits for its result.
    pub fn ask(&mut self, method: &str, parameters: Value) -> Value {
        self.asked += 1;
        let mut message = json!({"id": self.asked, "method": method, "params": parameters});
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        let mut text = message.to_string().into_bytes();
        text.push(0);
        self.to.write_all(&text).expect("the browser reads");
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let told = self.from.recv_timeout(left);
            let mut told = told.unwrap_or_else(|_| panic!("the browser does not answer {method}"));
            if told["id"] == self.asked {
                assert!(told["error"].is_null(), "{method}: {}", told["error"]);
                return told["result"].take();
            }
            self.note(&told);
        }
    }

    fn note(&mut self, told: &Value) {
        match told["method"].as_str() {
            Some("Runtime.exceptionThrown") => {
                let details = &told["params"]["exceptionDetails"];
                self.complaints.push(details.to_string());
            }
            Some("Log.entryAdded") if told["params"]["entry"]["level"] == "error" => {
                let entry = &told["params"]["entry"];
                self.complaints.push(entry["text"].to_string());
            }
            Some(_) | None => {}
        }
    }

    /// Makes the page so large, on a screen that is light or dark.
    pub fn resize(&mut self, (width, height): (u32, u32), scheme: &str) {
        let size =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.ask("Emulation.setDeviceMetricsOverride", size);
        // Without a graphics card each frame of a movement is drawn by the CPUs that the node needs.
        let features = json!([
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]);
        self.ask("Emulation.setEmulatedMedia", json!({"features": features}));
    }

    /// Goes to an address.
    pub fn open(&mut self, url: &str) {
        let opened = self.ask("Page.navigate", json!({"url": url}));
        assert!(opened["errorText"].is_null(), "{url}: {opened}");
    }

    /// The value of an expression in the page.
    pub fn value(&mut self, expression: &str) -> Value {
        let parameters = json!({"expression": expression, "returnByValue": true});
        let mut told = self.ask("Runtime.evaluate", parameters);
        let exception = &told["exceptionDetails"];
        assert!(exception.is_null(), "{expression}: {exception}");
        told["result"]["value"].take()
    }

    /// Waits until an expression in the page is true.
    pub fn until(&mut self, expression: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.value(expression) != true {
            if Instant::now() > deadline {
                let page = self.value("document.body.innerText");
                panic!("never true: {expression}\n{page}\n{:?}", self.complaints);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What the page looks like, all of it, as PNG.
    pub fn picture(&mut self) -> Vec<u8> {
        let parameters = json!({"captureBeyondViewport": true});
        let told = self.ask("Page.captureScreenshot", parameters);
        let text = told["data"].as_str().expect("base64");
        let engine = base64::engine::general_purpose::STANDARD;
        engine.decode(text).expect("base64")
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It may have gone by itself, where a test fails.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
