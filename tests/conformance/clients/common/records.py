"""The records that every client writes and reads, and how tests say what came of them."""

import dataclasses
import traceback
from typing import Optional


@dataclasses.dataclass
class Record:
    """One line of records.tsv."""

    partition: int
    timestamp: int
    key: Optional[bytes]
    value: Optional[bytes]
    headers: list
    unwritable_by: list


def load(path, writer):
    """The records of the file that `writer`, a client's name, can write, by partition."""
    partitions = {}
    with open(path, encoding="ascii") as lines:
        for line in lines:
            if line.startswith("#"):
                continue
            record = _record(line.rstrip("\n").split("\t"))
            if writer not in record.unwritable_by:
                partitions.setdefault(record.partition, []).append(record)
    return partitions


def _record(fields):
    partition, timestamp, key, value, headers, unwritable_by = fields
    pairs = [] if headers == "-" else [pair.split(":") for pair in headers.split(",")]
    return Record(
        int(partition),
        int(timestamp),
        _bytes(key),
        _bytes(value),
        [(_bytes(name).decode(), _bytes(value)) for name, value in pairs],
        unwritable_by.split(","),
    )


def _bytes(text):
    if text == "-":
        return None
    if text == ".":
        return b""
    text, _, times = text.partition("*")
    if text.startswith("~"):
        return _sequence(int(text[1:]), int(times))
    return bytes.fromhex(text) * int(times or 1)


def _sequence(state, length):
    made = bytearray()
    for _ in range(length):
        state = state * 16807 % 2147483647
        made.append(state & 0xFF)
    return bytes(made)


def writer_of(topic):
    """The client that wrote a topic "cross.CLIENT.CODEC"."""
    return topic.split(".")[1]


def shown(value):
    """As much of a value as a line can show."""
    text = repr(value)
    return text if len(text) <= 60 else "{}... ({} long)".format(text[:60], len(text))


def differences(expected, found):
    """What is not equal between two lists of records, given as (field, value) lists; one line."""
    if len(expected) != len(found):
        return "{} records instead of {}".format(len(found), len(expected))
    for at, (wanted, got) in enumerate(zip(expected, found)):
        for (field, value), (_, other) in zip(wanted, got):
            if value != other:
                return "record {}: {} is {} instead of {}".format(
                    at, field, shown(other), shown(value)
                )
    return ""


def report(name, test, *arguments):
    """Runs a test, which fails by an exception, and prints its line."""
    try:
        test(*arguments)
    except Exception as error:  # Whatever it is, it is the test's result.
        traceback.print_exc()
        reason = " ".join("{}: {}".format(type(error).__name__, error).split())
        print("not ok {}: {}".format(name, reason[:400]), flush=True)
    else:
        print("ok {}".format(name), flush=True)
