//! ListTransactions and DescribeTransactions.
//!
//! Owns: how transactions are shown. Never does: change one. Runs on: the core that owns stripe 0.

use std::collections::BTreeMap;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_transactions_response::{self as described, TopicData};
use kafka_protocol::messages::list_transactions_response as listed;
use kafka_protocol::messages::{
    DescribeTransactionsRequest, DescribeTransactionsResponse, ListTransactionsRequest,
    ListTransactionsResponse, ProducerId, TopicName, TransactionalId,
};
use kafka_protocol::protocol::StrBytes;

use super::coordinator::Transactions;
use super::metadata::{Metadata, State};
use crate::broker::coordinator::{Call, Effect, Topics};
use crate::ids::{TopicId, UnixMillis};

/// States of Kafka that no transactional id is seen in here.
const NEVER_SEEN: [&str; 2] = ["Dead", "PrepareEpochFence"];

fn is_known(state: &str) -> bool {
    NEVER_SEEN.contains(&state) || State::ALL.iter().any(|known| known.name() == state)
}

fn is_asked_for(request: &ListTransactionsRequest, fact: &Metadata, at: UnixMillis) -> bool {
    let states = &request.state_filters;
    let producers = &request.producer_id_filters;
    let runs = match fact.state {
        State::Ongoing | State::PrepareCommit | State::PrepareAbort => true,
        State::Empty | State::CompleteCommit | State::CompleteAbort => false,
    };
    let runs_longer = || runs && at.0.saturating_sub(fact.started.0) > request.duration_filter;
    (states.is_empty() || states.iter().any(|name| **name == *fact.state.name()))
        && (producers.is_empty() || producers.contains(&ProducerId(fact.producer.id)))
        && (request.duration_filter < 0 || runs_longer())
}

fn topics_of(fact: &Metadata, topics: &dyn Topics) -> Vec<TopicData> {
    let mut by_topic: BTreeMap<TopicId, Vec<i32>> = BTreeMap::new();
    for (topic, partition) in &fact.partitions {
        // It came as an i32.
        let index = i32::try_from(partition.0).unwrap_or(i32::MAX);
        by_topic.entry(*topic).or_default().push(index);
    }
    let named = by_topic.into_iter().filter_map(|(topic, partitions)| {
        // A topic that was deleted has no name any more.
        let name = topics.find(topic)?.name.to_string();
        let name = TopicName(StrBytes::from_string(name));
        Some(
            TopicData::default()
                .with_topic(name)
                .with_partitions(partitions),
        )
    });
    named.collect()
}

impl<R: Copy> Transactions<R> {
    pub(super) fn list(
        &self,
        call: &Call<'_, R>,
        request: ListTransactionsRequest,
        effects: &mut Vec<Effect<R>>,
    ) {
        let at = call.now.millis();
        let states = self
            .slots
            .facts()
            .filter(|(_, fact)| is_asked_for(&request, fact, at))
            .map(|(id, fact)| {
                let id = StrBytes::from_string(id.to_string());
                listed::TransactionState::default()
                    .with_transactional_id(TransactionalId(id))
                    .with_producer_id(ProducerId(fact.producer.id))
                    .with_transaction_state(StrBytes::from_static_str(fact.state.name()))
            })
            .collect();
        let filters = request.state_filters.into_iter();
        let response = ListTransactionsResponse::default()
            .with_unknown_state_filters(filters.filter(|name| !is_known(name)).collect())
            .with_transaction_states(states);
        effects.push(Effect::Answer {
            to: call.to,
            response: Box::new(response.into()),
        });
    }

    pub(super) fn describe(
        &self,
        call: &Call<'_, R>,
        request: DescribeTransactionsRequest,
        effects: &mut Vec<Effect<R>>,
    ) {
        let states = request
            .transactional_ids
            .into_iter()
            .map(|id| {
                let fact = self.slots.fact(&id);
                let state = described::TransactionState::default().with_transactional_id(id);
                let Some(fact) = fact else {
                    return state.with_error_code(ResponseError::TransactionalIdNotFound.code());
                };
                state
                    .with_transaction_state(StrBytes::from_static_str(fact.state.name()))
                    .with_transaction_timeout_ms(fact.timeout_ms)
                    .with_transaction_start_time_ms(fact.started.0)
                    .with_producer_id(ProducerId(fact.producer.id))
                    .with_producer_epoch(fact.producer.epoch)
                    .with_topics(topics_of(fact, call.topics))
            })
            .collect();
        let response = DescribeTransactionsResponse::default().with_transaction_states(states);
        effects.push(Effect::Answer {
            to: call.to,
            response: Box::new(response.into()),
        });
    }
}
