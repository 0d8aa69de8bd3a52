//! Every metric there is, with its name, unit and meaning.
//!
//! Closed enums, so that a misspelt metric does not compile. Names are final: what reads them
//! outside breaks when one changes.

/// What a metric's number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Transactions.
    Transactions,
    /// Records of the log.
    Records,
    /// Batches of records.
    Batches,
    /// Bytes.
    Bytes,
    /// Messages between cores.
    Messages,
    /// Frames of the log: what one write makes durable.
    Frames,
    /// Occurrences.
    Events,
    /// Duty cycles.
    Cycles,
    /// Nanoseconds.
    Nanoseconds,
    /// Seconds.
    Seconds,
    /// A number of things that are there at the moment.
    Things,
    /// 1 for yes, 0 for no.
    Truth,
    /// A number without a dimension.
    Ratio,
}

impl Unit {
    /// The unit as it is shown.
    pub const fn name(self) -> &'static str {
        match self {
            Unit::Transactions => "transactions",
            Unit::Records => "records",
            Unit::Batches => "batches",
            Unit::Bytes => "bytes",
            Unit::Messages => "messages",
            Unit::Frames => "frames",
            Unit::Events => "events",
            Unit::Cycles => "cycles",
            Unit::Nanoseconds => "nanoseconds",
            Unit::Seconds => "seconds",
            Unit::Things => "count",
            Unit::Truth => "1 or 0",
            Unit::Ratio => "ratio",
        }
    }
}

/// What a metric's labels tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Each core has one: label `core`, its number.
    Core,
    /// Each core has one for each [`Owner`]: labels `core` and `owner`, its name.
    Owner,
    /// Each shard has one: label `shard`, its name. There are as many as are configured.
    Shard,
    /// The node has one; no label.
    Node,
}

/// Writes an enum together with its list and its descriptions, so that none of them can be
/// forgotten.
macro_rules! catalogue {
    (
        $(#[$doc:meta])*
        $metric:ident {
            $($variant:ident = $name:literal, $unit:ident, $meaning:literal;)+
        }
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum $metric {
            $(#[doc = $meaning] $variant,)+
        }

        impl $metric {
            /// All of them, in the order of the catalogue.
            pub const ALL: [$metric; [$($metric::$variant),+].len()] = [$($metric::$variant),+];

            /// How many there are.
            pub const COUNT: usize = Self::ALL.len();

            /// Place in the catalogue, dense from 0.
            #[inline]
            pub const fn index(self) -> usize {
                self as usize
            }

            /// The name under which it is shown.
            pub const fn name(self) -> &'static str {
                match self {
                    $($metric::$variant => $name,)+
                }
            }

            /// What its number counts.
            pub const fn unit(self) -> Unit {
                match self {
                    $($metric::$variant => Unit::$unit,)+
                }
            }

            /// What it means, in a sentence.
            pub const fn meaning(self) -> &'static str {
                match self {
                    $($metric::$variant => $meaning,)+
                }
            }
        }
    };
}

catalogue! {
    /// A number that only grows, one per core.
    Counter {
        Submitted = "submitted", Transactions,
            "Transactions taken in on this core, from the gateway, a file or a program.";
        SubmittedBytes = "submitted_bytes", Bytes,
            "Encoded bytes of the transactions taken in.";
        Rejected = "rejected", Transactions,
            "Submissions refused with an error: malformed or out of bounds.";
        Duplicates = "duplicates", Transactions,
            "Submissions answered with the receipt of the first submission of the same id.";
        AckedNone = "acked_none", Transactions,
            "Transactions sent under acks = none: no receipt was promised.";
        AckedLeader = "acked_leader", Transactions,
            "Receipts given when the transaction was appended.";
        AckedAll = "acked_all", Transactions,
            "Receipts given when the transaction was durable.";
        Failed = "failed", Transactions,
            "Transactions taken in that could not be made durable.";
        Processed = "processed", Transactions,
            "Transactions that the handler accepted and whose position is committed.";
        ProcessedDuplicates = "processed_duplicates", Transactions,
            "Records skipped in processing because their id had been processed before.";
        Retried = "retried", Transactions,
            "Times that the handler asked for a transaction again later.";
        DeadLettered = "dead_lettered", Transactions,
            "Records sent to the dead letter topic with the reason.";
        HandlerPanics = "handler_panics", Events,
            "Panics of the handler; each one also counts as dead_lettered.";
        Failovers = "failovers", Transactions,
            "Transactions that another shard took because their nearest one could not be reached.";
        PartitionsAssigned = "partitions_assigned", Events,
            "Partitions on clusters that this core was given to process.";
        PartitionsRevoked = "partitions_revoked", Events,
            "Partitions on clusters that were taken from this core.";
        Rebalances = "rebalances", Events,
            "Times that a consumer group gave this core partitions or took some from it.";
        TransactionsCommitted = "kafka_transactions_committed", Events,
            "Kafka transactions of processing that were committed.";
        TransactionsAborted = "kafka_transactions_aborted", Events,
            "Kafka transactions of processing that were aborted; their records are processed again.";
        ClusterUnreachable = "cluster_unreachable", Events,
            "Times that a cluster acknowledged nothing for so long that it counted as unreachable.";
        RecordsAppended = "records_appended", Records,
            "Records appended to this core's stripes.";
        Batches = "batches", Batches,
            "Batches appended to this core's stripes: of transactions, of handlers, of Kafka clients.";
        BatchBytes = "batch_bytes", Bytes,
            "Bytes of the batches appended to this core's stripes.";
        Frames = "frames", Frames,
            "Frames of this core's stripes that became durable, each with one write.";
        FrameBytes = "frame_bytes", Bytes,
            "Bytes of the frames that became durable, padding included.";
        WindowFull = "window_full", Events,
            "Submissions put off because the duplicate window held nothing but work in flight.";
        BackPressure = "back_pressure", Events,
            "Times that intake stopped because a bound further on was reached.";
        BackPressureNs = "back_pressure_ns", Nanoseconds,
            "Time in which intake took nothing because of a bound further on, from the duty cycle that stopped it to the one that looked again.";
        StorageFull = "storage_full", Events,
            "Offers that storage refused for lack of a buffer or of space.";
        MeshSent = "mesh_sent", Messages,
            "Messages handed to another core.";
        MeshReceived = "mesh_received", Messages,
            "Messages taken from another core.";
        MeshFull = "mesh_full", Events,
            "Times that a ring to another core was full.";
        Connections = "connections", Events,
            "Connections accepted by the gateway.";
        Cycles = "cycles", Cycles,
            "Duty cycles run.";
        BusyCycles = "busy_cycles", Cycles,
            "Duty cycles that found work.";
        BusyNs = "busy_ns", Nanoseconds,
            "Time in duty cycles that found work, with what ran between them: what the core is busy.";
        Stalls = "stalls", Cycles,
            "Duty cycles that took longer than the stall threshold.";
        Traces = "traces", Events,
            "Legs of traced transactions that were told: sent, processed, or slow.";
        TracesDropped = "traces_dropped", Events,
            "Legs of traced transactions that were not told because too many waited to be.";
        Parks = "parks", Events,
            "Times that the core went to sleep because it had nothing to do.";
    }
}

catalogue! {
    /// A number that only grows, one per shard, added up over the cores. Counted once per batch.
    ShardCounter {
        Processed = "shard_processed", Transactions,
            "Transactions of this shard that the handler accepted and whose position is committed.";
        DeadLettered = "shard_dead_lettered", Transactions,
            "Records of this shard that were sent to its dead letter topic.";
        Duplicates = "shard_duplicates", Transactions,
            "Submissions nearest to this shard that were answered with the receipt of the first one of the same id.";
        ProcessedDuplicates = "shard_processed_duplicates", Transactions,
            "Records of this shard skipped in processing because their id had been processed before.";
    }
}

catalogue! {
    /// A number that only grows, one for the node, counted off the cores.
    NodeCounter {
        LogLinesDropped = "log_lines_dropped", Events,
            "Log lines of the process that were dropped because standard error took none.";
        SpansSent = "trace_spans_sent", Events,
            "Spans that the collector has taken.";
        SpansDropped = "trace_spans_dropped", Events,
            "Spans that the collector did not take, or that too many others waited for.";
    }
}

catalogue! {
    /// A span of a transaction's way that is timed, in one histogram per core.
    Stage {
        Produce = "produce", Nanoseconds,
            "From intake, or the intended time of sending, to the acknowledgement.";
        Consume = "consume", Nanoseconds,
            "From visible to a consumer to the handler's call.";
        EndToEnd = "end_to_end", Nanoseconds,
            "From intake, or the intended time of sending, to the end of processing.";
        Intake = "intake", Nanoseconds,
            "From intake, or the intended time of sending, to the duty cycle that routes it.";
        Route = "route", Nanoseconds,
            "Decoding and routing one transaction, and handing it on; one of many is timed.";
        Hop = "hop", Nanoseconds,
            "From the core that routed it to the duty cycle of the core that owns its partition.";
        Queue = "queue", Nanoseconds,
            "From the owner's taking it to its append: 0 unless storage had no room.";
        Append = "append", Nanoseconds,
            "Forming one duty cycle's batches and starting their write; one of many is timed.";
        Commit = "commit", Nanoseconds,
            "From append to durable.";
        TailRead = "tail_read", Nanoseconds,
            "From visible to a consumer to the start of the handler's batch.";
        Process = "process", Nanoseconds,
            "One batch in the handler, commit included.";
        Sync = "sync", Nanoseconds,
            "One durable write of the embedded log, from handing it to the device to its end as the core saw it.";
        Reply = "reply", Nanoseconds,
            "From the duty cycle that answers a connection to the kernel's having taken the answers.";
    }
}

catalogue! {
    /// A sum of [`Counter`]s of one core, under the name that Kafka's clients have for it.
    Total {
        MessagesSent = "messages_sent", Records,
            "Transactions that storage has taken: appended to the log, or acknowledged by a cluster.";
        SendErrors = "send_errors", Transactions,
            "Transactions that did not get into storage: failed and rejected ones.";
        MessagesReceived = "messages_received", Records,
            "Records that processing is done with: processed, duplicates and dead letters.";
        ProcessingErrors = "processing_errors", Events,
            "Times that the handler did not accept a record: dead letters and retries.";
    }
}

impl Total {
    /// What is added up.
    pub const fn parts(self) -> &'static [Counter] {
        match self {
            Total::MessagesSent => &[Counter::RecordsAppended],
            Total::SendErrors => &[Counter::Failed, Counter::Rejected],
            Total::MessagesReceived => &[
                Counter::Processed,
                Counter::ProcessedDuplicates,
                Counter::DeadLettered,
            ],
            Total::ProcessingErrors => &[Counter::DeadLettered, Counter::Retried],
        }
    }
}

catalogue! {
    /// A number that goes up and down, read when somebody looks.
    Gauge {
        CoreRunning = "core_running", Truth,
            "Whether the core takes transactions: neither starting nor draining nor stopped.";
        InFlight = "in_flight", Things,
            "What was taken in on this core and is not finished: mostly transactions that are not durable yet.";
        ConsumerLag = "consumer_lag", Things,
            "Visible records of this core's partitions that are not processed yet.";
        GatewayConnections = "gateway_connections_open", Things,
            "Connections of the gateway that are open.";
        KafkaConnections = "kafka_connections_open", Things,
            "Connections of Kafka clients that are open.";
        StripesWithoutSpace = "stripes_without_space", Things,
            "Stripes of this core whose device has no space for the file that they need next.";
        ClustersUnreachable = "clusters_unreachable", Things,
            "Clusters that count as unreachable for this core: nothing is acknowledged.";
        CycleMax = "cycle_max_seconds", Seconds,
            "The longest duty cycle since the start.";
        MeshDepth = "mesh_depth", Things,
            "Transactions that wait in the rings to this core, at the end of its last cycle.";
        MeshDepthMax = "mesh_depth_high_water", Things,
            "The most that ever waited in the rings to this core at the end of a cycle.";
        Memory = "memory_bytes", Bytes,
            "Memory that this owner on the core has taken or reserved; half a second old at the most.";
        ShardLag = "shard_lag", Things,
            "Visible records of this shard that are not processed yet; half a second old at the most.";
        Ready = "ready", Truth,
            "Whether the node is ready, as /readyz says.";
        Cores = "cores", Things,
            "Cores of the node.";
        Uptime = "uptime_seconds", Seconds,
            "Time since the node was started.";
        ResidentBytes = "resident_memory_bytes", Bytes,
            "Memory of the process that is resident, as the kernel counts it.";
        FreeBytes = "data_directory_free_bytes", Bytes,
            "Space that is left on the device of the data directory; embedded log only.";
        Topics = "topics", Things,
            "Topics of the embedded log; on clusters those of the shards.";
        Partitions = "partitions", Things,
            "Partitions of these topics.";
        Leaders = "partition_leaders", Things,
            "Partitions that this node leads: of the embedded log all of them; not told on clusters.";
        Replicas = "partition_replicas", Things,
            "Copies of partitions on this node: of the embedded log one of each; not told on clusters.";
        BatchSizeAvg = "batch_size_avg_bytes", Bytes,
            "Mean size of the batches appended to the embedded log since the start.";
        CompressionRatio = "compression_ratio", Ratio,
            "Bytes sent by bytes before compression: 1, the engine does not compress what it appends to the embedded log.";
    }
}

catalogue! {
    /// What holds memory of a core: the values of the label `owner`.
    Owner {
        DuplicateWindow = "duplicate_window", Bytes,
            "The duplicate window. Reserved at start; the kernel hands its pages out as ids come.";
        InFlight = "in_flight", Bytes,
            "Slots of transactions that are not durable yet. Reserved at start.";
        Mesh = "mesh", Bytes,
            "Rings to this core, of requests and of replies. Taken at start.";
        LogFrames = "log_frames", Bytes,
            "Buffers of the log's frames: the open ones, those kept for readers, spare ones.";
        LogChunks = "log_chunks", Bytes,
            "Parts of segments that were read back from the device.";
        LogIndex = "log_index", Bytes,
            "Where the batches lie in all segments that retention has left.";
        Gateway = "gateway", Bytes,
            "The gateway's queue, its connections' buffers, answers that were not sent; without what is decoded and under way.";
        KafkaRequests = "kafka_requests", Bytes,
            "Requests of Kafka clients that were read and not answered; without those still on their way.";
        KafkaAnswers = "kafka_answers", Bytes,
            "Answers to Kafka clients that were not sent.";
        Latencies = "latencies", Bytes,
            "Histograms of stages and shards. Taken at start.";
    }
}

impl Gauge {
    /// Whether each core has one, or each owner on it, or each shard, or the node.
    pub const fn scope(self) -> Scope {
        match self {
            Gauge::CoreRunning
            | Gauge::InFlight
            | Gauge::ConsumerLag
            | Gauge::GatewayConnections
            | Gauge::KafkaConnections
            | Gauge::StripesWithoutSpace
            | Gauge::ClustersUnreachable
            | Gauge::CycleMax
            | Gauge::MeshDepth
            | Gauge::MeshDepthMax => Scope::Core,
            Gauge::Memory => Scope::Owner,
            Gauge::ShardLag => Scope::Shard,
            Gauge::Ready
            | Gauge::Cores
            | Gauge::Uptime
            | Gauge::ResidentBytes
            | Gauge::FreeBytes
            | Gauge::Topics
            | Gauge::Partitions
            | Gauge::Leaders
            | Gauge::Replicas
            | Gauge::BatchSizeAvg
            | Gauge::CompressionRatio => Scope::Node,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn check<M: Copy>(metrics: &[M], name: fn(M) -> &'static str, meaning: fn(M) -> &'static str) {
        let mut names = HashSet::new();
        let mut meanings = HashSet::new();
        for &metric in metrics {
            let name = name(metric);
            assert!(names.insert(name), "{name} names two metrics");
            assert!(
                !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'),
                "{name} is not in snake case"
            );
            let meaning = meaning(metric);
            assert!(meaning.len() > 10 && meaning.ends_with('.'), "{name}");
            assert!(meanings.insert(meaning), "{name} has another's meaning");
        }
    }

    #[test]
    fn every_metric_has_a_name_of_its_own_and_a_meaning() {
        check(&Counter::ALL, Counter::name, Counter::meaning);
        check(
            &ShardCounter::ALL,
            ShardCounter::name,
            ShardCounter::meaning,
        );
        check(&NodeCounter::ALL, NodeCounter::name, NodeCounter::meaning);
        check(&Stage::ALL, Stage::name, Stage::meaning);
        check(&Total::ALL, Total::name, Total::meaning);
        check(&Gauge::ALL, Gauge::name, Gauge::meaning);
        check(&Owner::ALL, Owner::name, Owner::meaning);
    }

    #[test]
    fn the_index_of_a_metric_is_its_place_in_the_catalogue() {
        for (place, counter) in Counter::ALL.into_iter().enumerate() {
            assert_eq!(counter.index(), place);
        }
        for (place, stage) in Stage::ALL.into_iter().enumerate() {
            assert_eq!(stage.index(), place);
        }
    }
}
