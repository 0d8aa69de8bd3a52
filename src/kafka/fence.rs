//! Ending what a predecessor may still have under way.

use std::time::Duration;

use super::native::{ClientConf, KafkaError, NativeProducer};
use super::properties::Property;
use crate::ids::CpuId;

/// Fences every producer with the transactional id in `properties`: what it has open is aborted,
/// and it can begin nothing more. To be called on a housekeeping thread.
///
/// # Errors
/// The cluster does not answer within `timeout`, or refuses.
pub fn fence(properties: &[Property], cpus: &[CpuId], timeout: Duration) -> Result<(), KafkaError> {
    let mut conf = ClientConf::new(properties)?;
    conf.place_threads(cpus);
    NativeProducer::new(conf)?.transactions().init(timeout)
}
