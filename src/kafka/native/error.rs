//! What librdkafka and the brokers report as failed, and what can be done about it.
//!
//! Owns: reading error codes, and their classes. Never does: retry. Runs on: any thread.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_char};
use std::fmt;

use rdkafka::bindings::{self as rd, rd_kafka_resp_err_t as Code};

/// A failure, as librdkafka or a broker reported it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {text}", self.name())]
pub struct KafkaError {
    /// Kafka's error code, or one of librdkafka's own, which are negative.
    pub code: i32,
    /// What happened, in words.
    pub text: String,
    class: ErrorClass,
}

/// What can be done about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorClass {
    /// The same may succeed later.
    Retry,
    /// The transaction under way has to be aborted; then the same may succeed in a new one.
    AbortTransaction,
    /// The same will not succeed with this client: it is fenced, broken or not allowed to, or the
    /// request itself is wrong.
    Fatal,
}

impl KafkaError {
    /// The failure with this code, in librdkafka's words.
    pub(super) fn from_code(code: i32) -> KafkaError {
        // SAFETY: err2str reads any number and returns a text that is static or, for a number it
        // does not know, kept by this thread until its next call; it is copied here.
        let text = unsafe { text_of(taking_code(rd::rd_kafka_err2str)(code)) };
        KafkaError::new(code, text)
    }

    /// The failure with this code, in words of the caller.
    pub(super) fn new(code: i32, text: String) -> KafkaError {
        KafkaError {
            code,
            text,
            class: class_of(code),
        }
    }

    /// An argument that librdkafka cannot take.
    pub(super) fn invalid(text: String) -> KafkaError {
        KafkaError::new(Code::RD_KAFKA_RESP_ERR__INVALID_ARG as i32, text)
    }

    /// `Ok` for code 0.
    pub(super) fn check(code: i32) -> Result<(), KafkaError> {
        if code == 0 {
            Ok(())
        } else {
            Err(KafkaError::from_code(code))
        }
    }

    /// This failure as one that librdkafka declared fatal.
    pub(super) fn made_fatal(mut self) -> KafkaError {
        self.class = ErrorClass::Fatal;
        self
    }

    /// Reads and frees what a function returned; null stands for success.
    ///
    /// # Safety
    /// `error` is null or an error object that the caller owns.
    pub(super) unsafe fn take(error: *mut rd::rd_kafka_error_t) -> Result<(), KafkaError> {
        if error.is_null() {
            return Ok(());
        }
        // SAFETY: the caller owns the live object, which is destroyed last and not used again; its
        // text is copied before.
        unsafe {
            let code = code1(rd::rd_kafka_error_code)(error);
            let mut result = KafkaError::new(code, text_of(rd::rd_kafka_error_string(error)));
            if rd::rd_kafka_error_is_fatal(error) != 0 {
                result.class = ErrorClass::Fatal;
            } else if rd::rd_kafka_error_txn_requires_abort(error) != 0 {
                result.class = ErrorClass::AbortTransaction;
            } else if rd::rd_kafka_error_is_retriable(error) != 0 {
                result.class = ErrorClass::Retry;
            }
            rd::rd_kafka_error_destroy(error);
            Err(result)
        }
    }

    /// What can be done about it. Codes that this version does not know count as
    /// [`ErrorClass::Retry`]: to wait and say so is better than to give up.
    pub fn class(&self) -> ErrorClass {
        self.class
    }

    /// Whether no broker of the cluster can be reached.
    pub fn is_all_brokers_down(&self) -> bool {
        self.code == Code::RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN as i32
    }

    /// Whether another client took this one's transactional id or place in the group.
    pub fn is_fenced(&self) -> bool {
        const FENCED: [Code; 4] = [
            Code::RD_KAFKA_RESP_ERR__FENCED,
            Code::RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH,
            Code::RD_KAFKA_RESP_ERR_PRODUCER_FENCED,
            Code::RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID,
        ];
        FENCED.iter().any(|code| *code as i32 == self.code)
    }

    /// Whether a producer and a broker no longer agree on how far they have come. The client is of
    /// no more use; another one in its place is.
    pub fn is_out_of_step(&self) -> bool {
        const OUT_OF_STEP: [Code; 3] = [
            Code::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER,
            Code::RD_KAFKA_RESP_ERR_UNKNOWN_PRODUCER_ID,
            Code::RD_KAFKA_RESP_ERR_INVALID_PRODUCER_ID_MAPPING,
        ];
        OUT_OF_STEP.iter().any(|code| *code as i32 == self.code)
    }

    /// Whether the coordinator knows of no transaction that could be ended so.
    pub fn is_invalid_transaction_state(&self) -> bool {
        self.code == Code::RD_KAFKA_RESP_ERR_INVALID_TXN_STATE as i32
    }

    /// Whether what was waited for did not come in time. For a call that changes something: it
    /// may still happen.
    pub fn is_timeout(&self) -> bool {
        const TIMEOUTS: [Code; 3] = [
            Code::RD_KAFKA_RESP_ERR__TIMED_OUT,
            Code::RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE,
            Code::RD_KAFKA_RESP_ERR__MSG_TIMED_OUT,
        ];
        TIMEOUTS.iter().any(|code| *code as i32 == self.code)
    }

    /// A call that was not made again, since nothing shall be waited for any more.
    pub(in crate::kafka) fn gave_up() -> KafkaError {
        KafkaError::from_code(Code::RD_KAFKA_RESP_ERR__DESTROY as i32)
    }

    /// A call from which librdkafka did not come back.
    pub(in crate::kafka) fn left_behind() -> KafkaError {
        let code = Code::RD_KAFKA_RESP_ERR__IN_PROGRESS as i32;
        KafkaError::new(code, "librdkafka does not come back from a call".to_owned())
    }

    /// Whether it is [`KafkaError::left_behind`].
    pub(in crate::kafka) fn is_left_behind(&self) -> bool {
        self.code == Code::RD_KAFKA_RESP_ERR__IN_PROGRESS as i32
    }

    /// The system refuses what librdkafka or a call of it needs.
    pub(in crate::kafka) fn system(error: &std::io::Error) -> KafkaError {
        KafkaError::new(
            Code::RD_KAFKA_RESP_ERR__CRIT_SYS_RESOURCE as i32,
            error.to_string(),
        )
    }

    /// Whether it only says that a partition's end was met.
    pub(super) fn is_end(&self) -> bool {
        self.code == Code::RD_KAFKA_RESP_ERR__PARTITION_EOF as i32
    }

    /// Whether an offset is not in the partition: retention has taken it, or it was never there.
    pub fn is_out_of_range(&self) -> bool {
        const OUT: [Code; 2] = [
            Code::RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE,
            Code::RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET,
        ];
        OUT.iter().any(|code| *code as i32 == self.code)
    }

    /// Whether the cluster has no such topic or partition.
    pub fn is_unknown_topic(&self) -> bool {
        const UNKNOWN: [Code; 3] = [
            Code::RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC,
            Code::RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION,
            Code::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART,
        ];
        UNKNOWN.iter().any(|code| *code as i32 == self.code)
    }

    /// librdkafka's name of the code, such as `_TIMED_OUT`; `UNKNOWN_CODE` if it has none.
    pub fn name(&self) -> &'static str {
        let mut table = std::ptr::null();
        let mut count = 0;
        // SAFETY: both are places for a result; the table is a constant of the library.
        unsafe { rd::rd_kafka_get_err_descs(&mut table, &mut count) };
        for index in 0..count {
            // SAFETY: the table has `count` entries that live as long as the program, and its
            // names are UTF-8 constants. The code is read as the number it is.
            unsafe {
                let entry = table.add(index);
                let code = (&raw const (*entry).code).cast::<i32>().read();
                if code == self.code && !(*entry).name.is_null() {
                    return CStr::from_ptr((*entry).name)
                        .to_str()
                        .unwrap_or("UNKNOWN_CODE");
                }
            }
        }
        "UNKNOWN_CODE"
    }
}

impl fmt::Display for ErrorClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ErrorClass::Retry => "retry",
            ErrorClass::AbortTransaction => "abort transaction",
            ErrorClass::Fatal => "fatal",
        })
    }
}

/// Codes after which the transaction under way cannot be committed.
const ABORT: &[Code] = &[
    Code::RD_KAFKA_RESP_ERR__PURGE_QUEUE,
    Code::RD_KAFKA_RESP_ERR__PURGE_INFLIGHT,
    Code::RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION,
    Code::RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID,
    Code::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER,
    Code::RD_KAFKA_RESP_ERR_UNKNOWN_PRODUCER_ID,
    Code::RD_KAFKA_RESP_ERR_INVALID_PRODUCER_ID_MAPPING,
];

/// Codes that stay, however often the same is tried.
const FATAL: &[Code] = &[
    Code::RD_KAFKA_RESP_ERR__FATAL,
    Code::RD_KAFKA_RESP_ERR__FENCED,
    Code::RD_KAFKA_RESP_ERR__STATE,
    Code::RD_KAFKA_RESP_ERR__INVALID_ARG,
    Code::RD_KAFKA_RESP_ERR__NOT_IMPLEMENTED,
    Code::RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE,
    Code::RD_KAFKA_RESP_ERR__AUTHENTICATION,
    Code::RD_KAFKA_RESP_ERR__SSL,
    Code::RD_KAFKA_RESP_ERR__DESTROY,
    Code::RD_KAFKA_RESP_ERR__INCONSISTENT,
    Code::RD_KAFKA_RESP_ERR__GAPLESS_GUARANTEE,
    Code::RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH,
    Code::RD_KAFKA_RESP_ERR_PRODUCER_FENCED,
    Code::RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID,
    Code::RD_KAFKA_RESP_ERR_INVALID_TXN_STATE,
    Code::RD_KAFKA_RESP_ERR_INVALID_TRANSACTION_TIMEOUT,
    Code::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE,
    Code::RD_KAFKA_RESP_ERR_INVALID_MSG_SIZE,
    Code::RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE,
    Code::RD_KAFKA_RESP_ERR_INVALID_RECORD,
    Code::RD_KAFKA_RESP_ERR_INVALID_REQUIRED_ACKS,
    Code::RD_KAFKA_RESP_ERR_INVALID_REQUEST,
    Code::RD_KAFKA_RESP_ERR_INVALID_CONFIG,
    Code::RD_KAFKA_RESP_ERR_INVALID_GROUP_ID,
    Code::RD_KAFKA_RESP_ERR_INCONSISTENT_GROUP_PROTOCOL,
    Code::RD_KAFKA_RESP_ERR_UNSUPPORTED_VERSION,
    Code::RD_KAFKA_RESP_ERR_UNSUPPORTED_FOR_MESSAGE_FORMAT,
    Code::RD_KAFKA_RESP_ERR_UNSUPPORTED_COMPRESSION_TYPE,
    Code::RD_KAFKA_RESP_ERR_UNSUPPORTED_SASL_MECHANISM,
    Code::RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED,
    Code::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED,
    Code::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED,
    Code::RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED,
    Code::RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    Code::RD_KAFKA_RESP_ERR_POLICY_VIOLATION,
    Code::RD_KAFKA_RESP_ERR_SECURITY_DISABLED,
];

fn class_of(code: i32) -> ErrorClass {
    if FATAL.iter().any(|known| *known as i32 == code) {
        ErrorClass::Fatal
    } else if ABORT.iter().any(|known| *known as i32 == code) {
        ErrorClass::AbortTransaction
    } else {
        ErrorClass::Retry
    }
}

/// Copies a text of librdkafka; empty for null.
///
/// # Safety
/// `text` is null or points to a text that ends with a zero and lives during the call.
pub(super) unsafe fn text_of(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: not null, and the caller vouches for the rest.
    unsafe { CStr::from_ptr(text) }
        .to_string_lossy()
        .into_owned()
}

/// A place for the text of an error that librdkafka writes.
pub(super) type ErrorText = [c_char; 512];

/// The text librdkafka wrote into `buffer`, which was zeroed before.
pub(super) fn written_text(buffer: &ErrorText) -> String {
    let bytes: Vec<u8> = buffer
        .iter()
        .take_while(|character| **character != 0)
        .map(|character| character.cast_unsigned())
        .collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

macro_rules! returning_code {
    ($($name:ident($($argument:ident),*);)*) => {$(
        /// The function with its result read as a number: a broker's code that the bindings do
        /// not know must not become a Rust enum.
        pub(super) fn $name<$($argument),*>(
            function: unsafe extern "C" fn($($argument),*) -> Code,
        ) -> unsafe extern "C" fn($($argument),*) -> i32 {
            // SAFETY: the enum is `repr(i32)`, so both types have one calling convention, and
            // whatever the C function returns is a valid i32.
            unsafe {
                std::mem::transmute::<
                    unsafe extern "C" fn($($argument),*) -> Code,
                    unsafe extern "C" fn($($argument),*) -> i32,
                >(function)
            }
        }
    )*};
}

returning_code! {
    code0();
    code1(A);
    code2(A, B);
    code3(A, B, C);
    code5(A, B, C, D, E);
    code6(A, B, C, D, E, F);
}

fn taking_code<R>(function: unsafe extern "C" fn(Code) -> R) -> unsafe extern "C" fn(i32) -> R {
    // SAFETY: the enum is `repr(i32)`, so both types have one calling convention, and the C
    // functions take any number.
    unsafe {
        std::mem::transmute::<unsafe extern "C" fn(Code) -> R, unsafe extern "C" fn(i32) -> R>(
            function,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_classed_by_what_can_be_done_about_them() {
        use ErrorClass::{AbortTransaction, Fatal, Retry};
        let classed = [
            (Code::RD_KAFKA_RESP_ERR__TRANSPORT, Retry),
            (Code::RD_KAFKA_RESP_ERR__TIMED_OUT, Retry),
            (Code::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, Retry),
            (Code::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS, Retry),
            (Code::RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS, Retry),
            (Code::RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS, Retry),
            (Code::RD_KAFKA_RESP_ERR_OFFSET_NOT_AVAILABLE, Retry),
            (Code::RD_KAFKA_RESP_ERR__PURGE_QUEUE, AbortTransaction),
            (Code::RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION, AbortTransaction),
            (
                Code::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER,
                AbortTransaction,
            ),
            (Code::RD_KAFKA_RESP_ERR__FENCED, Fatal),
            (Code::RD_KAFKA_RESP_ERR_PRODUCER_FENCED, Fatal),
            (Code::RD_KAFKA_RESP_ERR_INVALID_TXN_STATE, Fatal),
            (Code::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, Fatal),
            (Code::RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED, Fatal),
            (Code::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, Fatal),
        ];
        for (code, class) in classed {
            assert_eq!(class_of(code as i32), class, "{code:?}");
        }
        // One that a later broker may have invented.
        assert_eq!(class_of(4_711), Retry);
    }

    #[test]
    fn no_code_is_in_two_classes() {
        for code in ABORT {
            assert!(!FATAL.contains(code), "{code:?}");
        }
    }
}
