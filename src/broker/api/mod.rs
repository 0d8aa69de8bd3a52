//! A file per API, or per few that are alike: from a request to its answer.

pub(super) mod describe;
pub(super) mod fetch;
pub(super) mod gather;
pub(super) mod metadata;
pub(super) mod offsets;
pub(super) mod produce;

use kafka_protocol::messages::{RequestKind, ResponseKind};

use crate::log::disk::Disk;
use crate::wire::api;
use crate::wire::request::RequestHeader;

use super::cold;
use super::coordinator::Caller;
use super::core::{Around, Broker};
use super::desk::{Answer, Call};
use super::underway::{Client, Work};

impl Broker {
    /// Executes a client's request.
    pub(super) fn dispatch<D: Disk>(&mut self, call: Call, around: &mut Around<'_, D>) {
        let client = Client {
            origin: call.origin,
            listener: call.listener,
            key: call.key,
            version: call.version,
            correlation_id: call.correlation_id,
        };
        match call.key {
            api::PRODUCE => self.produce(client, call.frame, call.body, around),
            api::FETCH => self.fetch(client, call.frame, call.body, around),
            _ => self.rare(client, &call, around),
        }
    }

    /// Executes a request that kafka-protocol decodes.
    fn rare<D: Disk>(&mut self, client: Client, call: &Call, around: &mut Around<'_, D>) {
        let request = match cold::decode(call.key, call.version, call.frame.slice(call.body..)) {
            Ok(request) => request,
            Err(error) => {
                tracing::debug!(host = %call.host, %error, "a request cannot be read");
                return self.answer(&client, Answer::HangUp);
            }
        };
        let version = call.version;
        #[allow(clippy::wildcard_enum_match_arm)] // The enum of all of Kafka's requests.
        match request {
            RequestKind::Metadata(request) => self.metadata_asked(client, request),
            RequestKind::FindCoordinator(request) => {
                let endpoint = &self.view.endpoints[usize::from(client.listener)];
                let response = metadata::find_coordinator(&request, version, &self.view, endpoint);
                self.respond(&client, &response);
            }
            RequestKind::DescribeCluster(request) => {
                let endpoint = &self.view.endpoints[usize::from(client.listener)];
                let response = describe::cluster(&request, &self.view, endpoint);
                self.respond(&client, &ResponseKind::DescribeCluster(response));
            }
            RequestKind::DescribeTopicPartitions(request) => {
                let response = describe::topic_partitions(&request, &self.view);
                self.respond(&client, &ResponseKind::DescribeTopicPartitions(response));
            }
            RequestKind::ListOffsets(request) => {
                let (response, parts) = offsets::list_offsets(&request, &self.view);
                self.gather(client, response, parts, around);
            }
            RequestKind::OffsetForLeaderEpoch(request) => {
                let (response, parts) = offsets::leader_epochs(&request, &self.view);
                self.gather(client, response, parts, around);
            }
            RequestKind::DeleteRecords(request) => {
                let (response, parts) = offsets::delete_records(&request, &self.view);
                self.gather(client, response, parts, around);
            }
            RequestKind::DescribeProducers(request) => {
                let (response, parts) = offsets::producers(&request, &self.view);
                self.gather(client, response, parts, around);
            }
            RequestKind::DescribeLogDirs(request) => {
                let directory = &self.options.directory;
                let (response, parts) = offsets::log_dirs(&request, &self.view, directory);
                self.gather(client, response, parts, around);
            }
            request @ (RequestKind::CreateTopics(_)
            | RequestKind::DeleteTopics(_)
            | RequestKind::CreatePartitions(_)
            | RequestKind::DescribeConfigs(_)
            | RequestKind::AlterConfigs(_)
            | RequestKind::IncrementalAlterConfigs(_)) => {
                self.administer(client, request, Work::Administered);
            }
            request => {
                let header = RequestHeader::parse(&call.frame).ok();
                let client_id = header.and_then(|header| header.client_id);
                let caller = Caller {
                    client_id: client_id.unwrap_or_default().to_owned(),
                    host: call.host.to_string(),
                };
                self.coordinate(client, caller, request, around);
            }
        }
    }
}
