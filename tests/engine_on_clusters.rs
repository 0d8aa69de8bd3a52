//! What the engine makes of everything that a cluster can answer: commits that are taken back,
//! records that come back, acknowledgements that are lost.

#[path = "support/scripted.rs"]
mod scripted;

use corelane::engine::handler::{HandlerContext, ProcessError, TransactionHandler};
use corelane::engine::message::{Answer, Stored};
use corelane::frame::ErrorCode;
use corelane::ids::{Acks, Offset, ShardId};
use corelane::storage::{Commit, Outputs, OutputsRefused, StorageEvent};
use corelane::telemetry::{Counter, Leg, TraceContext};
use corelane::transaction::{Submission, TransactionRef};
use scripted::{Rig, body};

/// Counts, in its state.
struct Count(u64);

impl TransactionHandler for Count {
    fn process(&mut self, _: &TransactionRef<'_>, _: &mut Outputs) -> Result<(), ProcessError> {
        self.0 += 1;
        Ok(())
    }

    fn commit(&mut self, out: &mut Outputs) -> Result<(), OutputsRefused> {
        out.set_state(b"count", &self.0.to_le_bytes())
    }
}

fn count(context: &HandlerContext<'_>) -> Count {
    let bytes = context.state.get(&b"count"[..]);
    Count(bytes.map_or(0, |bytes| {
        u64::from_le_bytes(bytes[..].try_into().expect("8 bytes"))
    }))
}

type CountRig = Rig<fn(&HandlerContext<'_>) -> Count>;

fn rig(acks_max: Acks) -> CountRig {
    Rig::new(count as fn(&HandlerContext<'_>) -> Count, acks_max)
}

fn counted(rig: &CountRig) -> u64 {
    let script = rig.script.borrow();
    let bytes = script.state.get(&b"count"[..]).expect("committed");
    u64::from_le_bytes(bytes[..].try_into().expect("8 bytes"))
}

fn stored(rig: &CountRig, mark: u64) -> Stored {
    let answer = rig.answers.iter().find(|(m, _)| *m == mark);
    match answer.expect("answered").1 {
        Answer::Stored(stored) => stored,
        Answer::Rejected(code) => panic!("{mark} was rejected: {code}"),
    }
}

#[test]
fn a_commit_counts_when_it_holds_and_is_repeated_from_the_old_state_when_it_does_not() {
    let mut rig = rig(Acks::All);
    rig.script.borrow_mut().commit = Commit::Open;
    rig.submit(1, body("a", 0), Acks::All);
    rig.cycles();
    rig.script.borrow_mut().take_oldest();
    rig.cycles();
    assert_eq!(
        stored(&rig, 1).offset,
        Offset(0),
        "the receipt waits for no commit"
    );
    assert_eq!(rig.script.borrow().commits, 1);
    assert_eq!(rig.count(Counter::Processed), 0, "the commit is still open");
    rig.script.borrow_mut().undo(0);
    rig.cycles();
    assert_eq!(rig.script.borrow().commits, 2, "it was processed again");
    rig.script.borrow_mut().settle(0, 1);
    rig.cycles();
    assert_eq!(rig.count(Counter::Processed), 1);
    assert_eq!(
        counted(&rig),
        1,
        "the first attempt left nothing in the handler"
    );
}

#[test]
fn an_unreachable_shard_is_left_out_and_come_home_to() {
    let mut rig = rig(Acks::All);
    rig.script.borrow_mut().available[0] = false;
    rig.submit(1, body("a", 0), Acks::All);
    rig.cycles();
    assert_eq!(rig.script.borrow_mut().take_oldest(), (1, 0));
    rig.cycles();
    assert_eq!(
        stored(&rig, 1).shard,
        ShardId(1),
        "the shard that really took it"
    );
    assert_eq!(rig.count(Counter::Failovers), 1);
    rig.script.borrow_mut().available[0] = true;
    rig.submit(2, body("a", 0), Acks::All);
    rig.submit(3, body("b", 0), Acks::All);
    rig.cycles();
    assert_eq!(stored(&rig, 2).submission, Submission::Duplicate);
    assert_eq!(stored(&rig, 2).shard, ShardId(1), "the first receipt's");
    assert_eq!(rig.script.borrow_mut().take_oldest(), (0, 0), "home again");
}

#[test]
fn with_every_shard_unreachable_the_pressure_goes_back_and_nothing_is_lost() {
    let mut rig = rig(Acks::All);
    rig.script.borrow_mut().available = [false; 2];
    rig.submit(1, body("a", 0), Acks::All);
    rig.submit(2, body("b", 0), Acks::All);
    rig.cycles();
    assert!(rig.answers.is_empty() && rig.script.borrow().offers.is_empty());
    rig.script.borrow_mut().available[1] = true;
    rig.cycles();
    assert_eq!(rig.script.borrow_mut().take_oldest(), (1, 0));
    assert_eq!(rig.script.borrow_mut().take_oldest(), (1, 1));
    rig.cycles();
    assert_eq!(stored(&rig, 2).shard, ShardId(1));
}

#[test]
fn a_record_that_comes_back_goes_elsewhere_before_anything_new() {
    let mut rig = rig(Acks::All);
    rig.submit(1, body("a", 0), Acks::All);
    rig.cycles();
    {
        let mut script = rig.script.borrow_mut();
        let offer = script.offers.pop_front().expect("offered");
        script.available[0] = false;
        script.events.push_back(StorageEvent::Returned(offer));
    }
    rig.submit(2, body("b", 0), Acks::All);
    rig.submit(3, body("a", 0), Acks::All);
    rig.cycles();
    assert_eq!(rig.script.borrow_mut().take_oldest(), (1, 0));
    rig.cycles();
    assert_eq!(stored(&rig, 1).shard, ShardId(1));
    assert_eq!(stored(&rig, 3).submission, Submission::Duplicate);
    assert!(!rig.answers.iter().any(|(mark, _)| *mark == 2));
}

#[test]
fn a_lost_acknowledgement_of_a_record_that_was_read_back_is_no_failure() {
    let mut rig = rig(Acks::All);
    rig.submit(1, body("a", 0), Acks::All);
    rig.cycles();
    let token = {
        let mut script = rig.script.borrow_mut();
        let offer = script.offers.pop_front().expect("offered");
        script.appear(0, &offer);
        offer.token
    };
    rig.cycles();
    let failed = StorageEvent::Failed { token };
    rig.script.borrow_mut().events.push_back(failed);
    rig.cycles();
    assert_eq!(stored(&rig, 1).offset, Offset(0));
    assert_eq!(rig.count(Counter::Processed), 1);
}

/// The first record's acknowledgement is lost, the client submits again, and only then is the first
/// record read: two records of one id, in either order of reading and acknowledging.
#[test]
fn two_records_of_one_id_are_processed_once_whatever_comes_first() {
    for acknowledged_first in [false, true] {
        let mut rig = rig(Acks::All);
        rig.submit(1, body("a", 0), Acks::All);
        rig.cycles();
        let first = rig.script.borrow_mut().offers.pop_front().expect("offered");
        let failed = StorageEvent::Failed { token: first.token };
        rig.script.borrow_mut().events.push_back(failed);
        rig.cycles();
        let unknown = Answer::Rejected(ErrorCode::StorageFailed);
        assert_eq!(rig.answers, [(1, unknown)]);
        rig.submit(2, body("a", 0), Acks::All);
        rig.cycles();
        rig.script.borrow_mut().appear(0, &first);
        rig.cycles();
        let second = rig.script.borrow_mut().offers.pop_front().expect("offered");
        if acknowledged_first {
            rig.script.borrow_mut().acknowledge(second.token, 1);
            rig.cycles();
        }
        rig.script.borrow_mut().appear(0, &second);
        rig.cycles();
        if !acknowledged_first {
            rig.script.borrow_mut().acknowledge(second.token, 1);
            rig.cycles();
        }
        assert_eq!(stored(&rig, 2).offset, Offset(1));
        assert_eq!(rig.count(Counter::Processed), 1);
        assert_eq!(rig.count(Counter::ProcessedDuplicates), 1);
        assert_eq!(counted(&rig), 1);
    }
}

#[test]
fn what_was_there_before_is_a_duplicate_and_a_foreign_copy_is_not_processed_again() {
    let mut rig = rig(Acks::All);
    let before = ("old".into(), 0, 7);
    rig.script.borrow_mut().history.push(before);
    rig.cycles();
    rig.submit(1, body("old", 0), Acks::All);
    rig.cycles();
    assert_eq!(stored(&rig, 1).submission, Submission::Duplicate);
    assert_eq!(stored(&rig, 1).offset, Offset(7));
    // Another node stored one id twice: once at each shard.
    rig.submit(2, body("copied", 0), Acks::All);
    rig.cycles();
    let offer = rig.script.borrow_mut().offers.pop_front().expect("offered");
    let sent = StorageEvent::Sent { token: offer.token };
    rig.script.borrow_mut().events.push_back(sent);
    rig.cycles();
    rig.script.borrow_mut().appear(0, &offer);
    rig.cycles();
    rig.script.borrow_mut().appear(1, &offer);
    rig.cycles();
    assert_eq!(rig.count(Counter::Processed), 1);
    assert_eq!(rig.count(Counter::ProcessedDuplicates), 1);
}

#[test]
fn a_receipt_claims_no_more_than_the_cluster_promises() {
    let mut rig = rig(Acks::Leader);
    rig.submit(1, body("a", 0), Acks::All);
    rig.submit(2, body("b", 0), Acks::Leader);
    rig.cycles();
    rig.script.borrow_mut().take_oldest();
    rig.script.borrow_mut().take_oldest();
    rig.cycles();
    assert_eq!(stored(&rig, 1).acks, Acks::Leader);
    assert_eq!(stored(&rig, 2).acks, Acks::Leader);
}

/// Whatever becomes of a traced transaction on its way, it is told once, and nobody in its place is.
#[test]
fn a_trace_stays_with_its_transaction_through_all_that_a_cluster_can_do() {
    let text = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let given: TraceContext = text.parse().expect("a traceparent");
    let mut rig = rig(Acks::All);
    rig.submit_traced(1, body("lost", 0), Acks::All, Some(given));
    rig.cycles();
    {
        let mut script = rig.script.borrow_mut();
        let token = script.offers.pop_front().expect("offered").token;
        script.events.push_back(StorageEvent::Failed { token });
    }
    // It takes the place of the one that failed.
    rig.submit(2, body("plain", 0), Acks::All);
    rig.cycles();
    rig.script.borrow_mut().take_oldest();
    rig.cycles();
    assert_eq!(stored(&rig, 2).submission, Submission::First);
    assert_eq!(
        rig.told.next(),
        None,
        "neither reached storage and is traced"
    );

    rig.submit_traced(3, body("back", 0), Acks::All, Some(given));
    rig.cycles();
    let header = {
        let mut script = rig.script.borrow_mut();
        let offer = script.offers.pop_front().expect("offered");
        script.available[0] = false;
        let header = offer.trace.as_deref().copied();
        script.events.push_back(StorageEvent::Returned(offer));
        header.expect("it is traced")
    };
    rig.submit_traced(4, body("back", 0), Acks::All, Some(given));
    rig.cycles();
    let again = rig.script.borrow().offers[0].trace.as_deref().copied();
    assert_eq!(again, Some(header), "the same span at the other shard");
    rig.script.borrow_mut().take_oldest();
    rig.cycles();
    assert_eq!(stored(&rig, 4).submission, Submission::Duplicate);
    let sent = rig.told.next().expect("told");
    assert_eq!((sent.leg, sent.context), (Leg::Send, given));
    assert_eq!(sent.flight.shard, ShardId(1));
    assert_eq!(given.caused_by(sent.span).to_header(), header);
    assert_eq!(rig.told.next(), None, "the duplicate is of no trace");
    assert_eq!(rig.count(Counter::Traces), 1);
}

#[test]
fn what_nobody_takes_in_time_is_dropped_and_counted() {
    let mut rig = rig(Acks::All);
    let given = TraceContext::root(7).caused_by(8);
    let count = 1500;
    for number in 0..count {
        let body = body(&format!("t{number}"), 0);
        rig.submit_traced(number, body, Acks::All, Some(given));
        rig.cycles();
        rig.script.borrow_mut().take_oldest();
        rig.cycles();
        assert_eq!(stored(&rig, number).submission, Submission::First);
    }
    let told = std::iter::from_fn(|| rig.told.next()).count() as u64;
    let (traces, dropped) = (
        rig.count(Counter::Traces),
        rig.count(Counter::TracesDropped),
    );
    assert!(told > 0 && dropped > 0);
    assert_eq!((told, told + dropped), (traces, count));
}
