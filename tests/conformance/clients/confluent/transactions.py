"""Idempotence and transactions by confluent-kafka."""

import time

from confluent_kafka import KafkaException, TopicPartition

from support import PATIENCE_SECONDS, expect, poll_values, produce, read_to_end, values_of


def transactional(broker, suffix, **settings):
    producer = broker.producer(transactional_id=broker.name(suffix), **settings)
    producer.init_transactions(PATIENCE_SECONDS)
    return producer


def values(broker, topic, isolation):
    consumer = broker.consumer(broker.name("reader"), isolation_level=isolation)
    try:
        return values_of(read_to_end(consumer, topic))
    finally:
        consumer.close()


def expect_committed(broker, topic, expected, what):
    """What a reader of committed records finds, at once or in a while: the end of a transaction is
    acknowledged when it is decided, and its partitions are told after that."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    found = values(broker, topic, "read_committed")
    while found != expected and time.monotonic() < deadline:
        found = values(broker, topic, "read_committed")
    expect(found, expected, what)


def committed_and_aborted(broker):
    topic = broker.name("transactions")
    broker.make_topic(topic, 1)
    producer = transactional(broker, "transactions-id")
    for round_, ends in enumerate(["commit", "abort", "commit"]):
        producer.begin_transaction()
        produce(producer, topic, [b"%d-%d" % (round_, n) for n in range(10)])
        if ends == "commit":
            producer.commit_transaction(PATIENCE_SECONDS)
        else:
            producer.abort_transaction(PATIENCE_SECONDS)
    written = [[b"%d-%d" % (round_, n) for n in range(10)] for round_ in range(3)]
    expect_committed(broker, topic, written[0] + written[2], "read_committed")
    expect(values(broker, topic, "read_uncommitted"), sum(written, []), "read_uncommitted")


def open_transaction_is_not_seen(broker):
    topic = broker.name("open")
    broker.make_topic(topic, 1)
    produce(broker.producer(), topic, [b"before"])
    producer = transactional(broker, "open-id")
    producer.begin_transaction()
    produce(producer, topic, [b"inside"])
    produce(broker.producer(), topic, [b"after"])
    expect(values(broker, topic, "read_committed"), [b"before"], "while it is open")
    expect(
        values(broker, topic, "read_uncommitted"), [b"before", b"inside", b"after"], "uncommitted"
    )
    producer.commit_transaction(PATIENCE_SECONDS)
    expect_committed(broker, topic, [b"before", b"inside", b"after"], "once it ended")


def offsets_go_with_the_transaction(broker):
    source, sink = broker.name("source"), broker.name("sink")
    group = broker.name("process-group")
    broker.make_topic(source, 1)
    broker.make_topic(sink, 1)
    produce(broker.producer(), source, [b"%d" % n for n in range(20)])
    consumer = broker.consumer(group)
    consumer.subscribe([source])
    producer = transactional(broker, "process-id")
    place = [TopicPartition(source, 0)]
    for ends, committed in [("abort", -1001), ("commit", 10)]:
        messages = poll_values(consumer, 10)
        producer.begin_transaction()
        produce(producer, sink, [message.value() for message in messages])
        producer.send_offsets_to_transaction(
            consumer.position(place), consumer.consumer_group_metadata(), PATIENCE_SECONDS
        )
        if ends == "commit":
            producer.commit_transaction(PATIENCE_SECONDS)
        else:
            producer.abort_transaction(PATIENCE_SECONDS)
            consumer.seek(TopicPartition(source, 0, 0))
        expect(consumer.committed(place, 10)[0].offset, committed, "the offset after " + ends)
    consumer.close()
    expect_committed(broker, sink, [b"%d" % n for n in range(10)], "the outputs")


def second_producer_fences_the_first(broker):
    topic = broker.name("fenced")
    broker.make_topic(topic, 1)
    first = transactional(broker, "fenced-id")
    first.begin_transaction()
    produce(first, topic, [b"lost"])
    second = transactional(broker, "fenced-id")
    try:
        first.commit_transaction(PATIENCE_SECONDS)
    except KafkaException as error:
        expect(error.args[0].fatal(), True, "whether the error is fatal: {}".format(error))
    else:
        raise AssertionError("the first could still commit")
    second.begin_transaction()
    produce(second, topic, [b"kept"])
    second.commit_transaction(PATIENCE_SECONDS)
    expect_committed(broker, topic, [b"kept"], "what is read")


def idempotent_producer(broker):
    topic = broker.name("idempotent")
    broker.make_topic(topic, 1)
    producer = broker.producer(enable_idempotence=True, linger_ms=0, batch_num_messages=10)
    written = [b"%d" % n for n in range(5000)]
    produce(producer, topic, written)
    expect(values(broker, topic, "read_committed"), written, "what is read")


def acks_of_each_kind(broker):
    for acks in ("0", "1", "all"):
        topic = broker.name("acks-" + acks)
        broker.make_topic(topic, 1)
        produce(broker.producer(acks=acks), topic, [b"one", b"two"])
        consumer = broker.consumer(broker.name("acks-group"))
        consumer.assign([TopicPartition(topic, 0, 0)])
        read = [message.value() for message in poll_values(consumer, 2)]
        consumer.close()
        expect(read, [b"one", b"two"], "what acks={} wrote".format(acks))


TESTS = [
    ("acks 0, 1 and all", acks_of_each_kind),
    ("an idempotent producer", idempotent_producer),
    ("committed and aborted transactions", committed_and_aborted),
    ("an open transaction is not seen", open_transaction_is_not_seen),
    ("offsets go with the transaction", offsets_go_with_the_transaction),
    ("a second producer fences the first", second_producer_fences_the_first),
]
