"""What every client in Python has in common: the checks' names, their data, and how they report.

A check prints one line: `ok NAME`, `fail NAME: why` or `skip NAME: why`.
"""

import os
import sys
import time
import traceback

BOOTSTRAP = sys.argv[1]
# Topics of this client begin with this.
PREFIX = sys.argv[2]
CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
MEBIBYTE = 1 << 20
LARGE_BATCH = 2 * MEBIBYTE
KEYS = [f"key-{n}".encode() for n in range(30)]
RECORDS = 200
# Sent while the broker is killed: enough for some to be on their way then.
MANY = 20_000
# The topic that the broker's own command line has filled, with values `native-0` and so on.
NATIVE_TOPIC = "native"
NATIVE_RECORDS = 20
# Of a topic that a group reads.
PARTITIONS = 3
# How long members may take to agree.
PATIENCE = 30


class Skip(Exception):
    """The client cannot do this."""


def topic(name):
    return f"{PREFIX}-{name}"


def values(count=RECORDS):
    return [f"value {n} ".encode() * 5 for n in range(count)]


def now_ms():
    return int(time.time() * 1000)


def restart_broker():
    """Has the broker killed and started again, with what it had."""
    print("restart", flush=True)
    equal(sys.stdin.readline(), "restarted\n")


def killing_the_broker(records):
    """The records, in the midst of which the broker is killed."""
    for number, record in enumerate(records):
        if number == len(records) // 2:
            restart_broker()
        yield record


def shares(members, expected):
    """Whether that many partitions are assigned to the members, in whatever order."""
    return lambda _: sorted(len(reader.assignment()) for reader in members) == expected


def large():
    """One mebibyte that does not compress to nothing."""
    return os.urandom(MEBIBYTE)


def run(checks):
    for check in checks:
        name = check.__name__.replace("_", "-")
        try:
            check()
            print(f"ok {name}", flush=True)
        except Skip as why:
            print(f"skip {name}: {why}", flush=True)
        except BaseException as error:  # whatever a client throws is the check's result
            traceback.print_exc()
            text = f"{type(error).__name__}: {error}".replace("\n", " ")
            print(f"fail {name}: {text}", flush=True)


def same(found, expected):
    """The same values in whatever order: each exactly once."""
    equal(sorted(found), sorted(expected))


def equal(found, expected):
    if found != expected:
        raise AssertionError(f"found {str(found)[:200]}, expected {str(expected)[:200]}")
