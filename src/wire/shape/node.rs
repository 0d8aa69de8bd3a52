//! Requests about the node itself, and those that open a connection.

use crate::wire::api;
use crate::wire::shape::{Field, boolean, bytes, int8, int32s, string, structs};

const SASL_HANDSHAKE: &[Field] = &[string("mechanism")];

const SASL_AUTHENTICATE: &[Field] = &[bytes("auth_bytes")];

const API_VERSIONS: &[Field] = &[
    string("client_software_name").since(3),
    string("client_software_version").since(3),
];

const DESCRIBE_LOG_DIRS: &[Field] = &[structs("topics", DESCRIBE_LOG_DIRS_TOPIC).nullable_since(0)];

const DESCRIBE_LOG_DIRS_TOPIC: &[Field] = &[string("topic"), int32s("partitions")];

const DESCRIBE_CLUSTER: &[Field] = &[
    boolean("include_cluster_authorized_operations"),
    int8("endpoint_type").since(1),
    boolean("include_fenced_brokers").since(2),
];

pub(super) fn fields(api_key: i16) -> Option<&'static [Field]> {
    Some(match api_key {
        api::SASL_HANDSHAKE => SASL_HANDSHAKE,
        api::SASL_AUTHENTICATE => SASL_AUTHENTICATE,
        api::API_VERSIONS => API_VERSIONS,
        api::DESCRIBE_LOG_DIRS => DESCRIBE_LOG_DIRS,
        api::DESCRIBE_CLUSTER => DESCRIBE_CLUSTER,
        _ => return None,
    })
}
