//! What the line promises to both sides.

use kafka_protocol::messages::{
    CreateTopicsRequest, CreateTopicsResponse, MetadataRequest, ProduceRequest,
};

use super::*;
use crate::mesh::Doorbell;

fn bells(cores: u16) -> Bells {
    (0..cores).map(|_| Doorbell::default()).collect()
}

fn call(ticket: u64) -> AdminCall {
    AdminCall {
        to: (CoreId(1), ticket),
        listener: 0,
        version: 7,
        request: Box::new(RequestKind::CreateTopics(CreateTopicsRequest::default())),
    }
}

fn change() -> Change {
    Change {
        view: Arc::new(View::default()),
        added: Vec::new(),
        dropped: vec![PartitionId(3)],
        retention: Vec::new(),
    }
}

#[test]
fn a_call_arrives_and_its_answer_goes_to_the_core_that_asked() {
    let (end, cores, _stop) = line(2, &bells(2));
    cores[1].call(call(9)).unwrap();
    let got = end.next().unwrap();
    assert_eq!((got.to, got.version), ((CoreId(1), 9), 7));
    let response = ResponseKind::CreateTopics(CreateTopicsResponse::default());
    end.answer(got.to, Box::new(response)).unwrap();
    assert!(!cores[0].has_news());
    match cores[1].take() {
        Some(AdminNews::Answer { ticket: 9, .. }) => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_core_is_never_kept_waiting_where_too_many_calls_wait() {
    let (_end, cores, _stop) = line(1, &bells(1));
    for ticket in 0..CALLS_MAX as u64 {
        cores[0].call(call(ticket)).unwrap();
    }
    assert_eq!(cores[0].call(call(999)).unwrap_err().to.1, 999);
}

#[test]
fn a_change_is_published_once_every_core_has_made_it() {
    let (end, cores, _stop) = line(3, &bells(3));
    let publisher = std::thread::spawn(move || end.publish(change()));
    let mut waiting = Vec::new();
    for core in &cores {
        let news = loop {
            match core.take() {
                Some(news) => break news,
                None => std::thread::yield_now(),
            }
        };
        match news {
            AdminNews::View { dropped, done, .. } => {
                assert_eq!(&dropped[..], [PartitionId(3)]);
                waiting.push(done);
            }
            AdminNews::Answer { .. } => panic!("nothing was asked"),
        }
    }
    let last = waiting.pop().unwrap();
    waiting.iter().for_each(|done| done.send(()).unwrap());
    // The senders that are left say nothing more, so only the last core is waited for.
    drop(waiting);
    assert!(!publisher.is_finished());
    last.send(()).unwrap();
    assert_eq!(publisher.join().unwrap(), Ok(()));
}

#[test]
fn a_stop_ends_every_wait() {
    let (end, cores, stop) = line(1, &bells(1));
    let waiting = std::thread::spawn({
        let stop = stop.clone();
        move || {
            // Nobody takes the news.
            let published = end.publish(change());
            drop(stop);
            (published, end.next().is_none())
        }
    });
    stop.stop();
    assert_eq!(waiting.join().unwrap(), (Err(Stopping), true));
    assert!(cores[0].call(call(1)).is_err());
}

#[test]
fn only_what_the_administrator_knows_is_for_it() {
    assert!(takes(&RequestKind::Metadata(MetadataRequest::default())));
    assert!(!takes(&RequestKind::Produce(ProduceRequest::default())));
}
