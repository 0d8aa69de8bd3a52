"""A consume-process-produce loop in transactions, by confluent-kafka, while others kill the broker.

eos.py run ADDRESS PREFIX COUNT PROGRESS
    Produces COUNT inputs, has them handed on, and reads the outputs with read_committed, all at the
    same time. The file PROGRESS says how many inputs are done. At the end a reader that starts anew
    has to agree.
eos.py process ADDRESS PREFIX COUNT PROGRESS
    The loop itself, a process of its own that ends at its first failure and is started again.
"""

import os
import subprocess
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
# A loop that does nothing for so long is killed. Not only a slow broker makes it so: in librdkafka
# 2.16.1 a transactional call was seen never to come back once it had lost its connection: four times
# with Apache Kafka, once with this node.
STUCK_SECONDS = 8


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
        """Runs the loop until all is done, and starts it again when it fails or is stuck."""
        words = [sys.executable, __file__, "process", self.broker.address, self.broker.prefix]
        words += [str(self.count), self.progress]
        while self.done() < self.count and not self.is_over():
            process = subprocess.Popen(words)
            done, since = self.done(), time.monotonic()
            while process.poll() is None and not self.is_over():
                time.sleep(0.05)
                if self.done() != done:
                    done, since = self.done(), time.monotonic()
                elif time.monotonic() - since > STUCK_SECONDS:
                    print("the loop is stuck at {}".format(done), file=sys.stderr, flush=True)
                    break
            process.kill()
            process.wait()

    def done(self):
        with open(self.progress, encoding="ascii") as file:
            return int(file.read())

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


class Loop:
    """The loop under test."""

    def __init__(self, run):
        self.run = run
        # A static member: whoever comes after a crash has its partitions at once.
        self.consumer = run.broker.consumer(
            run.broker.name("eos-group"), group_instance_id="loop", session_timeout_ms=10000
        )
        self.consumer.subscribe([run.source])
        self.producer = run.broker.producer(transactional_id=run.broker.name("eos-id"))
        self.places = {}

    def work(self):
        """Until all is done; any failure ends it."""
        persist(lambda: self.producer.init_transactions(10))
        all_places = [TopicPartition(self.run.source, at) for at in range(PARTITIONS)]
        committed = persist(lambda: self.consumer.committed(all_places, 10))
        self.places = {place.partition: max(place.offset, 0) for place in committed}
        while sum(self.places.values()) < self.run.count:
            taken = self.consumer.consume(TRANSACTION_RECORDS, 0.2)
            self.transaction([message for message in taken if not message.error()])
        self.consumer.close()

    def transaction(self, taken):
        if not taken:
            return
        self.producer.begin_transaction()
        for message in taken:
            self.producer.produce(self.run.sink, message.value(), partition=message.partition())
            self.places[message.partition()] = message.offset() + 1
        offsets = [TopicPartition(self.run.source, at, to) for at, to in self.places.items()]
        group = self.consumer.consumer_group_metadata()
        self.producer.send_offsets_to_transaction(offsets, group, 10)
        persist(lambda: self.producer.commit_transaction(10))
        # The source has no gaps, and so offsets count its records.
        self.run.tell(sum(self.places.values()))


def persist(step):
    """A step that may be tried again as it is, until it succeeds or says that it may not."""
    while True:
        try:
            return step()
        except KafkaException as error:
            if not error.args[0].retriable():
                raise
            print("tries again: {}".format(error), file=sys.stderr, flush=True)


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
    role, address, prefix, count, progress = sys.argv[1:]
    run = Run(Broker(address, prefix), int(count), progress)
    if role == "process":
        Loop(run).work()
        return
    run.broker.make_topic(run.source, PARTITIONS)
    run.broker.make_topic(run.sink, PARTITIONS)
    run.tell(0)
    records.report("a reader through all kills sees each output once", live, run)
    records.report("a reader afterwards sees each output once", afresh, run)


if __name__ == "__main__":
    main()
