//! Part `tools`: Kafka's own `ProducerPerformance`, which comes with the jars of scripts/kafka, on the
//! same brokers.

use std::path::PathBuf;
use std::process::Command;

use corelane::control::signals::StopSignal;

use crate::peer::{Peer, Stage};
use crate::place::Place;
use crate::report::{Rates, Section};
use crate::{Failure, Scale};

const TOOL: &str = "org.apache.kafka.tools.ProducerPerformance";

/// What Kafka's tool ships with, but for the batch, which is as large as our client's.
const PROPERTIES: [&str; 3] = ["acks=all", "batch.size=1000000", "linger.ms=5"];

/// Nothing where there is no Kafka, and so no tool.
pub fn run(stage: &Stage, scale: &Scale, signal: &StopSignal) -> Result<Option<Section>, Failure> {
    if stage.kafka.is_none() {
        return Ok(None);
    }
    // Its topics are made as each broker makes them by itself.
    let plain = stage.peers.iter().filter(|peer| peer.is_plain());
    let mut peers: Vec<(&Peer, Rates)> = plain.map(|peer| (peer, Rates::new(peer.name))).collect();
    for _ in 0..scale.rounds {
        for (peer, rates) in &mut peers {
            if signal.is_asked() {
                return Err("a signal ended it".into());
            }
            let place = Place::Given(peer.brokers.clone());
            let topic = place.topic("tools", 1)?;
            let per_second = produce(&peer.brokers, &topic.name, scale)?;
            rates.add(per_second as usize, 1.0);
        }
        // Whoever came first comes last in the next round.
        peers.rotate_left(1);
    }
    Ok(Some(Section {
        part: "tools",
        settings: format!(
            "{TOOL}, {} records of {} B, one partition, {}; {} rounds",
            scale.tool_records,
            scale.record_bytes,
            PROPERTIES.join(", "),
            scale.rounds
        ),
        latencies: Vec::new(),
        rates: peers
            .iter()
            .map(|(_, rates)| rates.row(scale.record_bytes))
            .collect(),
        checks: Vec::new(),
    }))
}

/// Where scripts/kafka keeps the jars.
fn jars() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let target = target.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target"));
    target.join("kafka/libs/*")
}

/// Runs the tool; records a second.
fn produce(brokers: &str, topic: &str, scale: &Scale) -> Result<f64, Failure> {
    let output = Command::new("java")
        .args(["-Xmx512m", "-cp"])
        .arg(jars())
        .arg(TOOL)
        .args(["--topic", topic, "--throughput", "-1"])
        .args(["--num-records", &scale.tool_records.to_string()])
        .args(["--record-size", &scale.record_bytes.to_string()])
        .arg("--producer-props")
        .arg(format!("bootstrap.servers={brokers}"))
        .args(PROPERTIES)
        .output()?;
    let told = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{TOOL} failed:\n{told}{error}").into());
    }
    per_second(&told).ok_or_else(|| format!("{TOOL} did not say how fast it was:\n{told}").into())
}

/// "2000000 records sent, 512345.678901 records/sec (48.86 MB/sec), ...": the last line is of all.
fn per_second(told: &str) -> Option<f64> {
    let (before, _) = told.rsplit_once(" records/sec")?;
    before.rsplit(' ').next()?.parse().ok()
}
