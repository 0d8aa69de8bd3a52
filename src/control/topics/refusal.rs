//! Why something is not done, as clients are told.

use kafka_protocol::error::ResponseError;
use kafka_protocol::protocol::StrBytes;

use crate::log::catalog::CatalogError;

/// One error of Kafka, with a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The code.
    pub error: ResponseError,
    /// The sentence.
    pub message: String,
}

impl Refusal {
    /// This error in these words.
    pub fn new(error: ResponseError, message: impl Into<String>) -> Refusal {
        let message = message.into();
        Refusal { error, message }
    }

    /// This error in Kafka's own words.
    pub fn plain(error: ResponseError) -> Refusal {
        Refusal::new(error, error.to_string())
    }

    /// A request that contradicts itself.
    pub fn request(message: impl Into<String>) -> Refusal {
        Refusal::new(ResponseError::InvalidRequest, message)
    }

    /// The code on the wire.
    pub fn code(&self) -> i16 {
        self.error.code()
    }

    /// The sentence on the wire.
    pub fn text(&self) -> StrBytes {
        StrBytes::from_string(self.message.clone())
    }
}

impl From<CatalogError> for Refusal {
    fn from(error: CatalogError) -> Refusal {
        let code = match &error {
            CatalogError::Name { .. } => ResponseError::InvalidTopicException,
            CatalogError::Exists { .. } => ResponseError::TopicAlreadyExists,
            CatalogError::Missing { .. } => ResponseError::UnknownTopicOrPartition,
            CatalogError::Room { .. } | CatalogError::PartitionCount { .. } => {
                ResponseError::InvalidPartitions
            }
            CatalogError::Text(_) | CatalogError::Field { .. } => ResponseError::UnknownServerError,
        };
        Refusal::new(code, error.to_string())
    }
}
