//! What Java's client calls its properties, in librdkafka's words.
//!
//! Owns: the names that differ, and those that mean nothing here. Never does: check values; librdkafka
//! refuses what it does not take, and names it.

use crate::kafka::properties::Property;

/// What becomes of a property of Java's client.
enum Fate {
    /// librdkafka calls it so.
    Named(&'static str),
    /// librdkafka calls it so, and counts in KiB where Java counts in bytes.
    InKib(&'static str),
    /// It is of no use here; why.
    Dropped(&'static str),
    /// Without it the load would be another one; why it cannot be had.
    Refused(&'static str),
}

use Fate::{Dropped, InKib, Named, Refused};

const NO_BLOCKING: &str = "no call of librdkafka's blocks for it";
const NO_CLASSES: &str = "records are bytes already";
const NO_GROUP: &str = "partitions are dealt out, no group is joined";
const NO_KEYSTORE: &str = "librdkafka reads PEM: use ssl.ca.location and its like";

/// Whatever is not here has the same name for librdkafka, or none.
const FATES: &[(&str, Fate)] = &[
    ("key.serializer", Dropped(NO_CLASSES)),
    ("value.serializer", Dropped(NO_CLASSES)),
    ("key.deserializer", Dropped(NO_CLASSES)),
    ("value.deserializer", Dropped(NO_CLASSES)),
    ("max.block.ms", Dropped(NO_BLOCKING)),
    ("default.api.timeout.ms", Dropped(NO_BLOCKING)),
    (
        "max.poll.records",
        Dropped("a poll takes up to 1024 records"),
    ),
    (
        "auto.offset.reset",
        Dropped("topics are read from their start"),
    ),
    ("enable.auto.commit", Dropped("no position is committed")),
    (
        "auto.commit.interval.ms",
        Dropped("no position is committed"),
    ),
    ("group.id", Dropped(NO_GROUP)),
    ("group.instance.id", Dropped(NO_GROUP)),
    ("session.timeout.ms", Dropped(NO_GROUP)),
    ("heartbeat.interval.ms", Dropped(NO_GROUP)),
    ("max.poll.interval.ms", Dropped(NO_GROUP)),
    ("partition.assignment.strategy", Dropped(NO_GROUP)),
    ("buffer.memory", InKib("queue.buffering.max.kbytes")),
    ("max.request.size", Named("message.max.bytes")),
    ("fetch.max.wait.ms", Named("fetch.wait.max.ms")),
    ("send.buffer.bytes", Named("socket.send.buffer.bytes")),
    ("receive.buffer.bytes", Named("socket.receive.buffer.bytes")),
    ("ssl.truststore.location", Refused(NO_KEYSTORE)),
    ("ssl.keystore.location", Refused(NO_KEYSTORE)),
    (
        "transactional.id",
        Refused("records are sent one by one, in no transaction"),
    ),
    ("partitioner.class", Refused("use librdkafka's partitioner")),
    ("interceptor.classes", Refused("there are no classes here")),
];

/// Properties of Java's client as librdkafka's; and what is left out, with the reason.
///
/// # Errors
/// A property without which the load would be another one.
pub fn translate(java: &[Property]) -> Result<(Vec<Property>, Vec<String>), String> {
    let (mut native, mut notes) = (Vec::new(), Vec::new());
    for (name, value) in java {
        if name == "sasl.jaas.config" {
            native.extend(jaas(value)?);
            continue;
        }
        let fate = FATES.iter().find(|(known, _)| known == name);
        match fate.map(|(_, fate)| fate) {
            None => native.push((name.clone(), value.clone())),
            Some(Named(to)) => native.push(((*to).to_owned(), value.clone())),
            Some(InKib(to)) => {
                let bytes: u64 = value
                    .parse()
                    .map_err(|_| format!("{name}: '{value}' is no number of bytes"))?;
                native.push(((*to).to_owned(), (bytes / 1024).max(1).to_string()));
            }
            Some(Dropped(why)) => notes.push(format!("{name} is left out: {why}")),
            Some(Refused(why)) => return Err(format!("{name}: {why}")),
        }
    }
    Ok((native, notes))
}

/// User and password of a line such as `...LoginModule required username="a" password="b";`.
fn jaas(line: &str) -> Result<Vec<Property>, String> {
    let part = |key: &str| {
        let after = line.split_once(&format!("{key}=\""))?.1;
        after.split_once('"').map(|(value, _)| value.to_owned())
    };
    match (part("username"), part("password")) {
        (Some(user), Some(password)) => Ok(vec![
            ("sasl.username".to_owned(), user),
            ("sasl.password".to_owned(), password),
        ]),
        _ => {
            Err("sasl.jaas.config: only a module with username and password can be used".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::native::ClientConf;

    fn property(name: &str, value: &str) -> Property {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn every_name_that_a_property_gets_is_one_of_librdkafkas() {
        let java: Vec<Property> = FATES
            .iter()
            .filter(|(_, fate)| matches!(fate, Named(_) | InKib(_)))
            .map(|(name, _)| property(name, "1048576"))
            .collect();
        let (native, notes) = translate(&java).unwrap();
        assert_eq!(native.len(), java.len());
        assert!(notes.is_empty());
        for (name, value) in native {
            // A number out of a property's range would be another error.
            let error = ClientConf::new(&[(name, value)]).err();
            let is_unknown = error.is_some_and(|it| it.to_string().contains("no such property"));
            assert!(!is_unknown);
        }
    }

    #[test]
    fn what_is_left_out_or_impossible_is_named() {
        let (native, notes) = translate(&[
            property("linger.ms", "1"),
            property("max.poll.records", "500"),
            property("buffer.memory", "33554432"),
        ])
        .unwrap();
        let expected = [
            property("linger.ms", "1"),
            property("queue.buffering.max.kbytes", "32768"),
        ];
        assert_eq!(native, expected);
        assert!(notes[0].starts_with("max.poll.records is left out"));
        for name in [
            "ssl.keystore.location",
            "transactional.id",
            "partitioner.class",
        ] {
            let error = translate(&[property(name, "x")]).unwrap_err();
            assert!(error.starts_with(name), "{error}");
        }
        let login = "org.apache.kafka.X required username=\"me\" password=\"p=w\";";
        let (native, _) = translate(&[property("sasl.jaas.config", login)]).unwrap();
        assert_eq!(
            native,
            [
                property("sasl.username", "me"),
                property("sasl.password", "p=w")
            ]
        );
        assert!(translate(&[property("sasl.jaas.config", "x")]).is_err());
        assert!(translate(&[property("buffer.memory", "x")]).is_err());
    }
}
