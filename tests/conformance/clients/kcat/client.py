"""Debian's kcat (librdkafka 2.0.2) against a broker.

client.py produce ADDRESS RECORDS TOPIC CODEC
client.py read ADDRESS RECORDS TOPIC...   compares every byte, a line of results a topic
client.py own ADDRESS PREFIX              tests of its own: groups, offsets, transactions, metadata
"""

import itertools
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "common"))

import records  # noqa: E402

NAME = "kcat"
LIMIT_SECONDS = 60
# No record has these in its bytes.
END, KEY, FIELD = b"<<end>>", b"<<key>>", b"<<field>>"


def kcat(address, *words, given=b""):
    """Runs kcat and returns what it prints; a message on standard error is an error."""
    words = ["kcat", "-b", address, *words]
    done = subprocess.run(words, input=given, capture_output=True, timeout=LIMIT_SECONDS, check=False)
    if done.returncode or b"ERROR" in done.stderr or b"%4|" in done.stderr or b"%3|" in done.stderr:
        raise AssertionError("{}: {}".format(" ".join(words), done.stderr.decode(errors="replace")))
    return done.stdout


def produce(address, path, topic, codec):
    for partition, written in records.load(path, NAME).items():
        # All of a run have the same headers, and -Z makes what is empty null in all of them.
        for (headers, null), run in itertools.groupby(written, run_of):
            words = ["-P", "-t", topic, "-p", str(partition), "-z", codec]
            words += ["-D", END.decode(), "-K", KEY.decode(), *(["-Z"] if null else [])]
            words += ["-X", "linger.ms=20", "-X", "message.max.bytes=4000000"]
            for name, value in headers:
                shown = name.encode() if value is None else name.encode() + b"=" + value
                words += ["-H", shown]
            given = END.join((r.key or b"") + KEY + (r.value or b"") for r in run)
            words = [w if isinstance(w, bytes) else w.encode() for w in words]
            run_bytes(address, words, given)


def run_of(record):
    return tuple(record.headers), record.key is None or record.value is None


def run_bytes(address, words, given):
    kcat(address, *[os.fsdecode(word) for word in words], given=given)


def read_topic(address, path, topic):
    writer = records.writer_of(topic)
    form = b"%T %K %S %h" + FIELD + b"%k%s" + END
    for partition, written in records.load(path, writer).items():
        words = ["-C", "-t", topic, "-p", str(partition), "-e", "-q", "-o", "beginning"]
        output = kcat(address, *words, "-f", form.decode())
        found = [fields(message, writer) for message in output.split(END)[:-1]]
        wanted = [expected(record, writer) for record in written]
        difference = records.differences(wanted, found)
        if difference:
            raise AssertionError("partition {}: {}".format(partition, difference))


def fields(message, writer):
    facts, content = message.split(FIELD, 1)
    timestamp, key_length, value_length, headers = facts.split(b" ", 3)
    key_length, value_length = int(key_length), int(value_length)
    key_end = max(key_length, 0)
    found = [
        ("key", None if key_length < 0 else content[:key_end]),
        ("value", None if value_length < 0 else content[key_end:]),
        ("headers", headers),
    ]
    return found if writer == NAME else found + [("timestamp", int(timestamp))]


def expected(record, writer):
    # As it prints headers: a value ends at its first zero byte.
    headers = b",".join(
        name.encode() + b"=" + (b"NULL" if value is None else value.split(b"\0")[0])
        for name, value in record.headers
    )
    found = [("key", record.key), ("value", record.value), ("headers", headers)]
    return found if writer == NAME else found + [("timestamp", record.timestamp)]


def lines(numbers):
    return b"".join(b"%d\n" % n for n in numbers)


def produces_to_a_topic_made_by_it(address, prefix):
    topic = prefix + ".made"
    kcat(address, "-P", "-t", topic, given=lines(range(100)))
    read = kcat(address, "-C", "-t", topic, "-e", "-q").split()
    expect(sorted(read), sorted(lines(range(100)).split()), "what is read")
    listed = json.loads(kcat(address, "-L", "-J", "-t", topic))
    found = listed["topics"][0]
    expect(found["topic"], topic, "the topic in the metadata")
    leaders = {place["leader"] for place in found["partitions"]}
    expect(leaders, {broker["id"] for broker in listed["brokers"]}, "its leaders")


def a_group_resumes(address, prefix):
    topic, group = prefix + ".resume", prefix + ".resume-group"
    kcat(address, "-P", "-t", topic, "-p", "0", given=lines(range(200)))
    words = ["-G", group, "-X", "auto.offset.reset=earliest", "-q", topic]
    first = kcat(address, "-c", "100", *words)
    expect(first, lines(range(100)), "what the first member reads")
    # It ends by itself only where it has all partitions to their end.
    second = kcat(address, "-c", "100", *words)
    expect(second, lines(range(100, 200)), "what the second member reads")


def offsets_by_time(address, prefix):
    topic = prefix + ".offsets"
    kcat(address, "-P", "-t", topic, "-p", "0", given=lines(range(10)))
    for time, offset in [(-2, 0), (-1, 10), (1000, 0)]:
        printed = kcat(address, "-Q", "-t", "{}:0:{}".format(topic, time)).decode().split()
        expect(printed, [topic, "[0]", "offset", str(offset)], "the offset for {}".format(time))
    last = kcat(address, "-C", "-t", topic, "-p", "0", "-o", "-3", "-e", "-q")
    expect(last, lines(range(7, 10)), "the last three")


def a_transaction(address, prefix):
    topic = prefix + ".transaction"
    words = ["-P", "-t", topic, "-p", "0", "-X", "transactional.id=" + prefix]
    kcat(address, *words, given=lines(range(10)))
    read = kcat(address, "-C", "-t", topic, "-e", "-q", "-X", "isolation.level=read_committed")
    expect(read, lines(range(10)), "what read_committed sees")


def acks_of_each_kind(address, prefix):
    for acks in ("0", "1", "all"):
        topic = "{}.acks-{}".format(prefix, acks)
        # Without an answer the topic has to be there before.
        kcat(address, "-P", "-t", topic, "-p", "0", given=b"first\n")
        kcat(address, "-P", "-t", topic, "-p", "0", "-X", "acks=" + acks, given=b"second\n")
        read = kcat(address, "-C", "-t", topic, "-p", "0", "-c", "2", "-q")
        expect(read, b"first\nsecond\n", "what acks={} wrote".format(acks))


def expect(found, wanted, what):
    if found != wanted:
        raise AssertionError("{}: {!r} instead of {!r}".format(what, found, wanted))


OWN = [
    ("produces to a topic made by it, and lists it", produces_to_a_topic_made_by_it),
    ("a group resumes at its commit", a_group_resumes),
    ("offsets by time and end", offsets_by_time),
    ("a transaction", a_transaction),
    ("acks 0, 1 and all", acks_of_each_kind),
]


def main():
    command, address, *rest = sys.argv[1:]
    if command == "produce":
        path, topic, codec = rest
        records.report("writes with " + codec, produce, address, path, topic, codec)
    elif command == "read":
        path, *names = rest
        for name in names:
            records.report("reads " + name, read_topic, address, path, name)
    elif command == "own":
        for name, test in OWN:
            records.report(name, test, address, rest[0])


if __name__ == "__main__":
    main()
