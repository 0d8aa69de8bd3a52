//! What a client is made from: its properties, its threads' CPUs, and who is woken by it.
//!
//! Owns: one `rd_kafka_conf_t` until a client takes it over, and the callbacks librdkafka makes
//! from threads of its own. Never does: choose a property. Runs on: a housekeeping thread; the
//! callbacks run on librdkafka's threads.
#![allow(unsafe_code)]

use std::ffi::{CString, c_char, c_int, c_void};
use std::mem::ManuallyDrop;
use std::ptr::{NonNull, null_mut};
use std::sync::Arc;

use rdkafka::bindings as rd;
use rustix::thread::{CpuSet, sched_setaffinity};

use super::client::{Client, Shared};
use super::error::{ErrorText, KafkaError, text_of, written_text};
use super::group;
use crate::ids::CpuId;

/// Called from librdkafka's threads when a client's queue stops being empty, with that queue
/// locked: it must be short, must not call into the client, and a panic in it ends the process.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// What a client will be made from.
pub struct ClientConf {
    raw: NonNull<rd::rd_kafka_conf_t>,
    cpus: Option<CpuSet>,
    wake: Option<Wake>,
}

// SAFETY: the object is plain memory that only its owner touches; librdkafka ties it to no thread.
unsafe impl Send for ClientConf {}

/// Which client is made.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Producer,
    Consumer,
}

impl ClientConf {
    /// Sets each property in turn; later entries win. The error names the property and what
    /// librdkafka allows for it.
    pub fn new(properties: &[(String, String)]) -> Result<ClientConf, KafkaError> {
        // SAFETY: no precondition; librdkafka aborts rather than return null.
        let raw = unsafe { rd::rd_kafka_conf_new() };
        let mut conf = ClientConf {
            raw: NonNull::new(raw).expect("librdkafka aborts when memory is out"),
            cpus: None,
            wake: None,
        };
        for (name, value) in properties {
            conf.set(name, value)?;
        }
        Ok(conf)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), KafkaError> {
        let refused =
            |reason: &str| KafkaError::invalid(format!("librdkafka's property '{name}': {reason}"));
        let zero = |_| refused("a name or value has no zero byte");
        let c_name = CString::new(name).map_err(zero)?;
        let c_value = CString::new(value).map_err(zero)?;
        let mut text: ErrorText = [0; 512];
        // SAFETY: the object is live and ours, the texts end with a zero, and the last two
        // arguments are a buffer and its size.
        let result = unsafe {
            rd::rd_kafka_conf_set(
                self.raw.as_ptr(),
                c_name.as_ptr(),
                c_value.as_ptr(),
                text.as_mut_ptr(),
                text.len(),
            )
        };
        match result {
            rd::rd_kafka_conf_res_t::RD_KAFKA_CONF_OK => Ok(()),
            rd::rd_kafka_conf_res_t::RD_KAFKA_CONF_UNKNOWN => {
                Err(refused("librdkafka has no such property"))
            }
            rd::rd_kafka_conf_res_t::RD_KAFKA_CONF_INVALID => Err(refused(&written_text(&text))),
        }
    }

    /// Lets every thread of the client run on these CPUs only: one or more. Numbers beyond what the kernel's
    /// mask holds are left out. Without this call threads inherit the mask of the thread that
    /// makes the client.
    pub fn place_threads(&mut self, cpus: &[CpuId]) {
        let mut set = CpuSet::new();
        for cpu in cpus.iter().filter(|cpu| cpu.index() < CpuSet::MAX_CPU) {
            set.set(cpu.index());
        }
        self.cpus = Some(set);
    }

    /// Calls `wake` when the client's queue stops being empty.
    pub fn wake_by(&mut self, wake: Wake) {
        self.wake = Some(wake);
    }

    /// Makes the client.
    pub(super) fn start(mut self, kind: Kind) -> Result<Arc<Client>, KafkaError> {
        let shared = Arc::new(Shared::new(self.wake.take(), self.cpus));
        self.set_callbacks(kind, &shared);
        let native_kind = match kind {
            Kind::Producer => rd::rd_kafka_type_t::RD_KAFKA_PRODUCER,
            Kind::Consumer => rd::rd_kafka_type_t::RD_KAFKA_CONSUMER,
        };
        let mut text: ErrorText = [0; 512];
        // SAFETY: the object is live and ours; the buffer goes with its size.
        let rk = unsafe {
            rd::rd_kafka_new(
                native_kind,
                self.raw.as_ptr(),
                text.as_mut_ptr(),
                text.len(),
            )
        };
        let Some(rk) = NonNull::new(rk) else {
            // librdkafka leaves the object to us when it fails.
            return Err(KafkaError::invalid(format!(
                "the client cannot be made: {}",
                written_text(&text)
            )));
        };
        // The client owns the object now.
        let _ = ManuallyDrop::new(self);
        // SAFETY: `rk` is a new client of this kind, made with `shared` as its opaque pointer.
        Ok(Arc::new(unsafe { Client::adopt(rk, kind, shared) }))
    }

    fn set_callbacks(&mut self, kind: Kind, shared: &Arc<Shared>) {
        let opaque = Arc::as_ptr(shared).cast::<c_void>().cast_mut();
        // SAFETY: the object is live and ours. The callbacks have the types librdkafka declares,
        // and `opaque` is valid as long as the client: the client holds `shared` until after
        // rd_kafka_destroy, when no thread of librdkafka is left.
        unsafe {
            let conf = self.raw.as_ptr();
            rd::rd_kafka_conf_set_opaque(conf, opaque);
            rd::rd_kafka_conf_set_log_cb(conf, Some(on_log));
            let events = match kind {
                Kind::Producer => rd::RD_KAFKA_EVENT_DR | rd::RD_KAFKA_EVENT_ERROR,
                // Only asked for by ConsumerControl::commit, on a queue of its own.
                Kind::Consumer => rd::RD_KAFKA_EVENT_OFFSET_COMMIT,
            };
            rd::rd_kafka_conf_set_events(conf, events);
            if kind == Kind::Consumer {
                group::set_callbacks(conf);
            }
            if self.cpus.is_some() {
                // It can only fail for a second interceptor of this name.
                rd::rd_kafka_conf_interceptor_add_on_new(
                    conf,
                    INTERCEPTOR.as_ptr(),
                    Some(on_new),
                    opaque,
                );
            }
        }
    }
}

impl Drop for ClientConf {
    fn drop(&mut self) {
        // SAFETY: no client took the object over: `start` forgets it then.
        unsafe { rd::rd_kafka_conf_destroy(self.raw.as_ptr()) };
    }
}

const INTERCEPTOR: &std::ffi::CStr = c"corelane-place-threads";

/// Runs inside rd_kafka_new, before the first thread starts.
unsafe extern "C" fn on_new(
    rk: *mut rd::rd_kafka_t,
    _conf: *const rd::rd_kafka_conf_t,
    opaque: *mut c_void,
    _text: *mut c_char,
    _text_size: usize,
) -> rd::rd_kafka_resp_err_t {
    // SAFETY: librdkafka passes the client under construction, where methods may be added.
    unsafe {
        rd::rd_kafka_interceptor_add_on_thread_start(
            rk,
            INTERCEPTOR.as_ptr(),
            Some(on_thread_start),
            opaque,
        )
    }
}

/// Runs first thing on each thread of the client.
unsafe extern "C" fn on_thread_start(
    _rk: *mut rd::rd_kafka_t,
    _kind: rd::rd_kafka_thread_type_t,
    name: *const c_char,
    opaque: *mut c_void,
) -> rd::rd_kafka_resp_err_t {
    // SAFETY: `opaque` is the client's Shared, see `set_callbacks`.
    let shared = unsafe { &*opaque.cast::<Shared>() };
    if let Some(cpus) = shared.cpus()
        && let Err(error) = sched_setaffinity(None, cpus)
    {
        // SAFETY: librdkafka passes a text that ends with a zero.
        let name = unsafe { text_of(name) };
        tracing::error!(thread = %name, %error, "a thread of librdkafka could not be placed");
        return rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__FAIL;
    }
    rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR
}

/// librdkafka's log lines, as events. Nearly all come from librdkafka's own threads.
unsafe extern "C" fn on_log(
    rk: *const rd::rd_kafka_t,
    level: c_int,
    facility: *const c_char,
    line: *const c_char,
) {
    // SAFETY: librdkafka passes null or a live client, and texts that end with a zero.
    let (client, facility, line) = unsafe {
        let client = if rk.is_null() {
            String::new()
        } else {
            text_of(rd::rd_kafka_name(rk))
        };
        (client, text_of(facility), text_of(line))
    };
    // The levels are those of syslog.
    match level {
        ..=3 => tracing::error!(target: "librdkafka", %client, %facility, "{line}"),
        4 => tracing::warn!(target: "librdkafka", %client, %facility, "{line}"),
        5..=6 => tracing::info!(target: "librdkafka", %client, %facility, "{line}"),
        7.. => tracing::debug!(target: "librdkafka", %client, %facility, "{line}"),
    }
}

/// Tells librdkafka to raise the client's news flag when `queue` stops being empty.
///
/// # Safety
/// `queue` is live, and `shared` lives until the callback is cleared or the client destroyed.
pub(super) unsafe fn enable_news(queue: *mut rd::rd_kafka_queue_t, shared: *const Shared) {
    // SAFETY: the caller vouches for both.
    unsafe {
        rd::rd_kafka_queue_cb_event_enable(queue, Some(on_news), shared.cast_mut().cast());
    }
}

/// Clears what [`enable_news`] set: no call is under way or comes after.
///
/// # Safety
/// `queue` is live.
pub(super) unsafe fn disable_news(queue: *mut rd::rd_kafka_queue_t) {
    // SAFETY: the caller vouches for the queue; librdkafka changes the callback under its lock.
    unsafe { rd::rd_kafka_queue_cb_event_enable(queue, None, null_mut()) };
}

unsafe extern "C" fn on_news(_rk: *mut rd::rd_kafka_t, opaque: *mut c_void) {
    // SAFETY: `opaque` is the client's Shared, see `enable_news`.
    let shared = unsafe { &*opaque.cast::<Shared>() };
    shared.raise();
}
