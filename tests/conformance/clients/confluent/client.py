"""confluent-kafka against a broker.

client.py topics ADDRESS TOPIC...            makes topics of two partitions
client.py produce ADDRESS RECORDS TOPIC CODEC
client.py read ADDRESS RECORDS TOPIC...      compares every byte, a line of results a topic
client.py own ADDRESS PREFIX                 tests of its own: groups, transactions, administration
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "common"))

import records  # noqa: E402
import administration  # noqa: E402
import groups  # noqa: E402
import transactions  # noqa: E402
from support import PATIENCE_SECONDS, Broker, read_to_end  # noqa: E402

NAME = "confluent"


def topics(broker, *names):
    for name in names:
        broker.make_topic(name, 2)


def produce(broker, path, topic, codec):
    errors = []
    # Lingers, so that there are batches to compress.
    producer = broker.producer(compression_type=codec, linger_ms=50, message_max_bytes=4000000)
    for partition, written in records.load(path, NAME).items():
        for record in written:
            producer.produce(
                topic,
                record.value,
                record.key,
                partition=partition,
                timestamp=record.timestamp,
                headers=record.headers,
                on_delivery=lambda error, _: error and errors.append(error),
            )
    left = producer.flush(PATIENCE_SECONDS)
    if left or errors:
        raise AssertionError("{} not delivered, errors {}".format(left, errors[:3]))


def read_topic(broker, path, topic):
    writer = records.writer_of(topic)
    consumer = broker.consumer("read." + topic)
    try:
        for partition, written in records.load(path, writer).items():
            messages = read_to_end(consumer, topic, partition)
            difference = records.differences(
                [expected(record, writer) for record in written],
                [found(message, writer) for message in messages],
            )
            if difference:
                raise AssertionError("partition {}: {}".format(partition, difference))
    finally:
        consumer.close()


def expected(record, writer):
    fields = [("key", record.key), ("value", record.value), ("headers", record.headers)]
    # kcat cannot set timestamps.
    return fields if writer == "kcat" else fields + [("timestamp", record.timestamp)]


def found(message, writer):
    fields = [
        ("key", message.key()),
        ("value", message.value()),
        ("headers", message.headers() or []),
    ]
    return fields if writer == "kcat" else fields + [("timestamp", message.timestamp()[1])]


def own(broker):
    for part in (groups, transactions, administration):
        for name, test in part.TESTS:
            records.report(name, test, broker)


def main():
    command, address, *rest = sys.argv[1:]
    if command == "topics":
        topics(Broker(address, ""), *rest)
    elif command == "produce":
        path, topic, codec = rest
        records.report("writes with " + codec, produce, Broker(address, ""), path, topic, codec)
    elif command == "read":
        path, *names = rest
        for name in names:
            records.report("reads " + name, read_topic, Broker(address, ""), path, name)
    elif command == "own":
        own(Broker(address, rest[0]))


if __name__ == "__main__":
    main()
