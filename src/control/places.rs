//! What every core must know of where things are, whatever holds them.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::Config;
use crate::engine::route::RouteTable;
use crate::geo::{DefaultShard, ShardManager, ShardSpec};
use crate::ids::{ShardId, TopicId};

use super::error::StartError;

/// Where everything is.
#[derive(Clone)]
pub(super) struct Places {
    pub table: Arc<RouteTable>,
    /// Topics that handlers may send to.
    pub topics: Arc<BTreeMap<String, TopicId>>,
    pub dead_letters: Arc<BTreeMap<ShardId, TopicId>>,
}

/// The shards by their places.
pub(super) fn shard_manager(config: &Config) -> Result<ShardManager, StartError> {
    let specs = config
        .shards
        .iter()
        .map(|shard| match shard.location() {
            Ok(location) => Ok(ShardSpec {
                id: shard.id,
                location,
            }),
            Err(source) => Err(StartError::Location {
                shard: shard.name.clone(),
                source,
            }),
        })
        .collect::<Result<Vec<_>, _>>()?;
    let default = config
        .transactions
        .default_shard
        .as_ref()
        .map(|default| DefaultShard {
            shard: default.shard,
            beyond_km: default.beyond_km,
        });
    Ok(ShardManager::new(specs, default)?)
}
