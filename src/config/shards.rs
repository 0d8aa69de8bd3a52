//! The shard table: its entries and the one that is shipped.
//!
//! Owns: the default shards. Never does: distances (that is [`crate::geo`]).

use serde::{Deserialize, Serialize};

use super::clusters::EMBEDDED;
use crate::ids::ShardId;
use crate::location::{GeoLocation, LocationError};

/// One `[[shards]]` entry.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ShardConfig {
    /// Its number; ties of distance go to the lowest.
    #[serde(with = "id")]
    pub id: ShardId,
    /// Its name, as its topic `transactions-{name}` carries it.
    pub name: String,
    /// Degrees north.
    pub latitude: f64,
    /// Degrees east.
    pub longitude: f64,
    /// The cluster that holds it, or `embedded`.
    #[serde(default = "embedded")]
    pub cluster: String,
    /// Its topic; none = `transactions-{name}`.
    #[serde(default)]
    pub topic: Option<String>,
    /// Partitions of its topic; 0 = `transactions.partitions`.
    #[serde(default)]
    pub partitions: u32,
    /// Copies of each partition; 0 = the broker's default.
    #[serde(default)]
    pub replication: u16,
}

fn embedded() -> String {
    EMBEDDED.to_owned()
}

impl ShardConfig {
    /// Where it is.
    ///
    /// # Errors
    /// A coordinate is out of range; never for a shard of a validated configuration.
    pub fn location(&self) -> Result<GeoLocation, LocationError> {
        GeoLocation::new(self.latitude, self.longitude)
    }
}

/// The id of a shard in the file: a number.
pub(super) mod id {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::ShardId;

    pub(crate) fn serialize<S: Serializer>(id: &ShardId, serializer: S) -> Result<S::Ok, S::Error> {
        id.0.serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<ShardId, D::Error> {
        u16::deserialize(deserializer).map(ShardId)
    }
}

/// A list of ids of shards in the file.
pub(super) mod ids {
    use serde::{Deserialize, Deserializer, Serializer};

    use super::ShardId;

    pub(crate) fn serialize<S: Serializer>(
        ids: &[ShardId],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(ids.iter().map(|id| id.0))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<ShardId>, D::Error> {
        let ids: Vec<u16> = Vec::deserialize(deserializer)?;
        Ok(ids.into_iter().map(ShardId).collect())
    }
}

/// Eight metropolitan regions that together are near most of the world's population.
pub(super) fn default_table() -> Vec<ShardConfig> {
    [
        (0, "tokyo", 35.6764, 139.6500),
        (1, "singapore", 1.3521, 103.8198),
        (2, "mumbai", 19.0760, 72.8777),
        (3, "frankfurt", 50.1109, 8.6821),
        (4, "northern-virginia", 39.0438, -77.4874),
        (5, "oregon", 45.8399, -119.7006),
        (6, "sao-paulo", -23.5558, -46.6396),
        (7, "sydney", -33.8688, 151.2093),
    ]
    .into_iter()
    .map(|(id, name, latitude, longitude)| ShardConfig {
        id: ShardId(id),
        name: name.to_owned(),
        latitude,
        longitude,
        cluster: embedded(),
        topic: None,
        partitions: 0,
        replication: 0,
    })
    .collect()
}
