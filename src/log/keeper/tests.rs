//! What the keeper promises, one step at a time over files in memory.

use super::*;
use crate::log::files::{MemoryFiles, StdFiles, StripeFiles, segment_path};
use crate::log::format::SegmentHeader;
use crate::log::index::IndexFile;

const SEGMENT_BYTES: u64 = 64 << 10;
const RETRY: Nanos = Nanos(200_000_000);

fn options() -> KeeperOptions {
    KeeperOptions {
        directory_id: 77,
        epoch: 5,
        segment_bytes: SEGMENT_BYTES,
        stripes: vec![StripeId(0)],
        spares_max: 1,
    }
}

fn keeper(files: &MemoryFiles) -> (Keeper<MemoryFiles>, KeeperHandle) {
    let (keeper, mut handles) = Keeper::new(files.clone(), options(), Arc::new(|_| {})).unwrap();
    (keeper, handles.remove(0))
}

fn prepare(seq: u64) -> Request {
    Request::PrepareSegment {
        seq: SegmentSeq(seq),
    }
}

fn seal(seq: u64) -> Request {
    Request::Seal {
        seq: SegmentSeq(seq),
        index: Arc::default(),
        state: StripeState::default(),
    }
}

fn recycle(seq: u64) -> Request {
    Request::Recycle {
        seq: SegmentSeq(seq),
    }
}

/// Replies as text, after one step.
fn step(keeper: &mut Keeper<MemoryFiles>, handle: &KeeperHandle, now: Nanos) -> Vec<String> {
    keeper.step(now);
    let replies = std::iter::from_fn(|| handle.poll());
    replies.map(|reply| format!("{reply:?}")).collect()
}

fn said(name: &str, seq: u64) -> String {
    format!("{name} {{ seq: SegmentSeq({seq}) }}")
}

fn without_space(action: Action, seq: u64) -> String {
    format!("NoSpace {{ action: {action:?}, seq: SegmentSeq({seq}) }}")
}

fn ask(
    keeper: &mut Keeper<MemoryFiles>,
    handle: &KeeperHandle,
    requests: impl IntoIterator<Item = Request>,
) -> Vec<String> {
    for request in requests {
        handle.request(request).unwrap();
    }
    step(keeper, handle, Nanos(0))
}

#[test]
fn a_prepared_segment_is_whole_and_carries_its_header() {
    let files = MemoryFiles::new();
    let (mut keeper, handle) = keeper(&files);
    let replies = ask(&mut keeper, &handle, [prepare(0)]);
    assert_eq!(replies, [said("Prepared", 0)]);
    let content = &files.snapshot()[&segment_path(StripeId(0), SegmentSeq(0))];
    assert_eq!(content.len() as u64, SEGMENT_BYTES);
    let header = SegmentHeader::decode(content).unwrap();
    assert_eq!((header.seq, header.directory_id), (SegmentSeq(0), 77));
}

#[test]
fn a_recycled_file_comes_back_under_another_number_and_spares_are_bounded() {
    let files = MemoryFiles::new();
    let (mut keeper, handle) = keeper(&files);
    ask(
        &mut keeper,
        &handle,
        [
            prepare(0),
            prepare(1),
            prepare(2),
            seal(0),
            seal(1),
            seal(2),
        ],
    );
    files.write_at(
        &segment_path(StripeId(0), SegmentSeq(0)),
        8000,
        b"former life",
    );
    let replies = ask(&mut keeper, &handle, [recycle(0), recycle(1)]);
    assert_eq!(replies, [said("Recycled", 0), said("Recycled", 1)]);
    let found = StripeFiles::list(&files, StripeId(0)).unwrap();
    assert_eq!(found.spares, [(SegmentSeq(0), SEGMENT_BYTES)]);
    assert_eq!(found.indexes, [SegmentSeq(2)]);
    ask(&mut keeper, &handle, [prepare(3)]);
    let content = &files.snapshot()[&segment_path(StripeId(0), SegmentSeq(3))];
    assert_eq!(SegmentHeader::decode(content).unwrap().seq, SegmentSeq(3));
    assert_eq!(&content[8000..8011], b"former life", "not written again");
    assert_eq!(StripeFiles::list(&files, StripeId(0)).unwrap().spares, []);
}

#[test]
fn a_segment_that_is_ready_already_is_kept() {
    let files = MemoryFiles::new();
    let (mut keeper, handle) = keeper(&files);
    ask(&mut keeper, &handle, [prepare(0)]);
    let before = files.snapshot();
    assert_eq!(
        ask(&mut keeper, &handle, [prepare(0)]),
        [said("Prepared", 0)]
    );
    assert_eq!(files.snapshot(), before);
    // Another size, as a crash of another program might leave: made anew.
    files.edit(&segment_path(StripeId(0), SegmentSeq(0)), |content| {
        content.truncate(5000)
    });
    assert_eq!(
        ask(&mut keeper, &handle, [prepare(0)]),
        [said("Prepared", 0)]
    );
    assert_eq!(files.snapshot(), before);
}

#[test]
fn the_last_copy_of_the_state_is_never_recycled() {
    let files = MemoryFiles::new();
    let (mut keeper, handle) = keeper(&files);
    ask(&mut keeper, &handle, [prepare(0), prepare(1)]);
    assert!(
        ask(&mut keeper, &handle, [recycle(0)]).is_empty(),
        "no index at all"
    );
    assert_eq!(ask(&mut keeper, &handle, [seal(0)]), [said("Sealed", 0)]);
    let replies = ask(&mut keeper, &handle, [seal(1)]);
    assert_eq!(replies, [said("Sealed", 1), said("Recycled", 0)]);
}

#[test]
fn no_space_is_said_once_and_work_goes_on_when_there_is_some() {
    let files = MemoryFiles::new();
    let (mut keeper, handle) = keeper(&files);
    ask(
        &mut keeper,
        &handle,
        [prepare(0), prepare(1), seal(0), seal(1)],
    );
    files.set_capacity(Some(2 * SEGMENT_BYTES + 1000));
    assert_eq!(
        ask(&mut keeper, &handle, [prepare(2)]),
        [without_space(Action::Prepare, 2)]
    );
    assert!(step(&mut keeper, &handle, RETRY).is_empty(), "said once");
    // Recycling gives the file over, so the request that waited passes in the same step.
    handle.request(recycle(0)).unwrap();
    let replies = step(&mut keeper, &handle, RETRY);
    assert_eq!(replies, [said("Recycled", 0), said("Prepared", 2)]);
    assert_eq!(
        ask(&mut keeper, &handle, [prepare(3)]),
        [without_space(Action::Prepare, 3)]
    );
    files.set_capacity(None);
    assert!(
        step(&mut keeper, &handle, Nanos(1)).is_empty(),
        "not before its time"
    );
    assert_eq!(step(&mut keeper, &handle, RETRY), [said("Prepared", 3)]);
}

#[test]
fn an_index_without_space_takes_that_of_a_spare_and_indexes_stay_in_order() {
    let files = MemoryFiles::new();
    let (mut keeper, handle) = keeper(&files);
    let first = (0..4)
        .map(prepare)
        .chain((0..3).map(seal))
        .chain([recycle(0)]);
    ask(&mut keeper, &handle, first);
    assert_eq!(
        StripeFiles::list(&files, StripeId(0)).unwrap().spares.len(),
        1
    );
    files.set_capacity(Some(4 * SEGMENT_BYTES));
    assert_eq!(ask(&mut keeper, &handle, [seal(3)]), [said("Sealed", 3)]);
    assert_eq!(StripeFiles::list(&files, StripeId(0)).unwrap().spares, []);
    files.set_capacity(Some(3 * SEGMENT_BYTES));
    let replies = ask(&mut keeper, &handle, [seal(4), seal(5)]);
    assert_eq!(replies, [without_space(Action::Seal, 4)]);
    files.set_capacity(None);
    let replies = step(&mut keeper, &handle, RETRY);
    assert_eq!(replies, [said("Sealed", 4), said("Sealed", 5)]);
}

#[test]
fn an_index_holds_what_was_sealed() {
    let files = MemoryFiles::new();
    let (mut keeper, handle) = keeper(&files);
    let state = StripeState {
        values: [(b"k".to_vec(), b"v".to_vec())].into(),
        ..StripeState::default()
    };
    let index = Arc::new(SegmentIndex {
        end_position: 8192,
        ..SegmentIndex::default()
    });
    let request = Request::Seal {
        seq: SegmentSeq(4),
        index: Arc::clone(&index),
        state: state.clone(),
    };
    ask(&mut keeper, &handle, [request]);
    let bytes = &files.snapshot()["stripe-000/00000000000000000004.index"];
    let file = IndexFile::decode(bytes).unwrap();
    assert_eq!((file.epoch, file.directory_id), (5, 77));
    assert_eq!((&file.index, &file.state), (&*index, &state));
}

#[test]
fn replies_that_find_no_room_are_not_lost() {
    let files = MemoryFiles::new();
    let (mut keeper, handle) = keeper(&files);
    let mut asked = 0;
    for seq in 0..3 * KEEPER_QUEUE as u64 {
        if handle.request(prepare(seq)).is_ok() {
            asked += 1;
        }
        keeper.step(Nanos(0));
    }
    assert!(keeper.is_waiting());
    let mut replies = 0;
    while handle.poll().is_some() || keeper.step(Nanos(0)) > 0 {
        replies += 1;
    }
    assert!(replies >= asked, "{replies} of {asked}");
}

#[test]
fn the_thread_answers_wakes_its_stripe_and_ends_when_dropped() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("stripe-000")).unwrap();
    let (woken, wakes) = std::sync::mpsc::channel();
    let wake: Wake = Arc::new(move |stripe| woken.send(stripe).expect("the test listens"));
    let files = StdFiles::new(folder.path());
    let (thread, handles) = KeeperThread::spawn(files, options(), wake).unwrap();
    handles[0].request(prepare(0)).unwrap();
    assert_eq!(wakes.recv_timeout(Duration::from_secs(20)), Ok(StripeId(0)));
    assert!(matches!(handles[0].poll(), Some(Reply::Prepared { .. })));
    handles[0].request(seal(0)).unwrap();
    thread.stop();
    assert!(matches!(handles[0].poll(), Some(Reply::Sealed { .. })));
}

#[test]
fn a_folder_that_vanished_is_a_failure_said_not_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let stripe = folder.path().join("stripe-000");
    std::fs::create_dir(&stripe).unwrap();
    let files = StdFiles::new(folder.path());
    let (mut keeper, handles) = Keeper::new(files, options(), Arc::new(|_| {})).unwrap();
    std::fs::remove_dir(&stripe).unwrap();
    handles[0].request(seal(0)).unwrap();
    keeper.step(Nanos(0));
    let Some(Reply::Failed { action, error, .. }) = handles[0].poll() else {
        panic!("no failure");
    };
    assert_eq!(action, Action::Seal);
    assert!(error.contains("stripe-000/00000000000000000000"), "{error}");
}
