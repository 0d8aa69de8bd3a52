//! Consumer groups: assignments, commits, leaving.

use bytes::Bytes;

use super::*;
use crate::ids::Offset;

/// A member with whatever its polls reported, in order.
struct Member {
    consumer: NativeConsumer,
    held: Vec<TopicPartition>,
    read: Vec<(TopicPartition, Offset)>,
    committed: Vec<Vec<(TopicPartition, Offset)>>,
}

impl Member {
    fn new(mock: &Mock) -> Member {
        // The mock's rebalances take as long as a session, less a second.
        let properties = [
            ("session.timeout.ms", "3000"),
            ("heartbeat.interval.ms", "200"),
        ];
        let mut consumer = consumer(mock, "g", &properties);
        let topic = consumer.add_topic("t").unwrap();
        consumer.subscribe(&[topic]).unwrap();
        Member {
            consumer,
            held: Vec::new(),
            read: Vec::new(),
            committed: Vec::new(),
        }
    }

    /// Polls once and answers what the group asks, after the poll.
    fn step(&mut self) {
        let mut answers = Vec::new();
        let (read, committed) = (&mut self.read, &mut self.committed);
        self.consumer.poll(10, &mut |event| match event {
            ConsumerEvent::Message(message) => read.push((message.part(), message.offset())),
            ConsumerEvent::Committed { parts, result } => {
                result.unwrap();
                committed.push(parts);
            }
            ConsumerEvent::End(..) => {}
            ConsumerEvent::Error(error) => panic!("{error}"),
            ConsumerEvent::Partition(part, error) => panic!("{part:?}: {error}"),
            ConsumerEvent::Assigned(parts) => answers.push((Answer::Take, parts)),
            ConsumerEvent::Revoked(parts) | ConsumerEvent::Lost(parts) => {
                answers.push((Answer::Give, parts));
            }
        });
        for (answer, parts) in answers {
            match answer {
                Answer::Take => {
                    let from: Vec<_> = parts.iter().map(|part| (*part, Offset(0))).collect();
                    self.consumer.incremental_assign(&from).unwrap();
                    self.held.extend(parts);
                }
                Answer::Give => {
                    self.consumer.incremental_unassign(&parts).unwrap();
                    self.held.retain(|part| !parts.contains(part));
                }
            }
        }
    }
}

enum Answer {
    Take,
    Give,
}

#[test]
fn members_share_partitions_give_some_away_and_leave() {
    let mock = mock(1);
    mock.create_topic("t", 4, 1).unwrap();
    let mut producer = producer(&mock, &[("linger.ms", "0")]);
    let topic = producer.add_topic("t").unwrap();
    for partition in 0..4 {
        let value = Bytes::from_static(b"value");
        producer.send(topic, partition, 0..0, value, 0).unwrap();
    }
    events(&mut producer, 4);

    let mut first = Member::new(&mock);
    until("all partitions", || {
        first.step();
        (first.held.len() == 4 && first.read.len() == 4).then_some(())
    });

    let mut second = Member::new(&mock);
    until("an even share", || {
        first.step();
        second.step();
        (first.held.len() == 2 && second.held.len() == 2).then_some(())
    });
    let mut all: Vec<i32> = (first.held.iter())
        .chain(&second.held)
        .map(|part| part.partition)
        .collect();
    all.sort_unstable();
    assert_eq!(all, [0, 1, 2, 3]);

    second.consumer.control().close(PATIENCE).unwrap();
    until("all partitions again", || {
        first.step();
        (first.held.len() == 4).then_some(())
    });
}

#[test]
fn an_unanswered_assignment_does_not_keep_a_member_from_leaving() {
    let mock = mock(1);
    mock.create_topic("t", 1, 1).unwrap();
    let mut consumer = consumer(&mock, "g", &[]);
    let topic = consumer.add_topic("t").unwrap();
    consumer.subscribe(&[topic]).unwrap();
    until("the assignment", || {
        let mut is_assigned = None;
        consumer.poll(10, &mut |event| {
            if let ConsumerEvent::Assigned(_) = event {
                is_assigned = Some(());
            }
        });
        is_assigned
    });
    consumer.control().close(PATIENCE).unwrap();
}

#[test]
fn leaving_a_group_that_cannot_be_reached_ends_at_its_timeout() {
    let conf = conf("127.0.0.1:1", &[("group.id", "g")]);
    let mut consumer = NativeConsumer::new(conf).unwrap();
    let topic = consumer.add_topic("t").unwrap();
    consumer.subscribe(&[topic]).unwrap();
    let start = Instant::now();
    // Either is fine, as long as it comes back: there is no group to leave yet.
    let _ = consumer.control().close(Duration::from_millis(200));
    drop(consumer);
    assert!(start.elapsed() < PATIENCE);
}

#[test]
fn committed_positions_are_read_back() {
    let mock = mock(1);
    mock.create_topic("t", 2, 1).unwrap();
    let mut member = Member::new(&mock);
    until("all partitions", || {
        member.step();
        (member.held.len() == 2).then_some(())
    });
    let control = member.consumer.control();
    let parts = [("t".to_owned(), 0), ("t".to_owned(), 1)];
    assert_eq!(control.committed(&parts, PATIENCE), Ok(vec![None, None]));

    let part = TopicPartition {
        topic: TopicRef(0),
        partition: 0,
    };
    let positions = [(part, Offset(5))];
    member.consumer.commit_async(&positions).unwrap();
    until("the outcome", || {
        member.step();
        (!member.committed.is_empty()).then_some(())
    });
    assert_eq!(member.committed, [positions.to_vec()]);

    let waited = [("t".to_owned(), 1, Offset(9))];
    control.commit(&waited, PATIENCE).unwrap();
    let both = Ok(vec![Some(Offset(5)), Some(Offset(9))]);
    assert_eq!(control.committed(&parts, PATIENCE), both);
}

#[test]
fn positions_are_taken_into_a_transaction() {
    let mock = mock(3);
    mock.create_topic("t", 1, 3).unwrap();
    let mut member = Member::new(&mock);
    until("the partition", || {
        member.step();
        (member.held.len() == 1).then_some(())
    });
    let consumer = member.consumer.control();
    let group = consumer.group_metadata().unwrap();
    let mut producer = producer(&mock, &[("transactional.id", "tid")]);
    let topic = producer.add_topic("t").unwrap();
    let control = producer.transactions();
    control.init(PATIENCE).unwrap();
    control.begin().unwrap();
    producer
        .send(topic, 0, 0..0, Bytes::from_static(b"value"), 1)
        .unwrap();
    let helper = std::thread::spawn(move || {
        let offsets = [("t".to_owned(), 0, Offset(3))];
        control.send_offsets(&offsets, &group, PATIENCE)?;
        control.commit(PATIENCE)
    });
    until("the end of the transaction", || {
        producer.poll(16, &mut |_| {});
        helper.is_finished().then_some(())
    });
    // The mock takes such positions and forgets them: reading them back needs a real cluster.
    helper.join().unwrap().unwrap();
}
