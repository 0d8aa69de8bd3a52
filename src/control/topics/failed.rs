//! The answer to a change that could not be made durable.

use kafka_protocol::messages::ResponseKind;

use super::refusal::Refusal;

/// The same answer, but what it says was done was not, for this reason.
pub(super) fn with_error(response: ResponseKind, refusal: &Refusal) -> ResponseKind {
    let (code, text) = (refusal.code(), Some(refusal.text()));
    macro_rules! refuse {
        ($results:expr) => {
            for result in $results.iter_mut().filter(|it| it.error_code == 0) {
                result.error_code = code;
                result.error_message = text.clone();
            }
        };
    }
    let mut response = response;
    if let ResponseKind::CreateTopics(it) = &mut response {
        refuse!(it.topics);
        for topic in &mut it.topics {
            topic.topic_id = uuid::Uuid::nil();
            topic.num_partitions = -1;
            topic.replication_factor = -1;
            topic.configs = Some(Vec::new());
        }
    } else if let ResponseKind::DeleteTopics(it) = &mut response {
        refuse!(it.responses);
    } else if let ResponseKind::CreatePartitions(it) = &mut response {
        refuse!(it.results);
    } else if let ResponseKind::AlterConfigs(it) = &mut response {
        refuse!(it.responses);
    } else if let ResponseKind::IncrementalAlterConfigs(it) = &mut response {
        refuse!(it.responses);
    }
    response
}
