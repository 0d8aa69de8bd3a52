//! What clients may rely on when they administer topics, as far as it is pure; and what survives a
//! crash between the catalog and the view.

mod configs;
mod durable;
mod topics;

use bytes::BytesMut;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::{CreateTopicsRequest, RequestKind, ResponseKind, TopicName};
use kafka_protocol::protocol::{Encodable, StrBytes};
use uuid::Uuid;

use super::facts::Facts;
use super::work::Work;
use crate::broker::view::Endpoint;
use crate::config::{Config, TopicConfig};
use crate::log::catalog::Catalog;
use crate::log::directory::Meta;

const STRIPES: u16 = 3;

const META: Meta = Meta {
    directory_id: 0x1234,
    stripes: STRIPES,
    segment_bytes: 64 << 20,
    epoch: 1,
};

fn config() -> Config {
    let mut config = Config::default();
    config.shards.truncate(1);
    config.topics.push(TopicConfig {
        name: "settlements".to_owned(),
        partitions: 0,
        replication: 0,
    });
    config
}

/// The engine's own topics, as a start makes them.
fn catalog() -> Catalog {
    let mut catalog = Catalog::default();
    for (number, name) in [
        "transactions-tokyo",
        "transactions-tokyo.dlq",
        "settlements",
    ]
    .into_iter()
    .enumerate()
    {
        let uuid = Uuid::from_u128(1 + number as u128);
        catalog.ensure_topic(name, 3, STRIPES, uuid).unwrap();
    }
    catalog
}

fn facts() -> Facts {
    let endpoint = Endpoint {
        host: "127.0.0.1".to_owned(),
        port: 9092,
    };
    Facts::new(&config(), &META, &catalog(), 2, vec![endpoint])
}

/// A node's topics without its disk.
struct Bench {
    facts: Facts,
    catalog: Catalog,
    uuids: u128,
}

impl Bench {
    fn new() -> Bench {
        Bench {
            facts: facts(),
            catalog: catalog(),
            uuids: 100,
        }
    }

    /// Does it, and makes sure that the answer can be sent.
    fn run(&mut self, version: i16, request: RequestKind) -> ResponseKind {
        let uuids = &mut self.uuids;
        let mut uuid = || {
            *uuids += 1;
            Ok(Uuid::from_u128(*uuids))
        };
        let mut work = Work {
            facts: &self.facts,
            catalog: self.catalog.clone(),
            uuid: &mut uuid,
        };
        let response = work.execute(version, request).unwrap();
        self.catalog = work.catalog;
        let json = self.catalog.to_json();
        assert_eq!(
            Catalog::from_json(&json, STRIPES).as_ref(),
            Ok(&self.catalog)
        );
        response
    }

    fn create(&mut self, topics: Vec<CreatableTopic>) -> Vec<(i16, String)> {
        let request = CreateTopicsRequest::default().with_topics(topics);
        self.create_as(7, request)
    }

    fn create_as(&mut self, version: i16, request: CreateTopicsRequest) -> Vec<(i16, String)> {
        match self.run(version, RequestKind::CreateTopics(request)) {
            ResponseKind::CreateTopics(response) => {
                encodes(&response, version);
                let topics = response.topics.into_iter();
                topics
                    .map(|it| (it.error_code, message(it.error_message)))
                    .collect()
            }
            other => panic!("{other:?}"),
        }
    }
}

fn encodes(response: &impl Encodable, version: i16) {
    response.encode(&mut BytesMut::new(), version).unwrap();
}

fn message(text: Option<StrBytes>) -> String {
    text.map(|text| text.to_string()).unwrap_or_default()
}

fn word(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn name(text: &str) -> TopicName {
    TopicName(word(text))
}

fn new_topic(name_: &str, partitions: i32) -> CreatableTopic {
    CreatableTopic::default()
        .with_name(name(name_))
        .with_num_partitions(partitions)
        .with_replication_factor(1)
}

fn with_configs(topic: CreatableTopic, configs: &[(&str, &str)]) -> CreatableTopic {
    let configs = configs.iter().map(|(name, value)| {
        CreatableTopicConfig::default()
            .with_name(word(name))
            .with_value(Some(word(value)))
    });
    topic.with_configs(configs.collect())
}
