//! `AlterConfigs`, which replaces all settings of a topic or of the node, and
//! `IncrementalAlterConfigs`, which changes some (KIP-339).

use std::collections::BTreeMap;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::alter_configs_response::AlterConfigsResourceResponse as Replaced;
use kafka_protocol::messages::incremental_alter_configs_request::AlterableConfig;
use kafka_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse as Changed;
use kafka_protocol::messages::{
    AlterConfigsRequest, AlterConfigsResponse, IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse,
};
use kafka_protocol::protocol::StrBytes;

use super::describe::Resource;
use super::facts::Role;
use super::refusal::Refusal;
use super::settings::{Setting, items, node_setting, topic_setting};
use super::work::{Run, Work, own, repeated};
use crate::ids::TopicId;

/// Whose settings are changed.
#[derive(Clone, Copy, Debug)]
enum Target {
    Topic(TopicId),
    Node,
}

/// What is done to one setting, by its number on the wire (Kafka's `AlterConfigOp.OpType`).
#[derive(Clone, Copy, Debug)]
enum Operation {
    Set,
    Delete,
    Append,
    Subtract,
}

type Settings = BTreeMap<String, String>;

impl Work<'_> {
    pub(super) fn alter_configs(&mut self, request: AlterConfigsRequest) -> AlterConfigsResponse {
        let run = Run::from(request.validate_only);
        let before = self.catalog.clone();
        let resources = &request.resources;
        let twice = repeated_resources(
            resources
                .iter()
                .map(|it| (it.resource_type, it.resource_name.clone())),
        );
        let results = request.resources.iter().map(|resource| {
            let key = (resource.resource_type, resource.resource_name.clone());
            let result = check_once(&twice, &key).and_then(|()| {
                let target = self.target(key.0, &key.1)?;
                let mut settings = Settings::new();
                for config in &resource.configs {
                    let value = config.value.as_deref();
                    put(&mut settings, target, &config.name, value)?;
                }
                self.apply(target, settings)
            });
            let answer = Replaced::default()
                .with_resource_type(key.0)
                .with_resource_name(key.1)
                .with_error_message(None);
            match result {
                Ok(()) => answer,
                Err(refusal) => answer
                    .with_error_code(refusal.code())
                    .with_error_message(Some(refusal.text())),
            }
        });
        let results = results.collect();
        if run == Run::ValidateOnly {
            self.catalog = before;
        }
        AlterConfigsResponse::default().with_responses(results)
    }

    pub(super) fn incremental_alter_configs(
        &mut self,
        request: IncrementalAlterConfigsRequest,
    ) -> IncrementalAlterConfigsResponse {
        let run = Run::from(request.validate_only);
        let before = self.catalog.clone();
        let resources = &request.resources;
        let twice = repeated_resources(
            resources
                .iter()
                .map(|it| (it.resource_type, it.resource_name.clone())),
        );
        let results = request.resources.iter().map(|resource| {
            let key = (resource.resource_type, resource.resource_name.clone());
            let result = check_once(&twice, &key).and_then(|()| {
                let target = self.target(key.0, &key.1)?;
                let settings = self.changed(target, &resource.configs)?;
                self.apply(target, settings)
            });
            let answer = Changed::default()
                .with_resource_type(key.0)
                .with_resource_name(key.1)
                .with_error_message(None);
            match result {
                Ok(()) => answer,
                Err(refusal) => answer
                    .with_error_code(refusal.code())
                    .with_error_message(Some(refusal.text())),
            }
        });
        let results = results.collect();
        if run == Run::ValidateOnly {
            self.catalog = before;
        }
        IncrementalAlterConfigsResponse::default().with_responses(results)
    }

    fn target(&self, kind: i8, name: &str) -> Result<Target, Refusal> {
        match Resource::from_wire(kind)? {
            Resource::Topic => {
                let topic = self.find(name)?;
                match self.facts.roles.get(&topic.id) {
                    // What it keeps, processing decides.
                    Some(Role::Shard) => Err(own(name)),
                    Some(Role::DeadLetters | Role::Output) | None => Ok(Target::Topic(topic.id)),
                }
            }
            Resource::Node => self.check_node(name).map(|_| Target::Node),
        }
    }

    /// What is set now, with the changes over it.
    fn changed(&self, target: Target, configs: &[AlterableConfig]) -> Result<Settings, Refusal> {
        if !repeated(configs.iter().map(|config| &config.name)).is_empty() {
            return Err(Refusal::request("Error due to duplicate config keys"));
        }
        let mut settings = match target {
            Target::Node => self.catalog.settings().clone(),
            Target::Topic(id) => {
                let topic = self.catalog.topic_by_id(id);
                topic.map(|it| it.configs.clone()).unwrap_or_default()
            }
        };
        for config in configs {
            let name: &str = &config.name;
            let operation = match config.config_operation {
                0 => Operation::Set,
                1 => Operation::Delete,
                2 => Operation::Append,
                3 => Operation::Subtract,
                other => {
                    return Err(Refusal::request(format!(
                        "Unknown operation {other} for {name}"
                    )));
                }
            };
            let value = config.value.as_deref();
            match operation {
                Operation::Set => put(&mut settings, target, name, value)?,
                Operation::Delete => {
                    find(target, name)?;
                    settings.remove(name);
                }
                Operation::Append | Operation::Subtract => {
                    let list = self.edited(target, &settings, name, value, operation)?;
                    put(&mut settings, target, name, Some(&list))?;
                }
            }
        }
        Ok(settings)
    }

    /// A list with words added or taken away; what is not set begins with what is in force.
    fn edited(
        &self,
        target: Target,
        settings: &Settings,
        name: &str,
        value: Option<&str>,
        operation: Operation,
    ) -> Result<String, Refusal> {
        let setting = find(target, name)?;
        if !setting.kind.is_list() {
            let word = match operation {
                Operation::Subtract => "SUBTRACT",
                Operation::Append | Operation::Set | Operation::Delete => "APPEND",
            };
            return Err(Refusal::new(
                ResponseError::InvalidConfig,
                format!("Can't {word} to key {name} because its type is not LIST."),
            ));
        }
        let value = value.ok_or_else(|| null(name))?;
        let levels = match target {
            Target::Topic(_) => self.facts.levels(&setting, &self.catalog, settings),
            Target::Node => self.facts.node_levels(&setting, &self.catalog),
        };
        let now = levels.first().map_or(setting.default, |it| &it.value);
        let mut list: Vec<&str> = items(now).collect();
        for item in items(value) {
            match operation {
                Operation::Subtract => list.retain(|there| *there != item),
                Operation::Append | Operation::Set | Operation::Delete => {
                    if !list.contains(&item) {
                        list.push(item);
                    }
                }
            }
        }
        Ok(list.join(","))
    }

    fn apply(&mut self, target: Target, settings: Settings) -> Result<(), Refusal> {
        match target {
            Target::Topic(id) => Ok(self.catalog.set_configs(id, settings)?),
            Target::Node => {
                self.catalog.set_settings(settings);
                Ok(())
            }
        }
    }
}

fn null(name: &str) -> Refusal {
    Refusal::request(format!("Null value not supported for : {name}"))
}

fn find(target: Target, name: &str) -> Result<Setting, Refusal> {
    let (found, whose) = match target {
        Target::Topic(_) => (topic_setting(name).copied(), "topic"),
        Target::Node => (node_setting(name), "broker"),
    };
    found.ok_or_else(|| {
        Refusal::new(
            ResponseError::InvalidConfig,
            format!("Unknown {whose} config name: {name}"),
        )
    })
}

fn put(
    settings: &mut Settings,
    target: Target,
    name: &str,
    value: Option<&str>,
) -> Result<(), Refusal> {
    let value = value.ok_or_else(|| null(name))?;
    let setting = find(target, name)?;
    setting
        .check(value)
        .map_err(|message| Refusal::new(ResponseError::InvalidConfig, message))?;
    settings.insert(name.to_owned(), value.to_owned());
    Ok(())
}

type Key = (i8, StrBytes);

fn repeated_resources(keys: impl Iterator<Item = Key>) -> Vec<Key> {
    let keys: Vec<Key> = keys.collect();
    repeated(keys.iter())
}

fn check_once(twice: &[Key], key: &Key) -> Result<(), Refusal> {
    match twice.contains(key) {
        true => Err(Refusal::request("Each resource must appear at most once.")),
        false => Ok(()),
    }
}
