//! Part `fetch`: records that lie in memory, to one connection.
//!
//! The client of the first figure asks for the next answer before it reads the one before, and looks
//! at no record, so that what is measured is the broker and loopback. librdkafka, which makes a
//! message of each record, is the second.

use std::io::{self, Read};
use std::net::{SocketAddr, TcpStream};

use corelane::clock;
use kafka_protocol::messages::FetchRequest;
use kafka_protocol::records::Compression;

use crate::bare::BareConsumer;
use crate::echo::Stream;
use crate::kafka_peer::{Peer, batch, fetch_request, request_bytes};
use crate::place::Place;
use crate::report::{Bound, Check, Rates, Section, rate_ratio, seconds};
use crate::stage::{Stage, properties};
use crate::values::{KIND, Values};
use crate::{Failure, RECORD_BYTES, Scale};

/// Records of a batch: about as many as librdkafka puts into its largest by default.
const BATCH_RECORDS: usize = 9_000;

/// Bytes that an answer may have: as many as clients ask of a partition who read fast.
const ANSWER_BYTES: i32 = 4 << 20;

/// Bytes that are read from a socket at once.
const READ_BYTES: usize = 1 << 20;

/// Offsets from which is read in turn, so that not the same bytes lie in the CPU's cache.
const STARTS: usize = 4;

/// Reads and forgets so many bytes.
fn skim(stream: &mut TcpStream, bytes: usize, buffer: &mut [u8]) -> io::Result<()> {
    let mut left = bytes;
    while left > 0 {
        let room = left.min(buffer.len());
        match stream.read(&mut buffer[..room])? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => left -= count,
        }
    }
    Ok(())
}

/// Reads a frame and forgets it. Its bytes.
fn skim_frame(stream: &mut TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let bytes = i32::from_be_bytes(length).unsigned_abs() as usize;
    skim(stream, bytes, buffer)?;
    Ok(bytes)
}

/// A connection that fetches from one partition.
struct Fetcher {
    peer: Peer,
    /// Requests as they are sent, and how long their answers are.
    requests: Vec<(bytes::Bytes, usize)>,
    buffer: Vec<u8>,
}

impl Fetcher {
    /// Fills the partition and sees that what is asked for comes.
    fn new(place: &Place, topic: &str, bytes: usize) -> Result<Fetcher, Failure> {
        const VERSION: i16 = 12;
        let address: SocketAddr = place.brokers().parse()?;
        let mut peer = Peer::connect(address);
        let values = Values::new(RECORD_BYTES);
        let records: Vec<&[u8]> = (0..BATCH_RECORDS).map(|n| values.borrow(n)).collect();
        let batch = batch(&records, Compression::None, None);
        let batches = bytes.div_ceil(BATCH_RECORDS * RECORD_BYTES).max(STARTS);
        for _ in 0..batches {
            let produced = peer.produce(topic, 0, batch.clone());
            if produced.error != 0 {
                return Err(format!("a batch was refused: error {}", produced.error).into());
            }
        }
        let mut buffer = vec![0; READ_BYTES];
        let mut requests = Vec::new();
        for start in 0..STARTS {
            // From the last one so much is left that the answer is whole.
            let from = batches * start / (2 * STARTS) * BATCH_RECORDS;
            let mut request = fetch_request(topic, 0, from as i64);
            request.max_bytes = ANSWER_BYTES;
            request.topics[0].partitions[0].partition_max_bytes = ANSWER_BYTES;
            peer.say(VERSION, &request);
            let answer = peer.answer::<FetchRequest>(VERSION).ok_or("no answer")?;
            let partition = &answer.responses[0].partitions[0];
            let records = partition.records.as_ref().map_or(0, bytes::Bytes::len);
            if partition.error_code != 0 || records < batch.len() {
                return Err(format!("no records at offset {from}").into());
            }
            let request = request_bytes(VERSION, 0, &request);
            peer.send(&request)?;
            let bytes = skim_frame(&mut peer.stream, &mut buffer)?;
            requests.push((request, bytes));
        }
        Ok(Fetcher {
            peer,
            requests,
            buffer,
        })
    }

    /// Bytes of so many answers.
    fn bytes(&self, answers: usize) -> usize {
        (0..answers).map(|at| self.requests[at % STARTS].1).sum()
    }

    /// Seconds for so many answers, one of which is always asked for in advance.
    fn run(&mut self, answers: usize) -> Result<f64, Failure> {
        let start = clock::monotonic();
        self.peer.send(&self.requests[0].0)?;
        for at in 0..answers {
            if at + 1 < answers {
                self.peer.send(&self.requests[(at + 1) % STARTS].0)?;
            }
            let bytes = skim_frame(&mut self.peer.stream, &mut self.buffer)?;
            if bytes != self.requests[at % STARTS].1 {
                return Err(format!("an answer of {bytes} B").into());
            }
        }
        Ok(seconds(start, clock::monotonic()))
    }
}

/// Seconds for plain bytes over loopback.
fn plain(stream: &mut Stream, bytes: usize, buffer: &mut [u8]) -> Result<f64, Failure> {
    let start = clock::monotonic();
    skim(stream.order(bytes), bytes, buffer)?;
    Ok(seconds(start, clock::monotonic()))
}

/// Seconds in which librdkafka reads so many records from the partition's start.
fn consume(consumer: &mut BareConsumer, records: usize) -> Result<f64, Failure> {
    const WAIT_MS: i32 = 1_000;
    let start = clock::monotonic();
    consumer.assign(Some(0))?;
    let mut count = 0;
    while count < records {
        consumer.poll(WAIT_MS, |_, _| count += 1)?;
    }
    let seconds = seconds(start, clock::monotonic());
    consumer.assign(None)?;
    Ok(seconds)
}

/// A broker by raw requests and by librdkafka.
struct Contender {
    raw: (Fetcher, Rates),
    librdkafka: (BareConsumer, Rates),
}

impl Contender {
    fn new(
        place: &Place,
        topic: &str,
        bytes: usize,
        [raw, librdkafka]: [&'static str; 2],
    ) -> Result<Contender, Failure> {
        let settings = [
            ("group.id", "corelane-bench"),
            ("enable.auto.commit", "false"),
        ];
        Ok(Contender {
            raw: (Fetcher::new(place, topic, bytes)?, Rates::new(raw)),
            librdkafka: (
                BareConsumer::new(&properties(place, &settings), topic)?,
                Rates::new(librdkafka),
            ),
        })
    }
}

pub fn run(stage: &Stage, scale: &Scale) -> Result<Section, Failure> {
    let topic = stage.ours.topic("fetch", 1)?;
    let names = ["corelane, raw", "corelane, librdkafka"];
    let mut contenders = vec![Contender::new(
        &stage.ours,
        &topic.name,
        scale.cached_bytes,
        names,
    )?];
    let kafka = stage
        .kafka
        .as_ref()
        .map(|kafka| Ok::<_, Failure>((kafka, kafka.topic("fetch", 1)?)));
    let kafka = kafka.transpose()?;
    if let Some((kafka, topic)) = &kafka {
        let names = ["Apache Kafka, raw", "Apache Kafka, librdkafka"];
        contenders.push(Contender::new(
            kafka,
            &topic.name,
            scale.cached_bytes,
            names,
        )?);
    }
    let records = scale.cached_bytes / RECORD_BYTES;
    let mut stream = Stream::new(READ_BYTES)?;
    let mut buffer = vec![0; READ_BYTES];
    let mut loopback = Rates::new("plain bytes over loopback");
    for _ in 0..scale.rounds {
        let bytes = contenders[0].raw.0.bytes(scale.fetches);
        loopback.add(
            bytes / RECORD_BYTES,
            plain(&mut stream, bytes, &mut buffer)?,
        );
        for Contender { raw, librdkafka } in &mut contenders {
            let bytes = raw.0.bytes(scale.fetches);
            raw.1.add(bytes / RECORD_BYTES, raw.0.run(scale.fetches)?);
            librdkafka
                .1
                .add(records, consume(&mut librdkafka.0, records)?);
        }
    }
    let ours = &contenders[0].raw.1;
    let gigabytes = ours.median() * RECORD_BYTES as f64 / 1e9;
    let ratio = rate_ratio(ours, &loopback);
    let mut rates = vec![loopback.row(RECORD_BYTES)];
    for Contender { raw, librdkafka } in &contenders {
        rates.extend([raw.1.row(RECORD_BYTES), librdkafka.1.row(RECORD_BYTES)]);
    }
    Ok(Section {
        part: "fetch",
        settings: format!(
            "{} answers of up to {} MiB from memory, records of {RECORD_BYTES} B ({KIND}) in batches of \
             {BATCH_RECORDS}, one connection, {} rounds; raw records/s count {RECORD_BYTES} B of any kind",
            scale.fetches,
            ANSWER_BYTES >> 20,
            scale.rounds
        ),
        latencies: Vec::new(),
        rates,
        checks: vec![
            Check::told("corelane, raw, GB/s", gigabytes),
            Check::told("corelane, raw / loopback", ratio),
            Check::new(
                "the better of GB/s and ratio / 0.8",
                gigabytes.max(ratio / 0.8),
                Bound::AtLeast(1.0),
            ),
        ],
    })
}
