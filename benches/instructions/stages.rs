//! The stages, each a small program that runs one of them again and again.

use std::hint::black_box;

use bytes::Bytes;
use corelane::engine::handler::HandlerContext;
use corelane::engine::ledger::Ledger;
use corelane::engine::message::{Answer, Inbound, ReplyTo, Request};
use corelane::engine::submitter::Entrance;
use corelane::frame::Correlation;
use corelane::geo::{ShardManager, ShardSpec};
use corelane::ids::{Acks, Nanos, Offset, ShardId, UnixMicros, UnixMillis};
use corelane::location::GeoLocation;
use corelane::log::sim::Pace;
use corelane::mesh::{self, Bells, Doorbell, EndpointId, Take};
use corelane::storage::positive_murmur2;
use corelane::transaction::{TransactionRef, codec};
use corelane::wire::batch::BatchView;
use corelane::wire::{BatchSpec, RecordSource, batch_len, write_batch};

use crate::core_rig::{Rig, Setup, body};
use crate::{Failure, counted};

/// A stage.
pub struct Stage {
    /// As it is chosen and written down.
    pub name: &'static str,
    /// What one time is.
    pub what: &'static str,
    /// Runs it so many times.
    pub run: fn(u64),
    /// How often it is run to be counted, and thrice that.
    pub times: u64,
}

/// In the order of a transaction's way.
pub const ALL: [Stage; 7] = [
    Stage {
        name: "encode",
        what: "a transaction of 100 bytes, encoded",
        run: encode,
        times: 2_000,
    },
    Stage {
        name: "decode",
        what: "the same, decoded in place",
        run: decode,
        times: 2_000,
    },
    Stage {
        name: "route",
        what: "nearest of 8 shards, and the partition of an id",
        run: route,
        times: 2_000,
    },
    Stage {
        name: "hop",
        what: "a message to another core: offered, polled, taken",
        run: hop,
        times: 2_000,
    },
    Stage {
        name: "check_batch",
        what: "a produced batch of 10 records of 100 bytes, its CRC and every record checked",
        run: check_batch,
        times: 500,
    },
    Stage {
        name: "transaction_1_core",
        what: "submitted, appended, durable, answered, processed on one core; acks=all, 50 bytes",
        run: |times| transactions(1, times),
        times: 20_000,
    },
    Stage {
        name: "transaction_2_cores",
        what: "the same on two cores: half of the transactions hop",
        run: |times| transactions(2, times),
        times: 20_000,
    },
];

/// The stages of these names, or all.
pub fn chosen(names: &[String]) -> Result<Vec<&'static Stage>, Failure> {
    const STAGES: &[Stage] = &ALL;
    if names.is_empty() {
        return Ok(STAGES.iter().collect());
    }
    let known = || STAGES.iter().map(|stage| stage.name).collect::<Vec<_>>();
    names
        .iter()
        .map(|name| {
            let found = STAGES.iter().find(|stage| stage.name == name);
            found.ok_or_else(|| {
                format!("no stage '{name}'; there are {}", known().join(", ")).into()
            })
        })
        .collect()
}

const PLACE: (f64, f64) = (51.1801, 71.44598);

fn place() -> GeoLocation {
    GeoLocation::new(PLACE.0, PLACE.1).expect("a place on Earth")
}

fn transaction(payload: &[u8]) -> TransactionRef<'_> {
    TransactionRef {
        id: b"764b60c3d9a2c3c5bb6fe7141d9ca6e6778122df75f19366a2c5cb948d1d7d84",
        client_location: place(),
        submitted_at: UnixMicros(1_700_000_000_000_000),
        amount: Some(629_948_405),
        payload,
    }
}

fn encode(times: u64) {
    let payload = [7; 100];
    let transaction = transaction(&payload);
    let mut out = Vec::with_capacity(1024);
    counted(&mut || {
        for _ in 0..times {
            out.clear();
            codec::encode(black_box(&transaction), &mut out).expect("within all bounds");
        }
    });
}

fn decode(times: u64) {
    let mut bytes = Vec::new();
    codec::encode(&transaction(&[7; 100]), &mut bytes).expect("within all bounds");
    counted(&mut || {
        for _ in 0..times {
            black_box(codec::decode(black_box(&bytes)).expect("encoded above"));
        }
    });
}

fn route(times: u64) {
    let shards = (0..8).map(|number| ShardSpec {
        id: ShardId(number),
        location: GeoLocation::new(
            f64::from(number) * 15.0 - 50.0,
            f64::from(number) * 40.0 - 150.0,
        )
        .expect("a place on Earth"),
    });
    let manager = ShardManager::new(shards.collect(), None).expect("a valid table");
    // All over the world, the same every time.
    let clients: Vec<GeoLocation> = (0..1000u32)
        .map(|n| {
            let (row, column) = (n * 37 % 171, n * 53 % 359);
            GeoLocation::new(f64::from(row) - 85.0, f64::from(column) - 179.0)
                .expect("a place on Earth")
        })
        .collect();
    let id = [b'7'; 64];
    counted(&mut || {
        for client in clients.iter().cycle().take(times as usize) {
            black_box(manager.determine_shard(black_box(*client)));
            black_box(positive_murmur2(black_box(&id)) % 16);
        }
    });
}

fn hop(times: u64) {
    let bells: Bells = (0..2).map(|_| Doorbell::default()).collect();
    let mut ports = mesh::build::<Request>(2, 64, &bells);
    let mut next = || ports.pop().expect("there are two");
    let (mut far, mut near) = (next(), next());
    let (from, to) = (EndpointId(0), EndpointId(1));
    let body = Bytes::from_static(b"a transaction");
    counted(&mut || {
        for number in 0..times {
            let message = Request::Inbound(Inbound {
                body: body.clone(),
                reply_to: ReplyTo {
                    endpoint: from,
                    connection: 0,
                    generation: 0,
                    correlation: Correlation(number),
                },
                acks: Acks::All,
                taken: Nanos(0),
                trace: None,
            });
            assert!(near.send(to, message).is_ok());
            far.poll(0..2, 1, |_, message| {
                black_box(message);
                Take::Stop
            });
        }
    });
}

fn check_batch(times: u64) {
    let value = [b'v'; 100];
    let records = || (0..10).map(|_| RecordSource::new(Some(b"key"), Some(&value)));
    let spec = BatchSpec {
        base_offset: Offset(0),
        base_timestamp: UnixMillis(1_700_000_000_000),
        max_timestamp: UnixMillis(1_700_000_000_000),
    };
    let mut bytes = vec![0; batch_len(records())];
    write_batch(&mut bytes, &spec, records());
    counted(&mut || {
        for _ in 0..times {
            let batch = BatchView::parse(black_box(&bytes)).expect("written above");
            for record in batch.records().expect("not compressed") {
                black_box(record.expect("written above"));
            }
        }
    });
}

type Factory = fn(&HandlerContext<'_>) -> Ledger;

/// Takes transactions through cores that are run by hand: the first half, which fills every table and
/// buffer, is not counted.
fn transactions(cores: u16, times: u64) {
    let mut rig = Rig::new(
        Setup {
            cores,
            ring: 256,
            in_flight_max: 512,
            outstanding_max: 256 / usize::from(cores),
            intake_budget: 64,
            batch_records_max: 256,
            outputs_bytes_max: 256 << 10,
            window: 1 << 16,
            segment_bytes: 64 << 20,
            tail_bytes: 2 << 20,
            pace: Pace::Polls(3),
            ..Setup::default()
        },
        Ledger::new as Factory,
    );
    let bodies = |prefix: &str| -> Vec<Bytes> {
        let body = |number| {
            let id = format!("{prefix}{number}");
            body(&id, number as usize % 2, number, &[7; 50])
        };
        (0..times).map(body).collect()
    };
    take_through(&mut rig, &mut bodies("warm"));
    let mut bodies = bodies("counted");
    counted(&mut || take_through(&mut rig, &mut bodies));
}

/// Submits `bodies`, which it takes out, and runs until all are answered and processed.
fn take_through(rig: &mut Rig<Factory>, bodies: &mut [Bytes]) {
    let (mut next, mut answered) = (0, 0);
    while answered < bodies.len() || !rig.statuses.iter().all(|status| status.is_quiet()) {
        while let Some(place) = bodies.get_mut(next) {
            let body = std::mem::take(place);
            if let Err(body) = rig.try_submit(0, Entrance::InTurn, body, Acks::All, next as u64) {
                *place = body;
                break;
            }
            next += 1;
        }
        rig.pass(20_000);
        let now = rig.now;
        for core in &mut rig.cores {
            core.run_once(now);
        }
        rig.step_keeper();
        rig.ports[0].poll(|_, answer| {
            assert!(matches!(answer, Answer::Stored(_)));
            answered += 1;
        });
    }
}
