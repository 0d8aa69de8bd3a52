//! A connection that speaks Kafka's protocol, or says anything else, to see what the broker makes of
//! it. What it says well is encoded by `kafka-protocol`, not by our own codec.

#![allow(dead_code)] // Each test uses its own part of this.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use corelane::exactly_once::producers::Membership;
use flate2::write::GzEncoder;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::init_producer_id_request::InitProducerIdRequest;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    ApiVersionsRequest, BrokerId, FetchRequest, ListOffsetsRequest, MetadataRequest,
    ProduceRequest, RequestHeader, ResponseHeader, TopicName,
};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};
use kafka_protocol::records::{
    Compression, NO_PARTITION_LEADER_EPOCH, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, NO_SEQUENCE, Record,
    RecordBatchEncoder, RecordEncodeOptions, TimestampType,
};

/// How long a broker may take for an answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Versions that these helpers speak.
const PRODUCE_VERSION: i16 = 9;
const FETCH_VERSION: i16 = 12;
const LIST_OFFSETS_VERSION: i16 = 7;
const METADATA_VERSION: i16 = 9;
const INIT_PRODUCER_ID_VERSION: i16 = 4;

/// Who writes a batch, and which of its batches it is.
#[derive(Clone, Copy, Debug)]
pub struct Sequence {
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub first: i32,
    pub membership: Membership,
}

/// What a Produce of one partition got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Produced {
    pub error: i16,
    pub base_offset: i64,
}

/// A connection.
pub struct Peer {
    pub stream: TcpStream,
    correlation_id: i32,
}

impl Peer {
    /// Connects and says nothing.
    pub fn connect(address: SocketAddr) -> Peer {
        Peer::try_connect(address).expect("the broker listens")
    }

    /// The same with a broker that may be down.
    pub fn try_connect(address: SocketAddr) -> io::Result<Peer> {
        let stream = TcpStream::connect(address)?;
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("the timeout is not zero");
        stream
            .set_nodelay(true)
            .expect("a socket that is connected");
        Ok(Peer {
            stream,
            correlation_id: 0,
        })
    }

    /// Sends bytes. The broker may have closed before, which is for the reader to notice.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Says that no more will come.
    pub fn end_sending(&self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// The next frame without its length; none where the broker has closed.
    pub fn frame(&mut self) -> Option<Bytes> {
        let mut length = [0; 4];
        self.fill(&mut length)?;
        let length = i32::from_be_bytes(length);
        let mut frame = vec![0; usize::try_from(length).expect("a length is not negative")];
        self.fill(&mut frame).expect("a frame is sent whole");
        Some(frame.into())
    }

    /// Whole frames until the broker closes.
    pub fn rest(&mut self) -> Vec<Bytes> {
        std::iter::from_fn(|| self.frame()).collect()
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Option<()> {
        match self.stream.read_exact(bytes) {
            Ok(()) => Some(()),
            // Reset: it closed while bytes to it were still on their way.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset
                ) =>
            {
                None
            }
            Err(error) => panic!("the broker neither answers nor closes: {error}"),
        }
    }

    /// Sends a request.
    pub fn say<R: Request>(&mut self, version: i16, request: &R) {
        self.correlation_id += 1;
        let bytes = request_bytes(version, self.correlation_id, request);
        self.send(&bytes).expect("the broker reads");
    }

    /// The answer to the request that was sent last; none where the broker has closed.
    pub fn answer<R: Request>(&mut self, version: i16) -> Option<R::Response> {
        let frame = self.frame()?;
        Some(self.decode::<R>(version, frame))
    }

    fn decode<R: Request>(&self, version: i16, mut frame: Bytes) -> R::Response {
        let header = ResponseHeader::decode(
            &mut frame,
            <R::Response as HeaderVersion>::header_version(version),
        )
        .expect("a response header");
        assert_eq!(header.correlation_id, self.correlation_id);
        let response = <R::Response as Decodable>::decode(&mut frame, version).expect("a response");
        assert!(!frame.has_remaining(), "bytes after the response");
        response
    }

    /// Asks and waits for the answer; none where the broker closes instead.
    pub fn try_ask<R: Request>(&mut self, version: i16, request: &R) -> Option<R::Response> {
        self.say(version, request);
        self.answer::<R>(version)
    }

    /// Asks a broker that may be killed at any moment; none where it was.
    pub fn ask_mortal<R: Request>(&mut self, version: i16, request: &R) -> Option<R::Response> {
        self.correlation_id += 1;
        let bytes = request_bytes(version, self.correlation_id, request);
        self.send(&bytes).ok()?;
        let mut length = [0; 4];
        self.fill(&mut length)?;
        let length = i32::from_be_bytes(length);
        let mut frame = vec![0; usize::try_from(length).expect("a length is not negative")];
        self.fill(&mut frame)?;
        Some(self.decode::<R>(version, frame.into()))
    }

    /// Asks and waits for the answer.
    pub fn ask<R: Request>(&mut self, version: i16, request: &R) -> R::Response {
        self.try_ask(version, request)
            .unwrap_or_else(|| panic!("no answer to request {} version {version}", R::KEY))
    }

    /// Makes a topic if it is missing, and waits until it can be used.
    pub fn make_topic(&mut self, topic: &str) {
        let request = MetadataRequest::default()
            .with_topics(Some(vec![
                MetadataRequestTopic::default().with_name(Some(name(topic))),
            ]))
            .with_allow_auto_topic_creation(true);
        for _ in 0..1000 {
            let response = self.ask(METADATA_VERSION, &request);
            let row = response.topics.first().expect("one row per topic");
            match row.error_code {
                0 => return,
                // LEADER_NOT_AVAILABLE, UNKNOWN_TOPIC_OR_PARTITION: it is being made.
                3 | 5 => std::thread::sleep(Duration::from_millis(5)),
                error => panic!("{topic} cannot be made: error {error}"),
            }
        }
        panic!("{topic} was not made");
    }

    /// Writes one batch, `acks=all`.
    pub fn produce(&mut self, topic: &str, partition: i32, batch: Bytes) -> Produced {
        let request = produce_request(topic, partition, batch);
        let response = self.ask(PRODUCE_VERSION, &request);
        let row = &response.responses[0].partition_responses[0];
        Produced {
            error: row.error_code,
            base_offset: row.base_offset,
        }
    }

    /// The offset after the last record that readers see.
    pub fn end_offset(&mut self, topic: &str, partition: i32) -> i64 {
        let partition = ListOffsetsPartition::default()
            .with_partition_index(partition)
            .with_current_leader_epoch(-1)
            .with_timestamp(-1);
        let topic = ListOffsetsTopic::default()
            .with_name(name(topic))
            .with_partitions(vec![partition]);
        let request = ListOffsetsRequest::default()
            .with_replica_id(BrokerId(-1))
            .with_topics(vec![topic]);
        let response = self.ask(LIST_OFFSETS_VERSION, &request);
        let row = &response.topics[0].partitions[0];
        assert_eq!(row.error_code, 0, "the end of a partition");
        row.offset
    }

    /// The bytes of batches from an offset on, as they are sent.
    pub fn fetch(&mut self, topic: &str, partition: i32, from: i64) -> Bytes {
        self.say(FETCH_VERSION, &fetch_request(topic, partition, from));
        let response = self.answer::<FetchRequest>(FETCH_VERSION);
        let response = response.expect("an answer");
        assert_eq!(response.error_code, 0, "a fetch");
        let row = &response.responses[0].partitions[0];
        assert_eq!(row.error_code, 0, "a partition of a fetch");
        row.records.clone().unwrap_or_default()
    }

    /// A producer id with an epoch, not transactional.
    pub fn producer(&mut self) -> Sequence {
        let request = InitProducerIdRequest::default()
            .with_transactional_id(None)
            .with_transaction_timeout_ms(60_000);
        let response = self.ask(INIT_PRODUCER_ID_VERSION, &request);
        assert_eq!(response.error_code, 0, "a producer id");
        Sequence {
            producer_id: response.producer_id.0,
            producer_epoch: response.producer_epoch,
            first: 0,
            membership: Membership::Plain,
        }
    }

    /// The broker answers: APIs that it offers.
    pub fn api_versions(&mut self) -> Option<usize> {
        let response = self.try_ask(0, &ApiVersionsRequest::default())?;
        assert_eq!(response.error_code, 0, "ApiVersions");
        Some(response.api_keys.len())
    }
}

/// A name of a topic as the protocol has it.
pub fn name(topic: &str) -> TopicName {
    TopicName(StrBytes::from_string(topic.to_owned()))
}

/// One batch for one partition, `acks=all`.
pub fn produce_request(topic: &str, partition: i32, batch: Bytes) -> ProduceRequest {
    let data = PartitionProduceData::default()
        .with_index(partition)
        .with_records(Some(batch));
    let topic = TopicProduceData::default()
        .with_name(name(topic))
        .with_partition_data(vec![data]);
    ProduceRequest::default()
        .with_acks(-1)
        .with_timeout_ms(30_000)
        .with_topic_data(vec![topic])
}

/// Everything from an offset on, without waiting.
pub fn fetch_request(topic: &str, partition: i32, from: i64) -> FetchRequest {
    let partition = FetchPartition::default()
        .with_partition(partition)
        .with_current_leader_epoch(-1)
        .with_fetch_offset(from)
        .with_log_start_offset(-1)
        .with_partition_max_bytes(i32::MAX);
    let topic = FetchTopic::default()
        .with_topic(name(topic))
        .with_partitions(vec![partition]);
    FetchRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_max_wait_ms(0)
        .with_min_bytes(0)
        .with_max_bytes(i32::MAX)
        .with_session_epoch(-1)
        .with_topics(vec![topic])
}

/// A request as it goes over the wire, length included.
pub fn request_bytes<R: Request>(version: i16, correlation_id: i32, request: &R) -> Bytes {
    let header = RequestHeader::default()
        .with_request_api_key(R::KEY)
        .with_request_api_version(version)
        .with_correlation_id(correlation_id)
        .with_client_id(Some(StrBytes::from_static_str("peer")));
    let mut bytes = BytesMut::new();
    bytes.put_i32(0);
    header
        .encode(&mut bytes, R::header_version(version))
        .expect("a good header");
    request.encode(&mut bytes, version).expect("a good request");
    with_length(bytes)
}

/// A request whose body may be none: the key and version as they are, any header version.
pub fn any_request(key: i16, version: i16, header_tags: &[u8], body: &[u8]) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_i32(0);
    bytes.put_i16(key);
    bytes.put_i16(version);
    bytes.put_i32(77);
    bytes.put_i16(4);
    bytes.put_slice(b"peer");
    bytes.put_slice(header_tags);
    bytes.put_slice(body);
    with_length(bytes)
}

fn with_length(mut bytes: BytesMut) -> Bytes {
    let length = i32::try_from(bytes.len() - 4).expect("a request of less than 2 GiB");
    bytes[..4].copy_from_slice(&length.to_be_bytes());
    bytes.freeze()
}

/// A batch of these values, by a producer or by nobody in particular.
pub fn batch(values: &[&[u8]], compression: Compression, by: Option<Sequence>) -> Bytes {
    let records: Vec<Record> = (0..)
        .zip(values)
        .map(|(number, value)| Record {
            transactional: by.is_some_and(|by| by.membership == Membership::Transactional),
            control: false,
            delete_horizon: false,
            partition_leader_epoch: NO_PARTITION_LEADER_EPOCH,
            producer_id: by.map_or(NO_PRODUCER_ID, |by| by.producer_id),
            producer_epoch: by.map_or(NO_PRODUCER_EPOCH, |by| by.producer_epoch),
            timestamp_type: TimestampType::Creation,
            offset: i64::from(number),
            sequence: by.map_or(NO_SEQUENCE + number, |by| by.first + number),
            timestamp: 1_700_000_000_000,
            key: None,
            value: Some(Bytes::copy_from_slice(value)),
            headers: Default::default(),
        })
        .collect();
    let mut bytes = BytesMut::new();
    let options = RecordEncodeOptions {
        version: 2,
        compression,
    };
    let pack = |plain: &mut BytesMut, packed: &mut BytesMut, codec: Compression| {
        packed.extend_from_slice(&compressed(plain, codec));
        Ok(())
    };
    RecordBatchEncoder::encode_with_custom_compression(&mut bytes, &records, &options, Some(pack))
        .expect("good records");
    bytes.freeze()
}

/// By the codecs' own crates: `kafka-protocol` is built without them.
fn compressed(plain: &[u8], codec: Compression) -> Vec<u8> {
    match codec {
        Compression::None => plain.to_vec(),
        Compression::Gzip => {
            let mut packer = GzEncoder::new(Vec::new(), flate2::Compression::default());
            packer.write_all(plain).expect("memory takes all");
            packer.finish().expect("memory takes all")
        }
        Compression::Zstd => zstd::encode_all(plain, 3).expect("memory takes all"),
        Compression::Snappy | Compression::Lz4 => panic!("no test packs with {codec:?}"),
    }
}

/// A plain batch of one record.
pub fn one_record(value: &[u8]) -> Bytes {
    batch(&[value], Compression::None, None)
}
