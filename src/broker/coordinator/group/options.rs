//! The settings of consumer groups.
//!
//! Owns: their names, units and defaults. Never does: reading configuration. Runs on: any thread.

/// How groups behave. The defaults are Kafka's but where noted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupOptions {
    /// Shortest session timeout that a member may ask for, in milliseconds
    /// (`group.min.session.timeout.ms`).
    pub session_timeout_min_ms: i32,
    /// Longest (`group.max.session.timeout.ms`).
    pub session_timeout_max_ms: i32,
    /// How long the first members of an empty group wait for others, in milliseconds
    /// (`group.initial.rebalance.delay.ms`). 0 here, where Kafka waits three seconds: on one machine
    /// members start together or not at all.
    pub initial_rebalance_delay_ms: i32,
    /// Most members of one group, those that are expected but have not joined included
    /// (`group.max.size`).
    pub members_max: usize,
    /// Most groups, those that only have offsets included. Kafka has no such limit.
    pub groups_max: usize,
    /// Most bytes of metadata and names that a member may send with its protocols, and that the
    /// leader may assign to one member. Kafka has no such limit.
    pub member_bytes_max: usize,
    /// Most partitions of which one group keeps offsets, pending ones included. Kafka has no such
    /// limit.
    pub offsets_max: usize,
    /// Most bytes that one commit may store, that the end of a transaction may store for one group, and
    /// that are deleted at once. What does not fit one write of the log could never be stored.
    pub commit_bytes_max: usize,
    /// Longest metadata string of an offset, in bytes (`offset.metadata.max.bytes`).
    pub offset_metadata_max: usize,
    /// How long offsets of a group without members are kept, in milliseconds
    /// (`offsets.retention.minutes`).
    pub offsets_retention_ms: i64,
    /// How often offsets are looked through for expired ones, in milliseconds
    /// (`offsets.retention.check.interval.ms`).
    pub retention_check_interval_ms: u64,
}

impl Default for GroupOptions {
    fn default() -> GroupOptions {
        GroupOptions {
            session_timeout_min_ms: 6_000,
            session_timeout_max_ms: 1_800_000,
            initial_rebalance_delay_ms: 0,
            members_max: 1_000,
            groups_max: 10_000,
            member_bytes_max: 1 << 20,
            offsets_max: 100_000,
            commit_bytes_max: 2 << 20,
            offset_metadata_max: 4_096,
            offsets_retention_ms: 7 * 24 * 3_600 * 1_000,
            retention_check_interval_ms: 600_000,
        }
    }
}
