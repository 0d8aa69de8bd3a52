//! The topics in a consumer's metadata.
//!
//! Owns: reading the part that all versions of the consumer protocol begin with. Never does: failing on
//! what follows it. Runs on: the core that owns stripe 0.

use std::collections::BTreeSet;

use super::Name;
use super::format::Reader;

/// The protocol type of consumers.
pub(super) const CONSUMER: &str = "consumer";

/// Adds the topics of a subscription: version i16, then an array of strings, whatever the version
/// (Kafka's `ConsumerProtocol`). `None` where the bytes are something else.
pub(super) fn topics(metadata: &[u8], into: &mut BTreeSet<Name>) -> Option<()> {
    let mut reader = Reader(metadata);
    reader.i16().filter(|version| *version >= 0)?;
    let count = reader.i32().filter(|count| *count >= 0)?;
    for _ in 0..count {
        let length = usize::try_from(reader.i16()?).ok()?;
        into.insert(reader.text(length)?);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(metadata: &[u8]) -> Option<Vec<Name>> {
        let mut topics = BTreeSet::new();
        super::topics(metadata, &mut topics)?;
        Some(topics.into_iter().collect())
    }

    #[test]
    fn topics_are_read_whatever_the_version_and_what_follows() {
        let bytes = b"\x00\x09\x00\x00\x00\x02\x00\x01b\x00\x02aa more";
        assert_eq!(read(bytes), Some(vec!["aa".into(), "b".into()]));
    }

    #[test]
    fn metadata_of_another_form_is_no_subscription() {
        for bytes in [
            &b""[..],
            b"\xff\xff\x00\x00\x00\x00",
            b"\x00\x00\xff\xff\xff\xff",
            b"\x00\x00\x7f\xff\xff\xff\x00\x01a",
            b"\x00\x00\x00\x00\x00\x01\xff\xff",
            b"\x00\x00\x00\x00\x00\x01\x00\x01\xff",
        ] {
            assert_eq!(read(bytes), None, "{bytes:?}");
        }
    }
}
