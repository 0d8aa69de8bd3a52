//! The catalog on a disk: what is durable when.

use std::fs;

use kafka_protocol::messages::DeleteTopicsRequest;

use super::*;
use crate::broker::admin::{self, AdminCall, AdminNews};
use crate::control::topics::{Administrator, Topics};
use crate::ids::CoreId;
use crate::limits::SEGMENT_BYTES_MIN;
use crate::log::directory::{DataDirectory, Options};
use crate::mesh::{Bells, Doorbell};

fn open(path: &std::path::Path) -> Topics {
    let options = Options {
        stripes: STRIPES,
        segment_bytes: SEGMENT_BYTES_MIN,
    };
    let mut directory = DataDirectory::open(path, &options).unwrap();
    for name in [
        "transactions-tokyo",
        "transactions-tokyo.dlq",
        "settlements",
    ] {
        directory.ensure_topic(name, 3).unwrap();
    }
    let (meta, catalog) = (*directory.meta(), directory.catalog());
    let facts = Facts::new(&config(), &meta, &catalog, 2, Vec::new());
    Topics::new(directory, facts)
}

fn create(name: &str) -> RequestKind {
    let topics = vec![new_topic(name, 2)];
    RequestKind::CreateTopics(CreateTopicsRequest::default().with_topics(topics))
}

/// The process dies after the catalog is durable and before any core has heard of it.
#[test]
fn a_change_that_no_core_heard_of_is_there_after_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let mut topics = open(folder.path());
    let inlet = topics.view().topic("transactions").unwrap().uuid;
    let (change, _) = topics.execute(7, create("a"));
    let uuid = change.unwrap().view.topic("a").unwrap().uuid;
    drop(topics);
    let mut topics = open(folder.path());
    assert_eq!(topics.view().topic("a").unwrap().uuid, uuid);
    assert_eq!(topics.view().topic("transactions").unwrap().uuid, inlet);
    let request = DeleteTopicsRequest::default().with_topic_names(vec![name("a")]);
    topics.execute(3, RequestKind::DeleteTopics(request));
    drop(topics);
    let mut topics = open(folder.path());
    assert!(topics.view().topic("a").is_none());
    let (change, _) = topics.execute(7, create("a"));
    assert_ne!(change.unwrap().view.topic("a").unwrap().uuid, uuid);
}

#[test]
fn a_change_that_cannot_be_made_durable_is_not_made_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let mut topics = open(folder.path());
    // A folder in the place of the file that is written first.
    let file = folder.path().join("catalog.json");
    fs::remove_file(&file).unwrap();
    fs::create_dir_all(file.join("in-the-way")).unwrap();
    let (change, response) = topics.execute(7, create("a"));
    assert!(change.is_none());
    match response {
        Some(ResponseKind::CreateTopics(response)) => {
            encodes(&response, 7);
            assert_eq!(response.topics[0].error_code, 56);
        }
        other => panic!("{other:?}"),
    }
    assert!(topics.view().topic("a").is_none());
}

#[test]
fn the_answer_comes_after_every_core_has_the_view() {
    let folder = tempfile::tempdir().unwrap();
    let topics = open(folder.path());
    let bells: Bells = (0..2).map(|_| Doorbell::default()).collect();
    let (end, cores, stop) = admin::line(2, &bells);
    let administrator = Administrator::spawn(topics, end, stop).unwrap();
    let call = AdminCall {
        to: (CoreId(1), 5),
        listener: 0,
        version: 7,
        request: Box::new(create("a")),
    };
    cores[1].call(call).unwrap();
    let mut waiting = Vec::new();
    for core in &cores {
        match wait_for(core) {
            AdminNews::View {
                view, added, done, ..
            } => {
                assert!(view.topic("a").is_some());
                assert_eq!(added.len(), 2);
                waiting.push(done);
            }
            AdminNews::Answer { .. } => panic!("no answer before every core is done"),
        }
    }
    waiting[0].send(()).unwrap();
    assert!(!cores[1].has_news(), "one core is not done yet");
    waiting[1].send(()).unwrap();
    match wait_for(&cores[1]) {
        AdminNews::Answer { ticket: 5, .. } => {}
        other => panic!("{other:?}"),
    }
    drop(administrator);
    // It has given the directory up.
    open(folder.path());
}

fn wait_for(core: &admin::CoreEnd) -> AdminNews {
    loop {
        match core.take() {
            Some(news) => return news,
            None => std::thread::yield_now(),
        }
    }
}
