//! What librdkafka tells a consumer through callbacks: errors, assignments, commits.
//!
//! Owns: the reports between a callback and the next poll. Never does: answer a rebalance, but
//! for a consumer that is closing. Runs on: whichever thread serves the consumer's queue.
#![allow(unsafe_code)]

use std::ffi::{c_char, c_int, c_void};
use std::ptr::null;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use rdkafka::bindings::{self as rd, rd_kafka_resp_err_t as Code};

use super::client::Shared;
use super::error::{ErrorText, KafkaError, code3, text_of, written_text};
use super::list::{Entry, entries_of, first_error};

/// One report, with topics by name.
pub(super) enum Report {
    Error(KafkaError),
    Assigned(Vec<Entry>),
    Revoked(Vec<Entry>),
    Lost(Vec<Entry>),
    Committed(Vec<Entry>, Result<(), KafkaError>),
}

/// Reports that no poll has handed on yet. They are few: the lock is taken only when there are any.
#[derive(Default)]
pub(super) struct GroupNews {
    has_reports: AtomicBool,
    reports: Mutex<Vec<Report>>,
    is_closing: AtomicBool,
}

impl GroupNews {
    fn push(&self, report: Report) {
        self.reports
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(report);
        self.has_reports.store(true, Ordering::Release);
    }

    pub fn has_reports(&self) -> bool {
        self.has_reports.load(Ordering::Acquire)
    }

    pub fn take(&self) -> Vec<Report> {
        self.has_reports.store(false, Ordering::Relaxed);
        std::mem::take(&mut *self.reports.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on rebalances are answered here: nobody may be left to do it.
    pub fn close(&self) {
        self.is_closing.store(true, Ordering::Release);
    }
}

/// Sets the callbacks of a consumer.
///
/// # Safety
/// `conf` is live, and its opaque pointer is a [`Shared`] that outlives the client.
pub(super) unsafe fn set_callbacks(conf: *mut rd::rd_kafka_conf_t) {
    // SAFETY: the enum is `repr(i32)`, so a callback that takes the code as a number, as it must
    // since a broker may send one that the enum does not know, has the same calling convention.
    let on_rebalance =
        unsafe { std::mem::transmute::<ListCallback, NativeListCallback>(on_rebalance) };
    // SAFETY: the caller vouches for the object.
    unsafe {
        rd::rd_kafka_conf_set_error_cb(conf, Some(on_error));
        rd::rd_kafka_conf_set_rebalance_cb(conf, Some(on_rebalance));
    }
}

type NativeListCallback = unsafe extern "C" fn(
    *mut rd::rd_kafka_t,
    Code,
    *mut rd::rd_kafka_topic_partition_list_t,
    *mut c_void,
);

/// [`NativeListCallback`] with the code read as a number.
type ListCallback = unsafe extern "C" fn(
    *mut rd::rd_kafka_t,
    i32,
    *mut rd::rd_kafka_topic_partition_list_t,
    *mut c_void,
);

/// Commits `offsets` with the outcome as a [`Report::Committed`] of a later poll.
///
/// # Safety
/// All three pointers are live; `shared` outlives the client.
pub(super) unsafe fn commit(
    rk: *mut rd::rd_kafka_t,
    offsets: *const rd::rd_kafka_topic_partition_list_t,
    queue: *mut rd::rd_kafka_queue_t,
    shared: *const Shared,
) -> Result<(), KafkaError> {
    type NativeCommit = unsafe extern "C" fn(
        *mut rd::rd_kafka_t,
        *const rd::rd_kafka_topic_partition_list_t,
        *mut rd::rd_kafka_queue_t,
        Option<NativeListCallback>,
        *mut c_void,
    ) -> Code;
    type Commit = unsafe extern "C" fn(
        *mut rd::rd_kafka_t,
        *const rd::rd_kafka_topic_partition_list_t,
        *mut rd::rd_kafka_queue_t,
        Option<ListCallback>,
        *mut c_void,
    ) -> i32;
    // SAFETY: the types differ only in the `repr(i32)` enum, which is the callback's second
    // argument and the result, and in both places a number to us.
    let commit_queue =
        unsafe { std::mem::transmute::<NativeCommit, Commit>(rd::rd_kafka_commit_queue) };
    // SAFETY: the caller vouches for the pointers; the list is copied.
    let code = unsafe {
        commit_queue(
            rk,
            offsets,
            queue,
            Some(on_commit),
            shared.cast_mut().cast(),
        )
    };
    KafkaError::check(code)
}

unsafe extern "C" fn on_error(
    rk: *mut rd::rd_kafka_t,
    code: c_int,
    reason: *const c_char,
    opaque: *mut c_void,
) {
    // SAFETY: librdkafka passes the live client, a text that ends with a zero, and the opaque
    // pointer, which is a Shared that outlives the client.
    let (shared, reason) = unsafe { (&*opaque.cast::<Shared>(), text_of(reason)) };
    let error = if code == Code::RD_KAFKA_RESP_ERR__FATAL as i32 {
        let mut text: ErrorText = [0; 512];
        // SAFETY: the client is live; the buffer goes with its size.
        let cause = unsafe { code3(rd::rd_kafka_fatal_error)(rk, text.as_mut_ptr(), text.len()) };
        KafkaError::new(cause, written_text(&text)).made_fatal()
    } else {
        KafkaError::new(code, reason)
    };
    shared.group.push(Report::Error(error));
}

unsafe extern "C" fn on_rebalance(
    rk: *mut rd::rd_kafka_t,
    code: i32,
    partitions: *mut rd::rd_kafka_topic_partition_list_t,
    opaque: *mut c_void,
) {
    // SAFETY: librdkafka passes the live client, a list that it keeps during the call, and the
    // opaque pointer, which is a Shared that outlives the client.
    let (shared, entries) = unsafe { (&*opaque.cast::<Shared>(), entries_of(partitions)) };
    let news = &shared.group;
    if news.is_closing.load(Ordering::Acquire) {
        // SAFETY: as above. The group is told that nothing is held; its own log line says when
        // this fails, and closing has a timeout.
        unsafe { rd::rd_kafka_assign(rk, null()) };
        return;
    }
    if code == Code::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS as i32 {
        news.push(Report::Assigned(entries));
    } else if code == Code::RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS as i32 {
        // SAFETY: the client is live.
        let is_lost = unsafe { rd::rd_kafka_assignment_lost(rk) } != 0;
        news.push(if is_lost {
            Report::Lost(entries)
        } else {
            Report::Revoked(entries)
        });
    } else {
        news.push(Report::Error(KafkaError::from_code(code)));
        // SAFETY: as above; librdkafka asks for this answer to any other code.
        unsafe { rd::rd_kafka_assign(rk, null()) };
    }
}

unsafe extern "C" fn on_commit(
    _rk: *mut rd::rd_kafka_t,
    code: i32,
    offsets: *mut rd::rd_kafka_topic_partition_list_t,
    opaque: *mut c_void,
) {
    // SAFETY: librdkafka passes a list that it keeps during the call, and what `commit` gave it,
    // which is a Shared that outlives the client.
    let (shared, entries) = unsafe { (&*opaque.cast::<Shared>(), entries_of(offsets)) };
    let result = KafkaError::check(code).and_then(|()| first_error(&entries));
    shared.group.push(Report::Committed(entries, result));
}
