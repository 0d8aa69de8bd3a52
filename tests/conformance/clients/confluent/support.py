"""What the tests of confluent-kafka share: clients with the settings that tests need."""

import time

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

# How long anything may take that a broker does within a second when it works.
PATIENCE_SECONDS = 30


class Broker:
    """The broker under test and the prefix of all names that a run makes up."""

    def __init__(self, address, prefix):
        self.address = address
        self.prefix = prefix
        # One that stays: what is under way ends with its client.
        self._admin = AdminClient({"bootstrap.servers": address})

    def name(self, suffix):
        return "{}.{}".format(self.prefix, suffix)

    def admin(self):
        return self._admin

    def producer(self, **settings):
        return Producer(self._settings({"message.timeout.ms": 30000}, settings))

    def consumer(self, group, **settings):
        defaults = {
            "group.id": group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
        }
        return Consumer(self._settings(defaults, settings))

    def _settings(self, defaults, settings):
        merged = {"bootstrap.servers": self.address, **defaults}
        merged.update({name.replace("_", "."): value for name, value in settings.items()})
        return merged

    def make_topic(self, name, partitions, **config):
        # Records are older than any retention.
        config = {"retention.ms": "-1", **config}
        made = self.admin().create_topics([NewTopic(name, partitions, 1, config=config)])
        made[name].result(PATIENCE_SECONDS)


def produce(producer, topic, values, partition=0):
    """Produces and waits until all are delivered."""
    errors = []
    for value in values:
        producer.produce(
            topic, value, partition=partition, on_delivery=lambda error, _: error and errors.append(error)
        )
    left = producer.flush(PATIENCE_SECONDS)
    if left or errors:
        raise AssertionError("{} not delivered, errors {}".format(left, errors[:3]))


def read_to_end(consumer, topic, partition=0, start=0):
    """All messages of a partition up to its end."""
    consumer.assign([TopicPartition(topic, partition, start)])
    messages = []
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        message = consumer.poll(1)
        if message is None:
            continue
        if not message.error():
            messages.append(message)
        elif message.error().name() == "_PARTITION_EOF":
            return messages
        else:
            raise AssertionError(str(message.error()))
    raise AssertionError("no end after {} messages".format(len(messages)))


def values_of(messages):
    return [message.value() for message in messages]


def poll_values(consumer, count):
    """The values of the next `count` messages of a subscribed consumer, in the order of arrival."""
    messages = []
    deadline = time.monotonic() + PATIENCE_SECONDS
    while len(messages) < count and time.monotonic() < deadline:
        message = consumer.poll(1)
        if message is not None and not message.error():
            messages.append(message)
    if len(messages) < count:
        raise AssertionError("{} messages instead of {}".format(len(messages), count))
    return messages


def expect(found, expected, what):
    if found != expected:
        raise AssertionError("{}: {!r} instead of {!r}".format(what, found, expected))


def until(condition, what):
    """Waits until `condition` returns something true, and returns that."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError("never came true: {}".format(what))
