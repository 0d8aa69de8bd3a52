"""A consume-process-produce loop in transactions, by confluent-kafka, while others kill the broker.

eos.py ADDRESS PREFIX COUNT PROGRESS

Produces COUNT inputs, hands each on as one output in transactions, and reads the outputs with
read_committed, all at the same time. Writes into the file PROGRESS how many inputs are done. At the
end a reader that starts anew has to agree.
"""

import os
import sys
import threading
import time
import traceback

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "common"))

from confluent_kafka import KafkaError, KafkaException, TopicPartition  # noqa: E402

import records  # noqa: E402
from support import Broker, read_to_end  # noqa: E402

PARTITIONS = 4
TRANSACTION_RECORDS = 50
# Longer than all restarts together.
LIMIT_SECONDS = 300


class Run:
    """What the threads of a run share."""

    def __init__(self, broker, count, progress):
        self.broker = broker
        self.count = count
        self.progress = progress
        self.source = broker.name("eos-source")
        self.sink = broker.name("eos-sink")
        self.deadline = time.monotonic() + LIMIT_SECONDS
        self.seen = []
        self.failures = []
        self.stopping = False

    def is_over(self):
        return self.stopping or time.monotonic() > self.deadline

    def start(self, work):
        thread = threading.Thread(target=self._guarded, args=(work,), daemon=True)
        thread.start()
        return thread

    def _guarded(self, work):
        try:
            work()
        except Exception:  # Told at the end; the other threads need not wait.
            self.failures.append(traceback.format_exc())
            self.stopping = True

    def produce_inputs(self):
        """Each input goes to one partition and is numbered there, so that their order can be seen."""
        producer = self.broker.producer(enable_idempotence=True, message_timeout_ms=LIMIT_SECONDS * 1000)
        errors = []
        for number in range(self.count):
            while len(producer) > 500:
                producer.poll(0.1)
                # No faster than the loop, so that inputs come all the time.
                if self.is_over():
                    return
            producer.produce(
                self.source,
                b"%d" % number,
                partition=number % PARTITIONS,
                on_delivery=lambda error, _: error and errors.append(str(error)),
            )
            if number % 200 == 0:
                producer.poll(0.05)
        while len(producer) and not self.is_over():
            producer.poll(0.1)
        if errors:
            raise AssertionError("inputs were not delivered: {}".format(errors[:3]))

    def hand_on(self):
        """The loop under test."""
        consumer = self.broker.consumer(self.broker.name("eos-group"), session_timeout_ms=6000)
        consumer.subscribe([self.source])
        producer = self.new_producer()
        done = 0
        while done < self.count and not self.is_over():
            taken = [m for m in consumer.consume(TRANSACTION_RECORDS, 0.2) if not m.error()]
            if not taken:
                continue
            try:
                self.transaction(producer, consumer, taken)
                done += len(taken)
                self.tell(done)
            except KafkaException as error:
                print("transaction failed: {}".format(error), file=sys.stderr, flush=True)
                # Even where it could abort and go on: in librdkafka 2.16.1 the next call to
                # send_offsets_to_transaction never comes back, with any broker, once one has lost its
                # connection. The new producer's start aborts what the old one left open.
                producer = self.new_producer()
                self.rewind(consumer)
        consumer.close()

    def new_producer(self):
        producer = self.broker.producer(transactional_id=self.broker.name("eos-id"))
        self.persist(lambda: producer.init_transactions(30))
        return producer

    def transaction(self, producer, consumer, taken):
        producer.begin_transaction()
        for message in taken:
            producer.produce(self.sink, message.value(), partition=message.partition())
        places = {}
        for message in taken:
            places[message.partition()] = message.offset() + 1
        offsets = [TopicPartition(self.source, at, offset) for at, offset in places.items()]
        group = consumer.consumer_group_metadata()
        producer.send_offsets_to_transaction(offsets, group, 10)
        self.persist(lambda: producer.commit_transaction(10))

    def persist(self, step):
        """A step that may be tried again as it is, until it succeeds or says that it may not."""
        while True:
            try:
                return step()
            except KafkaException as error:
                if not error.args[0].retriable() or self.is_over():
                    raise
                print("tries again: {}".format(error), file=sys.stderr, flush=True)

    def rewind(self, consumer):
        """Back to what the transactions have committed."""
        while not self.is_over():
            try:
                for place in consumer.committed(consumer.assignment(), 10):
                    consumer.seek(TopicPartition(place.topic, place.partition, max(place.offset, 0)))
                return
            except KafkaException as error:
                print("rewind failed: {}".format(error), file=sys.stderr, flush=True)

    def tell(self, done):
        with open(self.progress + ".new", "w", encoding="ascii") as file:
            file.write(str(done))
        os.replace(self.progress + ".new", self.progress)

    def read_outputs(self):
        """A reader that lives through it all and sees whatever is visible."""
        consumer = self.broker.consumer(self.broker.name("eos-reader"), auto_offset_reset="error")
        consumer.assign([TopicPartition(self.sink, at, 0) for at in range(PARTITIONS)])
        while len(self.seen) < self.count and not self.is_over():
            message = consumer.poll(0.2)
            if message is None:
                continue
            if not message.error():
                self.seen.append((message.partition(), int(message.value())))
            elif message.error().code() in (
                KafkaError._AUTO_OFFSET_RESET,
                KafkaError.OFFSET_OUT_OF_RANGE,
            ):
                raise AssertionError("the reader lost its place: {}".format(message.error()))
        consumer.close()


def check(found, count):
    """Each output once, in its partition, in order."""
    for partition in range(PARTITIONS):
        values = [value for at, value in found if at == partition]
        wanted = list(range(partition, count, PARTITIONS))
        if values != wanted:
            missing = sorted(set(wanted) - set(values))
            repeated = len(values) - len(set(values))
            raise AssertionError(
                "partition {}: {} outputs instead of {}, {} repeated, missing {}".format(
                    partition, len(values), len(wanted), repeated, missing[:10]
                )
            )


def live(run):
    threads = [run.start(work) for work in (run.produce_inputs, run.read_outputs, run.hand_on)]
    for thread in threads:
        thread.join(LIMIT_SECONDS + 30)
    if run.failures:
        raise AssertionError(run.failures[0])
    check(run.seen, run.count)


def afresh(run):
    found = []
    consumer = run.broker.consumer(run.broker.name("eos-afresh"))
    for partition in range(PARTITIONS):
        messages = read_to_end(consumer, run.sink, partition)
        found.extend((partition, int(message.value())) for message in messages)
    consumer.close()
    check(found, run.count)


def main():
    address, prefix, count, progress = sys.argv[1:]
    run = Run(Broker(address, prefix), int(count), progress)
    run.broker.make_topic(run.source, PARTITIONS)
    run.broker.make_topic(run.sink, PARTITIONS)
    run.tell(0)
    records.report("a reader through all kills sees each output once", live, run)
    records.report("a reader afterwards sees each output once", afresh, run)


if __name__ == "__main__":
    main()
