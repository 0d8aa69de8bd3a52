//! The id of a transaction, kept inline so that it can be copied without allocating.

use std::fmt;
use std::hash::{Hash, Hasher};

use super::TransactionError;
use crate::limits::TRANSACTION_ID_BYTES_MAX;

/// Names a transaction: 1 to [`TRANSACTION_ID_BYTES_MAX`] bytes, any bytes. Compares, orders and
/// hashes as those bytes.
///
/// Shown as text where every byte is printable ASCII, else as `0x` and two hexadecimal digits a
/// byte. Meant for people: an id that is the text "0x00" looks like the id of one zero byte.
#[derive(Clone, Copy)]
pub struct TransactionId {
    bytes: [u8; TRANSACTION_ID_BYTES_MAX],
    len: u8,
}

const _: () = assert!(TRANSACTION_ID_BYTES_MAX <= u8::MAX as usize);

impl TransactionId {
    /// Copies the id.
    ///
    /// # Errors
    /// No bytes, or more than [`TRANSACTION_ID_BYTES_MAX`].
    #[inline]
    pub fn new(id: &[u8]) -> Result<TransactionId, TransactionError> {
        check_length(id)?;
        let mut bytes = [0; TRANSACTION_ID_BYTES_MAX];
        bytes[..id.len()].copy_from_slice(id);
        Ok(TransactionId {
            bytes,
            len: id.len() as u8, // At most TRANSACTION_ID_BYTES_MAX, asserted to fit above.
        })
    }

    /// The bytes.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// The one check of an id's length.
#[inline]
pub(super) fn check_length(id: &[u8]) -> Result<(), TransactionError> {
    if id.is_empty() || id.len() > TRANSACTION_ID_BYTES_MAX {
        return Err(TransactionError::IdLength { bytes: id.len() });
    }
    Ok(())
}

impl PartialEq for TransactionId {
    fn eq(&self, other: &TransactionId) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for TransactionId {}

impl PartialOrd for TransactionId {
    fn partial_cmp(&self, other: &TransactionId) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for TransactionId {
    fn cmp(&self, other: &TransactionId) -> std::cmp::Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl Hash for TransactionId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl fmt::Display for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.as_bytes();
        if let Ok(text) = std::str::from_utf8(bytes)
            && bytes.iter().all(|byte| (0x20..=0x7e).contains(byte))
        {
            return f.write_str(text);
        }
        f.write_str("0x")?;
        bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TransactionId({self})")
    }
}

impl TryFrom<&[u8]> for TransactionId {
    type Error = TransactionError;

    fn try_from(id: &[u8]) -> Result<TransactionId, TransactionError> {
        TransactionId::new(id)
    }
}
