//! librdkafka as a program in C uses it: the baseline that nothing of ours touches.
//!
//! Owns: one client, made from the same properties as ours, its topic, and what its callback noted.
//! Payloads are not copied, as in librdkafka's own `rdkafka_performance`.
#![allow(unsafe_code)]

use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char, c_void};
use std::ptr::{NonNull, null, null_mut};

use corelane::kafka::properties::Property;
use rdkafka::bindings as rd;

use crate::Failure;
use crate::values::Values;

/// What the delivery callback noted of a record: its number, and its error, 0 for none.
pub type Report = (usize, i32);

/// Whether a record was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    Yes,
    QueueFull,
}

/// A producer for one topic.
pub struct BareProducer {
    rk: NonNull<rd::rd_kafka_t>,
    topic: NonNull<rd::rd_kafka_topic_t>,
    /// Boxed, since the callback has its address.
    reports: Box<RefCell<Vec<Report>>>,
    /// What librdkafka reads until its reports: shared memory that no one writes to.
    values: Values,
}

impl BareProducer {
    pub fn new(
        properties: &[Property],
        topic: &str,
        values: Values,
    ) -> Result<BareProducer, Failure> {
        let reports = Box::new(RefCell::new(Vec::with_capacity(1 << 16)));
        let topic = CString::new(topic)?;
        let conf = configuration(properties)?;
        // SAFETY: the configuration is live. The callback has the type that librdkafka declares,
        // and its opaque pointer stays valid: `reports` is in a box that goes after the client.
        unsafe {
            rd::rd_kafka_conf_set_opaque(conf.as_ptr(), (&raw const *reports).cast_mut().cast());
            rd::rd_kafka_conf_set_dr_msg_cb(conf.as_ptr(), Some(on_report));
        }
        let rk = client(rd::rd_kafka_type_t::RD_KAFKA_PRODUCER, conf)?;
        // SAFETY: the client is live, the name ends with a zero, null stands for the defaults.
        let topic = unsafe { rd::rd_kafka_topic_new(rk.as_ptr(), topic.as_ptr(), null_mut()) };
        Ok(BareProducer {
            rk,
            topic: NonNull::new(topic).ok_or("librdkafka refused the topic")?,
            reports,
            values,
        })
    }

    /// Hands a value over for a partition.
    pub fn produce(&mut self, partition: i32, number: usize) -> Result<Taken, Failure> {
        let value = self.values.borrow(number);
        // SAFETY: the topic is live. Without flags librdkafka reads the value in place, and never
        // writes to it; it lives as long as `self`, whose drop ends the client first. The opaque
        // pointer is a number that nobody follows.
        let result = unsafe {
            rd::rd_kafka_produce(
                self.topic.as_ptr(),
                partition,
                0,
                value.as_ptr().cast_mut().cast(),
                value.len(),
                null(),
                0,
                std::ptr::without_provenance_mut(number),
            )
        };
        if result == 0 {
            return Ok(Taken::Yes);
        }
        // SAFETY: reads a value of this thread, which rd_kafka_produce set to one of librdkafka's
        // own codes: all of these are in the bindings.
        let error = unsafe { rd::rd_kafka_last_error() };
        if error == rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__QUEUE_FULL {
            return Ok(Taken::QueueFull);
        }
        Err(format!("a record was refused: {error:?}").into())
    }

    /// Serves callbacks, after a wait for one of up to `wait_ms`, and hands their reports on.
    pub fn poll(&mut self, wait_ms: i32, mut on: impl FnMut(Report)) {
        // SAFETY: the client is live; callbacks run during this call, on this thread, where
        // nothing of `reports` is borrowed.
        unsafe { rd::rd_kafka_poll(self.rk.as_ptr(), wait_ms) };
        for report in self.reports.borrow_mut().drain(..) {
            on(report);
        }
    }
}

impl Drop for BareProducer {
    fn drop(&mut self) {
        // SAFETY: both are ours and not used again, the topic before its client, whose threads
        // have ended when the call returns: only then the values and reports go.
        unsafe {
            rd::rd_kafka_topic_destroy(self.topic.as_ptr());
            rd::rd_kafka_destroy(self.rk.as_ptr());
        }
    }
}

unsafe extern "C" fn on_report(
    _rk: *mut rd::rd_kafka_t,
    message: *const rd::rd_kafka_message_t,
    opaque: *mut c_void,
) {
    // SAFETY: `opaque` is the list of a live BareProducer, see `new`. The message is live; its
    // fields are read one by one, the error as a number, since a broker's may be unknown here.
    let (reports, number, error) = unsafe {
        (
            &*opaque.cast::<RefCell<Vec<Report>>>(),
            (*message)._private.addr(),
            (&raw const (*message).err).cast::<i32>().read(),
        )
    };
    reports.borrow_mut().push((number, error));
}

/// A consumer that takes one message at a time.
pub struct BareConsumer {
    rk: NonNull<rd::rd_kafka_t>,
    topic: CString,
}

impl BareConsumer {
    pub fn new(properties: &[Property], topic: &str) -> Result<BareConsumer, Failure> {
        let conf = configuration(properties)?;
        let rk = client(rd::rd_kafka_type_t::RD_KAFKA_CONSUMER, conf)?;
        // SAFETY: the client is a consumer, and live.
        unsafe { rd::rd_kafka_poll_set_consumer(rk.as_ptr()) };
        Ok(BareConsumer {
            rk,
            topic: CString::new(topic)?,
        })
    }

    /// Reads partition 0 from its start, or nothing any more.
    pub fn assign(&mut self, start: Option<i64>) -> Result<(), Failure> {
        // SAFETY: the list is ours, is copied by the call and freed after it; the name ends with a
        // zero and is copied; the entry that `add` returns lives as long as the list.
        let error = unsafe {
            let list = rd::rd_kafka_topic_partition_list_new(1);
            if let Some(start) = start {
                let entry = rd::rd_kafka_topic_partition_list_add(list, self.topic.as_ptr(), 0);
                (*entry).offset = start;
            }
            let error = rd::rd_kafka_assign(self.rk.as_ptr(), list);
            rd::rd_kafka_topic_partition_list_destroy(list);
            error
        };
        if error != rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Err(format!("the partition is not assigned: {error:?}").into());
        }
        Ok(())
    }

    /// One message, waited for up to `wait_ms`: `on` gets its offset and value.
    pub fn poll(&mut self, wait_ms: i32, on: impl FnOnce(i64, &[u8])) -> Result<(), Failure> {
        // SAFETY: the client is live. The message is ours until it is destroyed, its fields are
        // read one by one, the error as a number, and its value, null only where it is
        // empty, lives and stays unchanged until then; `on` cannot keep it.
        unsafe {
            let message = rd::rd_kafka_consumer_poll(self.rk.as_ptr(), wait_ms);
            if message.is_null() {
                return Ok(());
            }
            let error = (&raw const (*message).err).cast::<i32>().read();
            if error == 0 {
                let start = NonNull::new((*message).payload.cast::<u8>());
                let start = start.unwrap_or(NonNull::dangling()).as_ptr();
                let value = std::slice::from_raw_parts(start, (*message).len);
                on((*message).offset, value);
            }
            rd::rd_kafka_message_destroy(message);
            match error {
                0 => Ok(()),
                error => Err(format!("librdkafka's error {error}").into()),
            }
        }
    }
}

impl Drop for BareConsumer {
    fn drop(&mut self) {
        // SAFETY: the client is ours and not used again; no message of it is left.
        unsafe { rd::rd_kafka_destroy(self.rk.as_ptr()) };
    }
}

type ErrorText = [c_char; 512];

fn text(written: &ErrorText) -> String {
    // SAFETY: all bytes are there, and the last is a zero: librdkafka is told of the size.
    let text = unsafe { CStr::from_ptr(written.as_ptr()) };
    text.to_string_lossy().into_owned()
}

fn configuration(properties: &[Property]) -> Result<NonNull<rd::rd_kafka_conf_t>, Failure> {
    // SAFETY: no precondition.
    let conf = NonNull::new(unsafe { rd::rd_kafka_conf_new() }).ok_or("memory is out")?;
    for (name, value) in properties {
        let (name, value) = (CString::new(&name[..])?, CString::new(&value[..])?);
        let mut error: ErrorText = [0; 512];
        // SAFETY: the object is live, both texts end with a zero, and the buffer goes with its
        // size. An error leaves the object behind, which ends the bench.
        let result = unsafe {
            rd::rd_kafka_conf_set(
                conf.as_ptr(),
                name.as_ptr(),
                value.as_ptr(),
                error.as_mut_ptr(),
                error.len(),
            )
        };
        if result != rd::rd_kafka_conf_res_t::RD_KAFKA_CONF_OK {
            return Err(text(&error).into());
        }
    }
    Ok(conf)
}

fn client(
    kind: rd::rd_kafka_type_t,
    conf: NonNull<rd::rd_kafka_conf_t>,
) -> Result<NonNull<rd::rd_kafka_t>, Failure> {
    let mut error: ErrorText = [0; 512];
    // SAFETY: the configuration is live, and taken over unless the call fails, which ends the
    // bench; the buffer goes with its size.
    let rk = unsafe { rd::rd_kafka_new(kind, conf.as_ptr(), error.as_mut_ptr(), error.len()) };
    NonNull::new(rk).ok_or_else(|| text(&error).into())
}
