"""kafka-python."""

import threading
import time

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, NewPartitions, NewTopic
from kafka.errors import KafkaError
from kafka.structs import OffsetAndMetadata

from checks import *


def produce(topic, records, **settings):
    producer = KafkaProducer(bootstrap_servers=BOOTSTRAP, linger_ms=5, **settings)
    sent = [
        producer.send(topic, key=key, value=value, headers=headers, timestamp_ms=timestamp)
        for key, value, headers, timestamp in records
    ]
    producer.flush(30)
    found = [future.get(20) for future in sent]
    producer.close()
    return [(place.partition, place.offset) for place in found]


def plain(values):
    return [(None, value, [], None) for value in values]


def consumer(**settings):
    return KafkaConsumer(
        bootstrap_servers=BOOTSTRAP, enable_auto_commit=False, consumer_timeout_ms=20_000, **settings
    )


def consume(topic, count, offset=0, partition=0):
    reader = consumer(max_partition_fetch_bytes=4 * MEBIBYTE)
    place = TopicPartition(topic, partition)
    reader.assign([place])
    reader.seek(place, offset)
    found = []
    for message in reader:
        found.append(message)
        if len(found) == count:
            break
    reader.close()
    equal(len(found), count)
    return found


def admin():
    return KafkaAdminClient(bootstrap_servers=BOOTSTRAP)


def create(name, partitions=1, **config):
    config = {key.replace("_", "."): value for key, value in config.items()}
    admin().create_topics([NewTopic(name, partitions, 1, topic_configs=config)])


def acks():
    for acks in [0, 1, "all"]:
        name = topic(f"acks-{acks}")
        produce(name, plain(values()), acks=acks, enable_idempotence=False)
        equal([message.value for message in consume(name, RECORDS)], values())


def codecs():
    for codec in CODECS:
        name = topic(f"codec-{codec}")
        kind = None if codec == "none" else codec
        produce(name, plain(values()), compression_type=kind)
        equal([message.value for message in consume(name, RECORDS)], values())


def headers():
    # The client takes no header without a value.
    sent = [("a", b"1"), ("a", b"2"), ("empty", b"")]
    produce(topic("headers"), [(b"k", b"v", sent, None)])
    equal(list(consume(topic("headers"), 1)[0].headers), sent)


def tombstones():
    produce(topic("tombstones"), [(b"k", None, [], None), (b"", b"", [], None)])
    found = consume(topic("tombstones"), 2)
    equal([(m.key, m.value) for m in found], [(b"k", None), (b"", b"")])


def large_records():
    create(topic("large"), max_message_bytes=str(LARGE_BATCH))
    sent = [large() for _ in range(3)]
    produce(topic("large"), plain(sent), max_request_size=LARGE_BATCH)
    equal([message.value for message in consume(topic("large"), 3)], sent)


def idempotent_producer():
    name = topic("idempotent")
    places = produce(name, plain(values()), enable_idempotence=True)
    equal(places, [(0, offset) for offset in range(RECORDS)])
    equal([message.value for message in consume(name, RECORDS)], values())


def idempotent_through_kill():
    name, sent = topic("killed"), values(MANY)
    places = produce(name, killing_the_broker(plain(sent)), enable_idempotence=True)
    equal(places, [(0, offset) for offset in range(MANY)])
    equal([message.value for message in consume(name, MANY)], sent)


def seek():
    produce(topic("seek"), plain(values()))
    equal(consume(topic("seek"), 1, offset=RECORDS - 7)[0].value, values()[-7])


def seek_by_time():
    name, start = topic("time"), now_ms() - 1_000_000
    produce(name, [(None, b"%d" % n, [], start + 1000 * n) for n in range(100)])
    place, reader = TopicPartition(name, 0), consumer()
    found = reader.offsets_for_times({place: start + 41_500})[place]
    equal((found.offset, found.timestamp), (42, start + 42_000))
    equal(reader.offsets_for_times({place: start + 10**7})[place], None)
    equal(reader.beginning_offsets([place])[place], 0)
    equal(reader.end_offsets([place])[place], 100)
    reader.close()
    equal(consume(name, 1, offset=42)[0].value, b"42")


def keys():
    create(topic("keys"), partitions=3)
    produce(topic("keys"), [(key, b"v", [], None) for key in KEYS])


def native_records():
    found = consume(NATIVE_TOPIC, NATIVE_RECORDS)
    equal([m.value for m in found], [b"native-%d" % n for n in range(NATIVE_RECORDS)])


def administration():
    name, kafka = topic("admin"), admin()
    create(name, partitions=2, retention_ms="1000000")
    equal(len(kafka.describe_topics([name])[0]["partitions"]), 2)
    described = str(kafka.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)]))
    equal("retention.ms" in described and "1000000" in described, True)
    kafka.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, {"retention.ms": "-1"})])
    kafka.create_partitions({name: NewPartitions(5)})
    equal(len(kafka.describe_topics([name])[0]["partitions"]), 5)
    produce(topic("trimmed"), plain(values(10)))
    kafka.delete_records({TopicPartition(topic("trimmed"), 0): 4})
    place, reader = TopicPartition(topic("trimmed"), 0), consumer()
    equal(reader.beginning_offsets([place])[place], 4)
    reader.close()
    kafka.describe_cluster()
    kafka.describe_log_dirs()
    kafka.delete_topics([name])
    equal(name in kafka.list_topics(), False)


def refusals():
    try:
        create(topic("refused"), colour="red")
        raise AssertionError("an unknown configuration was taken")
    except KafkaError as error:
        equal("InvalidConfig" in type(error).__name__ or "40" in str(error), True)


def member(name, **settings):
    """A consumer of the group and the topic of this name."""
    return KafkaConsumer(
        topic(name),
        bootstrap_servers=BOOTSTRAP,
        group_id=topic(name),
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        session_timeout_ms=6000,
        heartbeat_interval_ms=300,
        **settings,
    )


def poll(members, is_done):
    """Lets members read, each in a thread of its own, until it is done; the values that they read."""
    found, wrong, end = [], [], time.time() + PATIENCE
    lock, done = threading.Lock(), threading.Event()

    def reading(reader):
        try:
            while not done.is_set() and time.time() < end:
                batches = reader.poll(100).values()
                with lock:
                    for messages in batches:
                        found.extend(message.value for message in messages)
                    if is_done(found):
                        done.set()
        except Exception as error:
            wrong.append(error)
            done.set()

    threads = [threading.Thread(target=reading, args=[reader]) for reader in members]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    equal(wrong, [])
    equal(is_done(found), True)
    return found


def group_consume():
    name = topic("consume")
    create(name, partitions=PARTITIONS)
    produce(name, plain(values()))
    reader, kafka = member("consume"), admin()
    same(poll([reader], lambda found: len(found) >= RECORDS), values())
    described = kafka.describe_groups([name])[name]
    equal((described["group_state"], len(described["members"])), ("Stable", 1))
    reader.close()
    equal(name in [group["group_id"] for group in kafka.list_groups()], True)
    kafka.delete_groups([name])
    equal(name in [group["group_id"] for group in kafka.list_groups()], False)


def group_rebalance():
    name = "rebalance"
    create(topic(name), partitions=PARTITIONS)
    first = member(name)
    poll([first], shares([first], [3]))
    second = member(name)
    poll([first, second], shares([first, second], [1, 2]))
    produce(topic(name), plain(values()))
    same(poll([first, second], lambda found: len(found) >= RECORDS), values())
    first.commit()
    second.commit()
    first.close()
    poll([second], shares([second], [3]))
    produce(topic(name), plain(values(10)))
    same(poll([second], lambda found: len(found) >= 10), values(10))
    second.close()


def commit_and_resume():
    name = topic("resume")
    create(name, partitions=PARTITIONS)
    produce(name, plain(values()))
    reader = member("resume", max_poll_records=40)
    found = poll([reader], lambda found: len(found) >= RECORDS // 2)
    equal(len(found) < RECORDS, True)
    reader.commit()
    reader.close()
    reader = member("resume")
    found += poll([reader], lambda more: len(found) + len(more) >= RECORDS)
    same(found, values())
    place = TopicPartition(name, 0)
    reader.commit({place: OffsetAndMetadata(0, "half way", -1)})
    committed = reader.committed(place, metadata=True)
    equal((committed.offset, committed.metadata), (0, "half way"))
    reader.close()


run([
    acks, codecs, headers, tombstones, large_records, idempotent_producer,
    idempotent_through_kill, seek, seek_by_time, keys,
    native_records, administration, refusals, group_consume, group_rebalance, commit_and_resume,
])
