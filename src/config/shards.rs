//! The shard table: its entries and the one that is shipped.
//!
//! Owns: the default shards. Never does: distances (that is [`crate::geo`]).

use serde::{Deserialize, Deserializer};

use crate::ids::ShardId;
use crate::location::{GeoLocation, LocationError};

/// One `[[shards]]` entry.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShardConfig {
    /// Its number; ties of distance go to the lowest.
    #[serde(deserialize_with = "shard_id")]
    pub id: ShardId,
    /// Its name, as its topic `transactions-{name}` carries it.
    pub name: String,
    /// Degrees north.
    pub latitude: f64,
    /// Degrees east.
    pub longitude: f64,
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

pub(super) fn shard_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ShardId, D::Error> {
    u16::deserialize(deserializer).map(ShardId)
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
    })
    .collect()
}
