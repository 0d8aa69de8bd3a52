"""Topics, settings, offsets and groups by confluent-kafka's admin client."""

from confluent_kafka import KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import (
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

from support import expect, poll_values, produce, read_to_end, until, values_of


def life_of_a_topic(broker):
    admin, topic = broker.admin(), broker.name("life")
    broker.make_topic(topic, 2)
    described = admin.describe_topics(TopicCollection([topic]))[topic].result(10)
    expect(len(described.partitions), 2, "partitions")
    expect([len(p.replicas) for p in described.partitions], [1, 1], "replicas")
    expect(described.partitions[0].leader.id, described.partitions[0].replicas[0].id, "leader")
    admin.create_partitions([NewPartitions(topic, 5)])[topic].result(10)
    until(
        lambda: len(admin.list_topics(topic, 10).topics[topic].partitions) == 5,
        "the topic has five partitions",
    )
    produce(broker.producer(), topic, [b"in the new one"], partition=4)
    expect(error_of(admin.create_topics([NewTopic(topic, 1, 1)])[topic]), "TOPIC_ALREADY_EXISTS", "again")
    admin.delete_topics([topic])[topic].result(10)
    until(lambda: topic not in admin.list_topics(timeout=10).topics, "the topic is gone")
    expect(error_of(admin.delete_topics([topic])[topic]), "UNKNOWN_TOPIC_OR_PART", "deleting it again")


def error_of(future):
    try:
        future.result(10)
    except KafkaException as error:
        return error.args[0].name()
    return "no error"


def a_new_topic_of_the_name(broker):
    admin, topic = broker.admin(), broker.name("again")
    consumer = broker.consumer(broker.name("again-group"))
    for value in (b"old", b"new"):
        broker.make_topic(topic, 1)
        produce(broker.producer(), topic, [value])
        expect(values_of(read_to_end(consumer, topic)), [value], "what it holds")
        if value == b"old":
            admin.delete_topics([topic])[topic].result(10)
            until(lambda: topic not in admin.list_topics(timeout=10).topics, "the topic is gone")
    consumer.close()


def settings_of_a_topic(broker):
    admin, topic = broker.admin(), broker.name("settings")
    broker.make_topic(topic, 1)
    resource = ConfigResource(ResourceType.TOPIC, topic)
    changed = ConfigResource(
        ResourceType.TOPIC,
        topic,
        incremental_configs=[
            ConfigEntry("retention.ms", "3600000", incremental_operation=AlterConfigOpType.SET)
        ],
    )
    admin.incremental_alter_configs([changed])[changed].result(10)
    read = admin.describe_configs([resource])[resource].result(10)
    expect(read["retention.ms"].value, "3600000", "retention.ms once it is set")
    expect(read["cleanup.policy"].value, "delete", "cleanup.policy")
    back = ConfigResource(
        ResourceType.TOPIC,
        topic,
        incremental_configs=[
            ConfigEntry("retention.ms", None, incremental_operation=AlterConfigOpType.DELETE)
        ],
    )
    admin.incremental_alter_configs([back])[back].result(10)
    read = admin.describe_configs([resource])[resource].result(10)
    expect(read["retention.ms"].value != "3600000", True, "whether retention.ms is back")
    wrong = ConfigResource(
        ResourceType.TOPIC,
        topic,
        incremental_configs=[
            ConfigEntry("no.such.key", "1", incremental_operation=AlterConfigOpType.SET)
        ],
    )
    error = error_of(admin.incremental_alter_configs([wrong])[wrong])
    expect(error, "INVALID_CONFIG", "an unknown key")


def records_are_deleted(broker):
    admin, topic = broker.admin(), broker.name("deleted-records")
    broker.make_topic(topic, 1)
    produce(broker.producer(), topic, [b"%d" % n for n in range(10)])
    place = TopicPartition(topic, 0, 4)
    deleted = admin.delete_records([place])[place].result(10)
    expect(deleted.low_watermark, 4, "the low watermark")
    consumer = broker.consumer(broker.name("deleted-records-group"))
    expect(consumer.get_watermark_offsets(TopicPartition(topic, 0), 10), (4, 10), "watermarks")
    read = values_of(read_to_end(consumer, topic, start=4))
    consumer.close()
    expect(read, [b"%d" % n for n in range(4, 10)], "what is left")


def offsets_are_listed(broker):
    admin, topic = broker.admin(), broker.name("offsets")
    broker.make_topic(topic, 1)
    producer = broker.producer()
    for n, time in enumerate([1000, 3000, 2000]):
        producer.produce(topic, b"%d" % n, partition=0, timestamp=time)
        producer.flush(10)
    place = TopicPartition(topic, 0)
    for spec, offset in [
        (OffsetSpec.earliest(), 0),
        (OffsetSpec.latest(), 3),
        (OffsetSpec.max_timestamp(), 1),
        (OffsetSpec.for_timestamp(1001), 1),
        (OffsetSpec.for_timestamp(2000), 1),
        (OffsetSpec.for_timestamp(3001), -1),
    ]:
        listed = admin.list_offsets({place: spec})[place].result(10)
        expect(listed.offset, offset, "the offset for {}".format(spec._value))
    consumer = broker.consumer(broker.name("offsets-group"))
    found = consumer.offsets_for_times([TopicPartition(topic, 0, 1001)], 10)
    consumer.close()
    expect(found[0].offset, 1, "the consumer's offset for 1001")


def groups_are_listed_and_deleted(broker):
    admin, topic = broker.admin(), broker.name("grouped")
    group = broker.name("grouped-group")
    broker.make_topic(topic, 1)
    produce(broker.producer(), topic, [b"x"])
    consumer = broker.consumer(group, client_id="the-client")
    consumer.subscribe([topic])
    consumer.commit(poll_values(consumer, 1)[0], asynchronous=False)
    listed = {g.group_id: g.state.name for g in admin.list_consumer_groups().result(10).valid}
    expect(listed.get(group), "STABLE", "its state in the list")
    described = admin.describe_consumer_groups([group])[group].result(10)
    expect([member.client_id for member in described.members], ["the-client"], "its members")
    places = [p.topic for p in described.members[0].assignment.topic_partitions]
    expect(places, [topic], "what its member has")
    expect(error_of(admin.delete_consumer_groups([group])[group]), "NON_EMPTY_GROUP", "deleting it")
    consumer.close()
    admin.delete_consumer_groups([group])[group].result(10)
    listed = [g.group_id for g in admin.list_consumer_groups().result(10).valid]
    expect(group in listed, False, "whether it is still there")


def the_cluster_is_described(broker):
    cluster = broker.admin().describe_cluster().result(10)
    expect(len(cluster.nodes), 1, "nodes")
    expect(cluster.controller.id, cluster.nodes[0].id, "the controller")
    node = cluster.nodes[0]
    expect("{}:{}".format(node.host, node.port), broker.address, "where it listens")


TESTS = [
    ("the life of a topic", life_of_a_topic),
    ("a new topic of the same name", a_new_topic_of_the_name),
    ("settings of a topic", settings_of_a_topic),
    ("records are deleted", records_are_deleted),
    ("offsets by time and end", offsets_are_listed),
    ("groups are listed, described and deleted", groups_are_listed_and_deleted),
    ("the cluster is described", the_cluster_is_described),
]
