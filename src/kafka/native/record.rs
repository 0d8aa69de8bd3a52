//! A record that librdkafka copies: any of key, value and headers.
//!
//! Owns: headers until a message takes them over. Never does: keep key or value. Runs on: the
//! producer's core.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::ptr::{NonNull, null_mut};

use rdkafka::bindings as rd;

use super::error::KafkaError;

/// What is sent.
pub(super) struct Record<'a> {
    pub topic: *mut rd::rd_kafka_topic_t,
    pub partition: i32,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    /// What the report brings back.
    pub opaque: *mut c_void,
}

impl Record<'_> {
    /// Copies the record into the client's queue.
    ///
    /// # Safety
    /// `rk` is a live producer, and the record's topic a live one of it.
    pub unsafe fn produce(
        &self,
        rk: *mut rd::rd_kafka_t,
        headers: Option<NativeHeaders>,
    ) -> Result<(), KafkaError> {
        use rd::rd_kafka_vtype_t as Type;
        let part = |vtype, u| rd::rd_kafka_vu_t { vtype, u };
        let native_headers = headers
            .as_ref()
            .map_or(null_mut(), |headers| headers.0.as_ptr());
        let parts = [
            part(Type::RD_KAFKA_VTYPE_RKT, Part { rkt: self.topic }),
            part(
                Type::RD_KAFKA_VTYPE_PARTITION,
                Part {
                    i32_: self.partition,
                },
            ),
            part(
                Type::RD_KAFKA_VTYPE_VALUE,
                Part {
                    mem: memory(self.value),
                },
            ),
            part(
                Type::RD_KAFKA_VTYPE_KEY,
                Part {
                    mem: memory(self.key),
                },
            ),
            part(
                Type::RD_KAFKA_VTYPE_MSGFLAGS,
                Part {
                    i: rd::RD_KAFKA_MSG_F_COPY,
                },
            ),
            part(Type::RD_KAFKA_VTYPE_OPAQUE, Part { ptr: self.opaque }),
            part(
                Type::RD_KAFKA_VTYPE_HEADERS,
                Part {
                    headers: native_headers,
                },
            ),
        ];
        // Without headers the last part is left out.
        let count = parts.len() - usize::from(headers.is_none());
        // SAFETY: the caller vouches for client and topic. Each part carries the member of the
        // union that its type asks for, and the F_COPY flag makes librdkafka copy key and value
        // before it returns.
        let result = unsafe { KafkaError::take(rd::rd_kafka_produceva(rk, parts.as_ptr(), count)) };
        if result.is_ok() {
            // The message owns them now.
            std::mem::forget(headers);
        }
        result
    }
}

type Part = rd::rd_kafka_vu_s__bindgen_ty_1;

fn memory(bytes: Option<&[u8]>) -> rd::rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_1 {
    rd::rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_1 {
        ptr: bytes.map_or(null_mut(), |bytes| bytes.as_ptr().cast_mut().cast()),
        size: bytes.map_or(0, <[u8]>::len),
    }
}

/// Headers that no message owns yet.
pub(super) struct NativeHeaders(NonNull<rd::rd_kafka_headers_t>);

impl NativeHeaders {
    /// Copies the headers; none if there are none.
    pub fn new<'a>(headers: impl Iterator<Item = (&'a str, &'a [u8])>) -> Option<NativeHeaders> {
        let mut headers = headers.peekable();
        headers.peek()?;
        // SAFETY: any count is fine; librdkafka aborts rather than return null.
        let raw = unsafe { rd::rd_kafka_headers_new(8) };
        let list = NativeHeaders(NonNull::new(raw).expect("librdkafka aborts when memory is out"));
        for (name, value) in headers {
            let name_length = isize::try_from(name.len()).expect("a slice fits isize");
            let value_length = isize::try_from(value.len()).expect("a slice fits isize");
            // SAFETY: the list is live and ours; both parts go with their lengths and are copied.
            // It can only refuse a list that is read-only, which belongs to a message.
            unsafe {
                rd::rd_kafka_header_add(
                    list.0.as_ptr(),
                    name.as_ptr().cast(),
                    name_length,
                    value.as_ptr().cast(),
                    value_length,
                );
            }
        }
        Some(list)
    }
}

impl Drop for NativeHeaders {
    fn drop(&mut self) {
        // SAFETY: no message took the list: it is forgotten then.
        unsafe { rd::rd_kafka_headers_destroy(self.0.as_ptr()) };
    }
}
