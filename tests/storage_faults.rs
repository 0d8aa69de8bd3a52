//! What can be wrong with a data directory, a device or a machine, met by the real program: a clear
//! error and nothing changed, or going on without losing anything.

#![allow(clippy::unwrap_used)] // Helpers of a test fail like the test itself.

#[path = "support/http.rs"]
mod http;
#[path = "support/load.rs"]
mod load;
#[path = "support/node.rs"]
mod node;
#[path = "support/random.rs"]
mod random;
#[path = "support/stored.rs"]
mod stored;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use corelane::log::format::{
    ENTRY_HEADER_BYTES, FRAME_HEADER_BYTES, FrameHeader, SEGMENT_HEADER_BYTES, frame_bytes,
};
use rustix::process::Signal;
use tempfile::TempDir;

use load::{Load, numbers};
use node::{Launch, Node, Setup};
use random::Random;
use stored::Contents;

const EXAMPLE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/examples/data/transactions.jsonl"
);
const CONFIG: &str = "[log]\nstripes = 1\nsegment_bytes = 16777216\ntail_bytes = 16777216\n\
     [broker]\nlisten = []\n[control]\nhttp = \"\"\n";
/// The only segment of a short run.
const SEGMENT: &str = "stripe-000/00000000000000000000.log";

/// A folder with a configuration in which the program runs.
struct Place {
    files: TempDir,
}

impl Place {
    fn new() -> Place {
        // On the disk of the build: temporary folders are often in memory, without direct I/O.
        let files = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        std::fs::write(files.path().join("node.toml"), CONFIG).unwrap();
        Place { files }
    }

    fn data_dir(&self) -> PathBuf {
        self.files.path().join("data")
    }

    fn run(&self, more: &[&str]) -> Output {
        run(&self.files.path().join("node.toml"), &self.data_dir(), more)
    }

    /// Runs the example, which must work, and gives the numbers of its report.
    fn report(&self, more: &[&str]) -> serde_json::Value {
        let output = self.run(more);
        assert!(output.status.success(), "{}", stderr(&output));
        serde_json::from_slice(&output.stdout).expect("one JSON object")
    }

    /// Runs the example, which must be refused, and gives the error.
    fn refused(&self, more: &[&str]) -> String {
        let output = self.run(more);
        assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
        assert!(output.stdout.is_empty());
        stderr(&output)
    }

    fn segment(&self) -> PathBuf {
        self.data_dir().join(SEGMENT)
    }

    fn flip(&self, at: usize) {
        let mut bytes = std::fs::read(self.segment()).unwrap();
        bytes[at] ^= 0x40;
        std::fs::write(self.segment(), bytes).unwrap();
    }
}

fn run(config: &Path, data_dir: &Path, more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_corelane"))
        .args(["run", "--json", "--input", EXAMPLE, "--config"])
        .arg(config)
        .arg("--data-dir")
        .arg(data_dir)
        .args(more)
        .output()
        .unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Where the frames of a segment start.
fn frames(segment: &Path) -> Vec<usize> {
    let bytes = std::fs::read(segment).unwrap();
    let mut starts = Vec::new();
    let mut at = SEGMENT_HEADER_BYTES;
    while let Ok(frame) = FrameHeader::decode(&bytes[at..]) {
        starts.push(at);
        at += frame_bytes(frame.body_bytes as usize);
    }
    starts
}

/// Every file of a folder with its content, but for the lock.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.ends_with("lock") {
            // Names the process that holds it.
            continue;
        }
        if path.is_dir() {
            found.append(&mut contents(&path));
        } else {
            found.insert(path.clone(), std::fs::read(path).unwrap());
        }
    }
    found
}

#[test]
fn a_second_run_finds_duplicates_only() {
    let place = Place::new();
    let first = place.report(&["--cores", "1"]);
    assert_eq!(first["processed"], 2500);
    assert_eq!(first["amount_total"], 2_883_682_728_990_u64);
    assert_eq!(first["lost"], 0);
    let second = place.report(&["--cores", "1"]);
    assert_eq!(second["duplicates"], 2500);
    assert_eq!(second["processed"], 0);
    assert_eq!(second["acknowledged"], 2500);
    assert_eq!(second["lost"], 0);
    assert_eq!(
        second["amount_total"], 2_883_682_728_990_u64,
        "of all its life"
    );
}

#[test]
fn a_directory_of_another_version_is_left_alone() {
    let place = Place::new();
    place.report(&["--cores", "1"]);
    let meta = place.data_dir().join("meta.json");
    let text = std::fs::read_to_string(&meta).unwrap();
    let other = text.replace("\"format_version\": 1", "\"format_version\": 99");
    assert_ne!(text, other, "{text}");
    std::fs::write(&meta, other).unwrap();
    let before = contents(&place.data_dir());
    let error = place.refused(&["--cores", "1"]);
    assert!(
        error.contains("format version 99") && error.contains("data"),
        "{error}"
    );
    assert!(contents(&place.data_dir()) == before, "nothing was changed");
}

#[test]
fn a_directory_in_use_is_refused_and_its_owner_goes_on() {
    let mut node = Node::start(Setup::with_cores(1));
    let place = Place::new();
    let config = place.files.path().join("node.toml");
    let output = run(&config, &node.data_dir(), &["--cores", "1"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("in use by another process"),
        "{}",
        stderr(&output)
    );
    let output = Command::new(env!("CARGO_BIN_EXE_corelane"))
        .args(["serve", "--cores", "1", "--control", "127.0.0.1:0"])
        .arg("--unix")
        .arg(place.files.path().join("socket"))
        .arg("--data-dir")
        .arg(node.data_dir())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("in use by another process"),
        "{}",
        stderr(&output)
    );
    node.wait_until_it_answers();
    assert!(node.terminate().success());
}

/// A flipped bit in what was acknowledged: named by segment and byte, and nothing is changed.
#[test]
fn damage_stops_the_start_and_names_its_place() {
    let place = Place::new();
    place.report(&["--cores", "1"]);
    let starts = frames(&place.segment());
    let damaged = starts[starts.len() / 2];
    place.flip(damaged + FRAME_HEADER_BYTES + ENTRY_HEADER_BYTES + 30);
    let before = contents(&place.data_dir().join("stripe-000"));
    let error = place.refused(&["--cores", "1"]);
    assert!(error.contains(SEGMENT), "{error}");
    assert!(
        error.contains(&format!("byte {damaged}")),
        "{damaged}: {error}"
    );
    let after = contents(&place.data_dir().join("stripe-000"));
    assert!(after == before, "nothing was changed");
}

/// The last frame, which nothing witnesses: it may be a write that power cut off.
#[test]
fn a_torn_tail_is_noted_and_the_start_goes_on() {
    let place = Place::new();
    place.report(&["--cores", "1"]);
    let torn = *frames(&place.segment()).last().unwrap();
    place.flip(torn + FRAME_HEADER_BYTES + 4);
    let output = place.run(&["--cores", "1"]);
    let notes = stderr(&output);
    assert!(output.status.success(), "{notes}");
    let place_of_cut = format!("torn tail in segment 0 at byte {torn}");
    assert!(notes.contains(&place_of_cut), "{torn}: {notes}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["duplicates"], 2500, "no receipt was cut");
}

#[test]
fn more_cores_than_cpus_are_refused_unless_asked_for() {
    let place = Place::new();
    let cpus = std::thread::available_parallelism().unwrap().get();
    let cores = (cpus + 1).to_string();
    let error = place.refused(&["--cores", &cores]);
    assert!(error.contains(&format!("{cores} cores")), "{error}");
    assert!(error.contains("--oversubscribe"), "{error}");
    assert!(!place.data_dir().exists(), "nothing was made");
    let report = place.report(&["--cores", &cores, "--oversubscribe"]);
    assert_eq!(report["processed"], 2500);
    assert_eq!(report["lost"], 0);
}

/// SIGTERM under load: exit code 0, and every receipt that was given is kept.
#[test]
fn a_stop_under_load_is_graceful() {
    let mut random = Random::from_environment("a_stop_under_load_is_graceful");
    let mut node = Node::start(Setup::with_cores(2));
    let address = node.address();
    let loads: Vec<Load> = (0..3).map(|_| Load::default()).collect();
    std::thread::scope(|scope| {
        for (client, load) in (0..).zip(&loads) {
            let (address, random) = (&address, random.fork());
            scope.spawn(move || load.run(client, address, random));
        }
        for _ in 0..3 {
            std::thread::sleep(Duration::from_millis(300));
            let status = node.terminate();
            assert!(status.success(), "{status}: {}", node.stderr());
            node.restart();
        }
        loads.iter().for_each(Load::stop);
    });
    assert!(node.terminate().success());
    let contents = Contents::read(&node.data_dir());
    let mut stored: BTreeMap<(u16, u64), u32> = BTreeMap::new();
    for record in contents.records.values().flatten() {
        *stored.entry(numbers(&record.id)).or_default() += 1;
    }
    let mut receipts = 0;
    for (client, load) in (0..).zip(&loads) {
        for seq in load.receipts.lock().unwrap().keys() {
            assert_eq!(stored.get(&(client, *seq)), Some(&1), "{client}-{seq}");
            receipts += 1;
        }
    }
    assert!(receipts > 100, "only {receipts} receipts");
    let processed: u64 = contents.ledger().values().map(|t| t.transactions).sum();
    assert_eq!(processed, stored.len() as u64);
}

/// The second signal does not wait for what the first one began.
#[test]
fn a_second_signal_stops_at_once() {
    let mut node = Node::start(Setup::with_cores(1));
    let start = Instant::now();
    node.signal(Signal::TERM);
    node.signal(Signal::INT);
    let status = node.wait();
    assert_eq!(status.code(), Some(1), "{}", node.stderr());
    assert!(start.elapsed() < Duration::from_secs(2));
    // As after a crash: the next start finds all that it needs.
    node.restart();
    assert!(node.terminate().success());
}

/// Killed where a test fails.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until the node says that it is ready, or that it is not for this reason.
fn wait_for_readiness(node: &Node, code: u16, reason: &str) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let address = http::control_address(&node.stderr());
        let answer = address.map(|address| http::get(&address, "/readyz").unwrap());
        if answer
            .as_ref()
            .is_some_and(|it| it.code == code && it.body.contains(reason))
        {
            return;
        }
        assert!(Instant::now() < deadline, "{answer:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A file of `count` transactions with payloads of 30 KiB.
fn large_input(folder: &Path, count: u32) -> PathBuf {
    let payload = base64::engine::general_purpose::STANDARD.encode([7; 30 << 10]);
    let line = |number| {
        let location = r#"{"latitude":50,"longitude":8}"#;
        format!(
            "{{\"id\":\"{number}\",\"client_location\":{location},\"amount\":1,\"payload\":\"{payload}\"}}\n"
        )
    };
    let path = folder.join("large.jsonl");
    std::fs::write(&path, (0..count).map(line).collect::<String>()).unwrap();
    path
}

/// The device is full: clients wait, nobody is told anything wrong, and everything goes on once
/// there is space again.
#[test]
fn a_full_disk_pushes_back_and_goes_on_when_there_is_space() {
    const COUNT: u32 = 1500; // 45 MiB of payloads: three segments.
    const SIZE: u32 = 120;
    if !node::can_mount() {
        // Said instead of passing in silence; the same is held on the simulated disk by
        // tests/submitting.rs.
        println!("not tested: a file system of its own takes the right to mount");
        return;
    }
    let mut node = Node::start(Setup {
        cores: 1,
        config: CONFIG.replace("http = \"\"", "http = \"127.0.0.1:0\""),
        launch: Launch::SmallDisk(SIZE),
    });
    let folder = TempDir::new().unwrap();
    let input = large_input(folder.path(), COUNT);
    // The segments that the start has made are there; less than one more fits.
    node.leave_room(10 << 20);
    let mut client = Command::new(env!("CARGO_BIN_EXE_corelane"))
        .args(["submit", "--json", "--to", &node.address(), "--input"])
        .arg(&input)
        .stdout(Stdio::piped())
        .spawn()
        .map(Process)
        .unwrap();
    wait_for_readiness(&node, 503, "\"kind\":\"disk_full\"");
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(client.0.try_wait().unwrap(), None, "it waits for room");
    assert!(node.is_up());
    node.make_room();
    let mut report = String::new();
    std::io::Read::read_to_string(client.0.stdout.as_mut().unwrap(), &mut report).unwrap();
    assert!(client.0.wait().unwrap().success(), "{report}");
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["acknowledged"], COUNT);
    assert_eq!(report["duplicates"], 0);
    wait_for_readiness(&node, 200, "\"reasons\":[]");
    assert!(node.terminate().success());
}
