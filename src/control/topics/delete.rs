//! `DeleteTopics`, by name and by id.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::{DeleteTopicsRequest, DeleteTopicsResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::refusal::Refusal;
use super::work::{Work, text};
use crate::log::catalog::Topic;

/// The first version that can name topics by id (KIP-516).
const BY_ID: i16 = 6;

impl Work<'_> {
    pub(super) fn delete_topics(
        &mut self,
        version: i16,
        request: DeleteTopicsRequest,
    ) -> DeleteTopicsResponse {
        let asked: Vec<DeleteTopicState> = if version >= BY_ID {
            request.topics
        } else {
            let named = |name| DeleteTopicState::default().with_name(Some(name));
            request.topic_names.into_iter().map(named).collect()
        };
        // By what they are now: a topic that is named twice, once by its id, is named twice.
        let found: Vec<Result<(String, Uuid), Refusal>> = asked
            .iter()
            .map(|asked| Ok(self.find_asked(asked)?).map(|it: &Topic| (it.name.clone(), it.uuid)))
            .collect();
        let results = asked.into_iter().zip(&found).map(|(asked, one)| {
            let (name, uuid) = match one {
                Ok((name, uuid)) => {
                    let name = StrBytes::from_string(name.clone());
                    (Some(TopicName(name)), *uuid)
                }
                Err(_) => (asked.name, asked.topic_id),
            };
            let twice = found.iter().filter(|other| *other == one).count() > 1;
            let result = match one {
                Ok(_) if twice => Err(Refusal::request("Duplicate topic name.")),
                Ok((name, _)) => self.delete(name),
                Err(refusal) => Err(refusal.clone()),
            };
            let answer = DeletableTopicResult::default()
                .with_name(name)
                .with_topic_id(uuid);
            match result {
                Ok(()) => answer,
                Err(refusal) => answer
                    .with_error_code(refusal.code())
                    .with_error_message(Some(refusal.text())),
            }
        });
        let results = results.collect();
        DeleteTopicsResponse::default().with_responses(results)
    }

    fn find_asked(&self, asked: &DeleteTopicState) -> Result<&Topic, Refusal> {
        match (&asked.name, asked.topic_id) {
            (Some(name), id) if id.is_nil() => self.find(text(name)),
            (Some(_), _) => Err(Refusal::request(
                "You may not specify both topic name and topic id.",
            )),
            (None, id) if id.is_nil() => Err(Refusal::request(
                "Neither topic name nor id were specified.",
            )),
            (None, id) => {
                let mut topics = self.catalog.topics().iter();
                topics
                    .find(|topic| topic.uuid == id)
                    .ok_or_else(|| Refusal::plain(ResponseError::UnknownTopicId))
            }
        }
    }

    fn delete(&mut self, name: &str) -> Result<(), Refusal> {
        let topic = self.find(name)?;
        self.check_is_not_the_engines(topic)?;
        let id = topic.id;
        self.catalog.delete_topic(id)?;
        Ok(())
    }
}
