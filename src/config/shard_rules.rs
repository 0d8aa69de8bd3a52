//! The rules about which shards there are, wherever they are kept.
//!
//! Owns: their number, ids, names and places on the Earth, and the default shard. Never does: what
//! holds them ([`super::placement_rules`]).

use std::collections::BTreeMap;

use super::bounds::{self, KILOMETRES, SHARD_NAME};
use super::validate::{differs, is_label};
use super::{Config, ConfigError};
use crate::limits::SHARDS_MAX;
use crate::location::LocationError;

/// Half of the Earth's circumference, rounded up: no two places are further apart.
const DISTANCE_KM_MAX: f64 = 20_100.0;

pub(super) fn shards_are_valid(config: &Config) -> Result<(), ConfigError> {
    shards_are_listed(config)?;
    shard_ids_differ(config)?;
    shard_names_are_valid_and_differ(config)?;
    shards_are_on_the_earth(config)?;
    the_default_shard_is_listed(config)?;
    the_default_shard_has_a_distance(config)
}

fn shards_are_listed(config: &Config) -> Result<(), ConfigError> {
    let count = config.shards.len();
    if !(1..=SHARDS_MAX).contains(&count) {
        return Err(ConfigError::key(
            "shards",
            format!("{count} shards are listed"),
            format!("1 to {SHARDS_MAX} shards"),
        ));
    }
    Ok(())
}

fn shard_ids_differ(config: &Config) -> Result<(), ConfigError> {
    let mut seen = BTreeMap::new();
    for (index, shard) in config.shards.iter().enumerate() {
        differs(&mut seen, shard.id, index, "shards", ".id")?;
    }
    Ok(())
}

fn shard_names_are_valid_and_differ(config: &Config) -> Result<(), ConfigError> {
    let mut seen = BTreeMap::new();
    for (index, shard) in config.shards.iter().enumerate() {
        let name = shard.name.as_str();
        if !is_label(name) {
            return Err(ConfigError::key(
                format!("shards[{index}].name"),
                format!("{name:?} is no name of a shard"),
                SHARD_NAME,
            ));
        }
        differs(&mut seen, name, index, "shards", ".name")?;
    }
    Ok(())
}

fn shards_are_on_the_earth(config: &Config) -> Result<(), ConfigError> {
    for (index, shard) in config.shards.iter().enumerate() {
        let (field, value) = match shard.location() {
            Ok(_) => continue,
            Err(LocationError::Latitude(value)) => ("latitude", value),
            Err(LocationError::Longitude(value)) => ("longitude", value),
        };
        let key = format!("shards[{index}].{field}");
        let allowed = bounds::allowed(&key);
        return Err(ConfigError::key(
            key,
            format!("{value} is out of range"),
            allowed,
        ));
    }
    Ok(())
}

fn the_default_shard_is_listed(config: &Config) -> Result<(), ConfigError> {
    let Some(default) = config.transactions.default_shard else {
        return Ok(());
    };
    if config.shards.iter().any(|shard| shard.id == default.shard) {
        return Ok(());
    }
    Err(ConfigError::key(
        "transactions.default_shard.shard",
        format!("no shard has the id {}", default.shard),
        "the id of a listed shard",
    ))
}

fn the_default_shard_has_a_distance(config: &Config) -> Result<(), ConfigError> {
    let Some(default) = config.transactions.default_shard else {
        return Ok(());
    };
    // A range check is false for NaN, so NaN is refused here as well.
    if (0.0..=DISTANCE_KM_MAX).contains(&default.beyond_km) {
        return Ok(());
    }
    Err(ConfigError::key(
        "transactions.default_shard.beyond_km",
        format!("{} is out of range", default.beyond_km),
        KILOMETRES,
    ))
}
