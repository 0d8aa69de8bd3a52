"""Consumer groups by confluent-kafka."""

from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition

from support import expect, poll_values, produce, until


def resumes_at_the_commit(broker):
    topic, group = broker.name("resume"), broker.name("resume-group")
    broker.make_topic(topic, 1)
    produce(broker.producer(), topic, [b"%d" % n for n in range(200)])
    first = broker.consumer(group)
    first.subscribe([topic])
    messages = poll_values(first, 100)
    first.commit(messages[99], asynchronous=False)
    first.close()
    second = broker.consumer(group)
    second.subscribe([topic])
    rest = [message.value() for message in poll_values(second, 100)]
    second.close()
    expect(rest, [b"%d" % n for n in range(100, 200)], "what the second member reads")


def two_members_share(broker):
    topic, group = broker.name("shared"), broker.name("shared-group")
    broker.make_topic(topic, 4)
    members = [broker.consumer(group), broker.consumer(group)]
    for member in members:
        member.subscribe([topic])

    def shared():
        for member in members:
            member.poll(0.1)
        held = [[place.partition for place in member.assignment()] for member in members]
        return [len(places) for places in held] == [2, 2] and sorted(sum(held, [])) == [0, 1, 2, 3]

    until(shared, "each of two members has two of four partitions")
    members[0].close()
    until(
        lambda: members[1].poll(0.1) or len(members[1].assignment()) == 4,
        "the one that is left has all partitions",
    )
    members[1].close()


def cooperative_members_share(broker):
    topic, group = broker.name("cooperative"), broker.name("cooperative-group")
    broker.make_topic(topic, 4)
    strategy = {"partition_assignment_strategy": "cooperative-sticky"}
    members = [broker.consumer(group, **strategy), broker.consumer(group, **strategy)]
    for member in members:
        member.subscribe([topic])

    def shared():
        for member in members:
            member.poll(0.1)
        return [len(member.assignment()) for member in members] == [2, 2]

    until(shared, "each of two members has two of four partitions")
    for member in members:
        member.close()


def static_member_comes_back(broker):
    topic, group = broker.name("static"), broker.name("static-group")
    broker.make_topic(topic, 2)
    produce(broker.producer(), topic, [b"x"] * 3)
    first = broker.consumer(group, group_instance_id="one")
    first.subscribe([topic])
    poll_values(first, 3)
    described = broker.admin().describe_consumer_groups([group])[group].result(10)
    expect([member.group_instance_id for member in described.members], ["one"], "its instance id")
    first.close()
    second = broker.consumer(group, group_instance_id="one")
    second.subscribe([topic])
    poll_values(second, 3)
    second.close()


def commits_of_a_simple_consumer(broker):
    topic, group = broker.name("simple"), broker.name("simple-group")
    broker.make_topic(topic, 2)
    consumer = broker.consumer(group)
    place = TopicPartition(topic, 1, 7, metadata="why")
    consumer.commit(offsets=[place], asynchronous=False)
    read = consumer.committed([TopicPartition(topic, 0), TopicPartition(topic, 1)], 10)
    consumer.close()
    expect([(p.offset, p.metadata) for p in read], [(-1001, None), (7, "why")], "what is committed")
    wanted = ConsumerGroupTopicPartitions(group)
    listed = broker.admin().list_consumer_group_offsets([wanted])[group].result(10)
    places = {(p.topic, p.partition): p.offset for p in listed.topic_partitions}
    expect(places, {(topic, 1): 7}, "what the admin client lists")


TESTS = [
    ("a group resumes at its commit", resumes_at_the_commit),
    ("two members share partitions", two_members_share),
    ("two cooperative members share partitions", cooperative_members_share),
    ("a static member comes back", static_member_comes_back),
    ("commits of a simple consumer", commits_of_a_simple_consumer),
]
