//! The pages `/v1/status` and `/v1/slow` as `top` reads them. Nodes of other versions lack keys or have more: what is not
//! there is not shown, what is not known is passed over.
//!
//! Owns: which keys are read. Never does: asking.

use std::collections::BTreeMap;

use serde::Deserialize;

/// The page. Its version is what tells it from any other JSON.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Status {
    pub version: String,
    pub uptime_seconds: Option<f64>,
    pub ready: Option<bool>,
    #[serde(default)]
    pub reasons: Vec<Reason>,
    #[serde(default)]
    pub storage: Storage,
    #[serde(default)]
    pub cores: Vec<Core>,
    #[serde(default)]
    pub shards: Vec<Shard>,
    #[serde(default)]
    pub recent: Recent,
    /// None where the node does not tell.
    pub slow: Option<Slow>,
}

/// Why the node is not ready.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Reason {
    pub kind: String,
    pub detail: String,
}

/// What holds the partitions.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Storage {
    pub directory: Option<String>,
    pub free_bytes: Option<u64>,
    pub names: Vec<String>,
}

/// A core.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Core {
    pub core: u16,
    pub phase: String,
    pub busy_share: Option<f64>,
    pub in_flight: Option<u64>,
    pub backlog: Option<u64>,
    pub cycle_max_seconds: Option<f64>,
    pub mesh_depth: Option<u64>,
    pub mesh_depth_high_water: Option<u64>,
    pub rates: BTreeMap<String, f64>,
    pub counters: BTreeMap<String, u64>,
}

/// A shard.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Shard {
    pub shard: String,
    pub processed: Option<u64>,
    pub dead_lettered: Option<u64>,
    pub duplicates: Option<u64>,
    pub lag: Option<u64>,
    pub processed_per_second: Option<f64>,
    pub p50_us: Option<f64>,
    pub p99_us: Option<f64>,
    pub p999_us: Option<f64>,
}

/// Rates of the last second, percentiles of the last ten.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Recent {
    pub rates: BTreeMap<String, f64>,
    pub latencies_seconds: Option<f64>,
    pub latencies: BTreeMap<String, Percentiles>,
}

/// A stage's latencies.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Percentiles {
    pub count: u64,
    pub p50_us: Option<f64>,
    pub p99_us: Option<f64>,
    pub p999_us: Option<f64>,
    pub max_us: Option<f64>,
}

/// The slowest transactions.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Slow {
    pub minutes: Option<u64>,
    pub missing_cores: Vec<u16>,
    pub slowest: Vec<Flight>,
}

/// One of them.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Flight {
    pub shard: String,
    pub partition: Option<u64>,
    pub offset: Option<u64>,
    pub core: Option<u64>,
    pub acks: Option<String>,
    pub total_us: Option<f64>,
    pub seconds_ago: Option<f64>,
    pub stages: Vec<Stretch>,
}

/// A stretch of its way.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Stretch {
    pub stage: String,
    pub start_us: f64,
    pub took_us: f64,
}

#[cfg(test)]
impl Status {
    /// Reads a page.
    pub fn read(text: &str) -> Result<Status, serde_json::Error> {
        serde_json::from_str(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_that_lacks_or_adds_keys_is_read() {
        let bare = Status::read(r#"{"version":"9.0.0"}"#).unwrap();
        assert_eq!(bare.version, "9.0.0");
        assert!(bare.cores.is_empty() && bare.shards.is_empty() && bare.slow.is_none());
        let more = r#"{"version":"9.0.0","new":{"a":[1]},"ready":true,
            "cores":[{"core":3,"busy_share":null,"colour":"red"}],
            "shards":[{"shard":"north","lag":7,"p50_us":1.5}],
            "slow":{"slowest":[{"shard":"north","stages":[{"stage":"sync","took_us":2.5}]}]},
            "recent":{"latencies":{"produce":{"count":2,"p50_us":3.0},"unheard_of":{}}}}"#;
        let more = Status::read(more).unwrap();
        assert_eq!((more.cores[0].core, more.cores[0].busy_share), (3, None));
        assert_eq!(more.shards[0].lag, Some(7));
        assert_eq!(more.recent.latencies["produce"].count, 2);
        assert_eq!(more.slow.unwrap().slowest[0].stages[0].took_us, 2.5);
    }

    #[test]
    fn what_is_no_status_is_an_error() {
        for other in ["", "{}", "[]", "404 not found", r#"{"version":1}"#] {
            assert!(Status::read(other).is_err(), "{other}");
        }
    }
}
