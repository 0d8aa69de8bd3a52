//! Which shard is nearest.
//!
//! Owns: distances on the sphere and the immutable table of shards ([`ShardManager`]). Never does:
//! I/O, change after it was built. Runs on: any thread; each core has a table of its own.

mod angle;
mod distance;
mod manager;
mod tree;

#[cfg(test)]
mod tests;

pub use crate::location::GeoLocation;
pub use distance::{EARTH_RADIUS_KM, haversine};
pub use manager::{DefaultShard, ShardManager, ShardSpec, ShardTableError};
