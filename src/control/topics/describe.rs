//! `DescribeConfigs`: of topics, and of this broker.

use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use kafka_protocol::messages::{DescribeConfigsRequest, DescribeConfigsResponse};
use kafka_protocol::protocol::StrBytes;

use super::facts::{Level, Source};
use super::refusal::Refusal;
use super::settings::{Effect, Setting, TOPIC, node_settings};
use super::work::Work;
use crate::config::INLET;

/// What settings can belong to, by their numbers on the wire (Kafka's `ConfigResource.Type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resource {
    Topic,
    Node,
}

impl Resource {
    /// The kind with this number.
    pub fn from_wire(number: i8) -> Result<Resource, Refusal> {
        match number {
            2 => Ok(Resource::Topic),
            4 => Ok(Resource::Node),
            8 => Err(Refusal::request(
                "Loggers of the broker are not supported: CORELANE_LOG decides",
            )),
            16 => Err(Refusal::request("Client metrics are not supported")),
            32 => Err(Refusal::request("Configs of groups are not supported")),
            other => Err(Refusal::request(format!("Unknown resource type {other}"))),
        }
    }
}

impl Work<'_> {
    pub(super) fn describe_configs(
        &self,
        request: &DescribeConfigsRequest,
    ) -> DescribeConfigsResponse {
        let results = request.resources.iter().map(|resource| {
            let answer = DescribeConfigsResult::default()
                .with_resource_type(resource.resource_type)
                .with_resource_name(resource.resource_name.clone());
            match self.describe(request, resource) {
                Ok(configs) => answer.with_error_message(None).with_configs(configs),
                Err(refusal) => answer
                    .with_error_code(refusal.code())
                    .with_error_message(Some(refusal.text())),
            }
        });
        DescribeConfigsResponse::default().with_results(results.collect())
    }

    fn describe(
        &self,
        request: &DescribeConfigsRequest,
        resource: &DescribeConfigsResource,
    ) -> Result<Vec<DescribeConfigsResourceResult>, Refusal> {
        let keys = resource.configuration_keys.as_ref();
        // Kafka takes an empty list for all of them as well.
        let keys = keys.filter(|keys| !keys.is_empty());
        let is_asked = |setting: &Setting| {
            keys.is_none_or(|keys| keys.iter().any(|key| **key == *setting.name))
        };
        let entry = |setting: &Setting, levels| entry(request, setting, levels);
        match Resource::from_wire(resource.resource_type)? {
            Resource::Topic => {
                let name: &str = &resource.resource_name;
                let none = Default::default();
                let configs = match self.find(name) {
                    Ok(topic) => &topic.configs,
                    Err(_) if name == INLET => &none,
                    Err(refusal) => return Err(refusal),
                };
                let of = |setting| self.facts.levels(setting, &self.catalog, configs);
                let asked = TOPIC.iter().filter(|setting| is_asked(setting));
                Ok(asked.map(|setting| entry(setting, of(setting))).collect())
            }
            Resource::Node => {
                let whole = self.check_node(&resource.resource_name)?;
                let asked = node_settings().filter(is_asked);
                let entries = asked.filter_map(|setting| {
                    let levels = self.facts.node_levels(&setting, &self.catalog);
                    // Without a broker's id only what was set for all of them is asked for.
                    let is_set = levels.first().is_some_and(|it| it.source == Source::Node);
                    (whole == Whole::Yes || is_set).then(|| entry(&setting, levels))
                });
                Ok(entries.collect())
            }
        }
    }

    /// Whether a name is that of this broker, or of all brokers, whose name is empty.
    pub(super) fn check_node(&self, name: &str) -> Result<Whole, Refusal> {
        let own = self.facts.node_id.to_string();
        match name {
            "" => Ok(Whole::OnlySet),
            name if name == own => Ok(Whole::Yes),
            name => Err(Refusal::request(format!(
                "Unexpected broker id, expected {own} or empty string, but received {name}"
            ))),
        }
    }
}

/// How much of the node's settings is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whole {
    /// All of them.
    Yes,
    /// What was set by clients.
    OnlySet,
}

fn entry(
    request: &DescribeConfigsRequest,
    setting: &Setting,
    levels: Vec<Level>,
) -> DescribeConfigsResourceResult {
    let effective = levels.first();
    let source = effective.map_or(Source::Default, |level| level.source);
    let value = effective.map_or(setting.default, |level| &level.value);
    let read_only = match setting.effect {
        Effect::Obeyed | Effect::Kept => false,
        // Kafka shows a topic's settings as writable, also those with one possible value.
        Effect::Fixed(_) => setting.name == setting.node && setting.name != "min.insync.replicas",
        Effect::Node(_) => true,
    };
    let mut entry = DescribeConfigsResourceResult::default()
        .with_name(StrBytes::from_static_str(setting.name))
        .with_value(Some(StrBytes::from_string(value.to_owned())))
        .with_read_only(read_only)
        .with_config_source(source as i8)
        .with_config_type(setting.kind.code())
        .with_documentation(None);
    if request.include_documentation {
        entry.documentation = Some(StrBytes::from_static_str(setting.about));
    }
    if request.include_synonyms {
        let synonyms = levels.into_iter().map(|level| {
            DescribeConfigsSynonym::default()
                .with_name(StrBytes::from_static_str(level.name))
                .with_value(Some(StrBytes::from_string(level.value)))
                .with_source(level.source as i8)
        });
        entry.synonyms = synonyms.collect();
    }
    entry
}
