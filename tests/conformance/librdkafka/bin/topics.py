"""Creates, alters and deletes topics as Kafka's kafka-topics.sh does, by the same arguments."""

import argparse

from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bootstrap-server", required=True)
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--create", action="store_true")
    action.add_argument("--alter", action="store_true")
    action.add_argument("--delete", action="store_true")
    parser.add_argument("--topic", required=True)
    parser.add_argument("--partitions", type=int, default=1)
    parser.add_argument("--replication-factor", type=int, default=1)
    parser.add_argument("--config", action="append", default=[])
    return parser.parse_args()


def main():
    given = arguments()
    admin = AdminClient({"bootstrap.servers": given.bootstrap_server})
    if given.create:
        config = dict(entry.split("=", 1) for entry in given.config)
        topic = NewTopic(
            given.topic, given.partitions, given.replication_factor, config=config
        )
        done = admin.create_topics([topic])
    elif given.alter:
        done = admin.create_partitions([NewPartitions(given.topic, given.partitions)])
    else:
        done = admin.delete_topics([given.topic])
    for outcome in done.values():
        outcome.result(timeout=30)


if __name__ == "__main__":
    main()
