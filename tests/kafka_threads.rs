//! librdkafka's threads run where they were placed and nowhere else, whichever thread made the
//! client: one on a shard's core would take it from the executor.
//!
//! On a machine with a single CPU every thread runs on that one; the test says so and checks
//! nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::{Duration, Instant};

use bytes::Bytes;
use corelane::cpu::allowed_cpus;
use corelane::ids::Offset;
use corelane::kafka::native::{
    ClientConf, ConsumerEvent, NativeConsumer, NativeProducer, TopicPartition,
};
use rdkafka::mocking::MockCluster;
use rustix::thread::{CpuSet, sched_setaffinity};

const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn threads_of_clients_run_on_the_cpus_they_were_given() {
    let cpus = allowed_cpus().unwrap();
    let [here, there, ..] = cpus[..] else {
        eprintln!("one CPU only: where threads run cannot be told apart");
        return;
    };
    // The mock's own client is nobody's to place, so its threads are left out below: by id, as
    // a new thread takes its name a moment later.
    let mock = MockCluster::new(3).unwrap();
    mock.create_topic("t", 3, 1).unwrap();
    let before: BTreeSet<String> = all_threads().collect();

    let mut only_here = CpuSet::new();
    only_here.set(here.index());
    sched_setaffinity(None, &only_here).unwrap();
    let conf = |more: &[(&str, &str)]| {
        let mut properties = vec![("bootstrap.servers".to_owned(), mock.bootstrap_servers())];
        for (name, value) in more {
            properties.push(((*name).to_owned(), (*value).to_owned()));
        }
        let mut conf = ClientConf::new(&properties).unwrap();
        conf.place_threads(&[there]);
        conf
    };
    let mut producer = NativeProducer::new(conf(&[("linger.ms", "0")])).unwrap();
    let mut consumer = NativeConsumer::new(conf(&[("group.id", "g")])).unwrap();

    // Threads for brokers are made when they are needed: use all three.
    let out = producer.add_topic("t").unwrap();
    let topic = consumer.add_topic("t").unwrap();
    let mut parts = Vec::new();
    for partition in 0..3 {
        let value = Bytes::from_static(b"value");
        producer.send(out, partition, 0..0, value, 0).unwrap();
        parts.push((TopicPartition { topic, partition }, Offset(0)));
    }
    consumer.assign(&parts).unwrap();
    let start = Instant::now();
    let mut read = 0;
    while read < 3 {
        producer.poll(10, &mut |_| {});
        consumer.poll(10, &mut |event| {
            read += u32::from(matches!(event, ConsumerEvent::Message(_)));
        });
        assert!(start.elapsed() < PATIENCE, "nothing arrives");
        std::thread::yield_now();
    }

    let mut seen = 0;
    for (id, (name, allowed)) in librdkafka_threads() {
        if before.contains(&id) {
            continue;
        }
        seen += 1;
        assert_eq!(allowed, there.to_string(), "{name} may run elsewhere");
    }
    // A main thread, and one per broker, for each of the two.
    assert!(seen >= 8, "only {seen} threads were found");
    assert_eq!(allowed_of("self"), here.to_string(), "this thread stays");
    drop((producer, consumer));
}

/// librdkafka's threads of this process by id: name, and the CPUs they may run on.
fn librdkafka_threads() -> BTreeMap<String, (String, String)> {
    let mut threads = BTreeMap::new();
    for id in all_threads() {
        // A thread may end meanwhile.
        let Ok(name) = fs::read_to_string(format!("/proc/self/task/{id}/comm")) else {
            continue;
        };
        if name.starts_with("rdk:") {
            let allowed = allowed_of(&id);
            threads.insert(id, (name.trim().to_owned(), allowed));
        }
    }
    threads
}

/// The ids of all threads of this process.
fn all_threads() -> impl Iterator<Item = String> {
    let entries = fs::read_dir("/proc/self/task").expect("Linux has it");
    entries.map(|entry| {
        let entry = entry.expect("a listing of threads does not fail");
        entry.file_name().to_string_lossy().into_owned()
    })
}

fn allowed_of(id: &str) -> String {
    let path = match id {
        "self" => "/proc/thread-self/status".to_owned(),
        id => format!("/proc/self/task/{id}/status"),
    };
    let status = fs::read_to_string(path).unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"))
        .unwrap_or_default()
        .trim()
        .to_owned()
}
