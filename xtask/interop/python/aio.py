"""aiokafka."""

import asyncio
import time

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from checks import *

LOOP = asyncio.new_event_loop()
asyncio.set_event_loop(LOOP)


def wait(work):
    return LOOP.run_until_complete(asyncio.wait_for(work, 40))


def produce(topic, records, **settings):
    async def sending():
        producer = AIOKafkaProducer(bootstrap_servers=BOOTSTRAP, linger_ms=5, **settings)
        await producer.start()
        try:
            sent = [
                await producer.send(
                    topic, key=key, value=value, headers=headers, timestamp_ms=timestamp
                )
                for key, value, headers, timestamp in records
            ]
            return [await future for future in sent]
        finally:
            await producer.stop()

    found = wait(sending())
    return [(place.partition, place.offset) for place in found if place is not None]


def plain(values):
    return [(None, value, [], None) for value in values]


def reading(work):
    async def run_it():
        reader = AIOKafkaConsumer(
            bootstrap_servers=BOOTSTRAP,
            enable_auto_commit=False,
            max_partition_fetch_bytes=4 * MEBIBYTE,
        )
        await reader.start()
        try:
            return await work(reader)
        finally:
            await reader.stop()

    return wait(run_it())


def consume(topic, count, offset=0, partition=0):
    async def work(reader):
        place = TopicPartition(topic, partition)
        reader.assign([place])
        reader.seek(place, offset)
        return [await reader.getone() for _ in range(count)]

    return reading(work)


def administering(work):
    async def run_it():
        admin = AIOKafkaAdminClient(bootstrap_servers=BOOTSTRAP)
        await admin.start()
        try:
            return await work(admin)
        finally:
            await admin.close()

    return wait(run_it())


def create(name, partitions=1, **config):
    config = {key.replace("_", "."): value for key, value in config.items()}
    new = NewTopic(name, partitions, 1, topic_configs=config)
    administering(lambda admin: admin.create_topics([new]))


def acks():
    for acks in [0, 1, "all"]:
        name = topic(f"acks-{acks}")
        produce(name, plain(values()), acks=acks)
        equal([message.value for message in consume(name, RECORDS)], values())


def codecs():
    for codec in CODECS:
        name = topic(f"codec-{codec}")
        kind = None if codec == "none" else codec
        produce(name, plain(values()), compression_type=kind)
        equal([message.value for message in consume(name, RECORDS)], values())


def headers():
    sent = [("a", b"1"), ("a", b"2"), ("none", None), ("empty", b"")]
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


def seek():
    produce(topic("seek"), plain(values()))
    equal(consume(topic("seek"), 1, offset=RECORDS - 7)[0].value, values()[-7])


def seek_by_time():
    name, start = topic("time"), now_ms() - 1_000_000
    produce(name, [(None, b"%d" % n, [], start + 1000 * n) for n in range(100)])
    place = TopicPartition(name, 0)

    async def work(reader):
        found = (await reader.offsets_for_times({place: start + 41_500}))[place]
        equal((found.offset, found.timestamp), (42, start + 42_000))
        equal((await reader.offsets_for_times({place: start + 10**7}))[place], None)
        equal((await reader.beginning_offsets([place]))[place], 0)
        equal((await reader.end_offsets([place]))[place], 100)

    reading(work)
    equal(consume(name, 1, offset=42)[0].value, b"42")


def keys():
    create(topic("keys"), partitions=3)
    produce(topic("keys"), [(key, b"v", [], None) for key in KEYS])


def native_records():
    found = consume(NATIVE_TOPIC, NATIVE_RECORDS)
    equal([m.value for m in found], [b"native-%d" % n for n in range(NATIVE_RECORDS)])


def administration():
    name = topic("admin")
    create(name, partitions=2, retention_ms="1000000")
    resource = ConfigResource(ConfigResourceType.TOPIC, name)
    change = ConfigResource(ConfigResourceType.TOPIC, name, configs={"retention.ms": "-1"})

    async def work(admin):
        equal(len((await admin.describe_topics([name]))[0]["partitions"]), 2)
        described = str(await admin.describe_configs([resource]))
        equal("retention.ms" in described and "1000000" in described, True)
        await admin.alter_configs([change])
        await admin.create_partitions({name: NewPartitions(5)})
        equal(len((await admin.describe_topics([name]))[0]["partitions"]), 5)
        await admin.describe_cluster()
        await admin.delete_topics([name])
        equal(name in await admin.list_topics(), False)

    administering(work)


async def member(name):
    """A consumer of the group and the topic of this name."""
    reader = AIOKafkaConsumer(
        topic(name),
        bootstrap_servers=BOOTSTRAP,
        group_id=topic(name),
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        session_timeout_ms=6000,
        heartbeat_interval_ms=300,
        metadata_max_age_ms=1000,
    )
    await reader.start()
    return reader


async def poll(members, is_done):
    """Lets members read until it is done; the values that they read."""
    found, end = [], time.time() + PATIENCE
    while not is_done(found) and time.time() < end:
        for reader in members:
            for messages in (await reader.getmany(timeout_ms=50)).values():
                found.extend(message.value for message in messages)
    equal(is_done(found), True)
    return found


def group_consume():
    name = topic("consume")
    create(name, partitions=PARTITIONS)
    produce(name, plain(values()))

    async def work():
        reader = await member("consume")
        same(await poll([reader], lambda found: len(found) >= RECORDS), values())
        await reader.stop()

    wait(work())

    async def seen(admin):
        equal(name in [group[0] for group in await admin.list_consumer_groups()], True)

    administering(seen)


def group_rebalance():
    name = topic("rebalance")
    create(name, partitions=PARTITIONS)

    async def work():
        first = await member("rebalance")
        await poll([first], shares([first], [3]))
        second = await member("rebalance")
        await poll([first, second], shares([first, second], [1, 2]))
        await asyncio.to_thread(send, values())
        same(await poll([first, second], lambda found: len(found) >= RECORDS), values())
        await first.commit()
        await second.commit()
        await first.stop()
        await poll([second], shares([second], [3]))
        await asyncio.to_thread(send, values(10))
        same(await poll([second], lambda found: len(found) >= 10), values(10))
        await second.stop()

    def send(sent):
        asyncio.run(sending(sent))

    async def sending(sent):
        producer = AIOKafkaProducer(bootstrap_servers=BOOTSTRAP)
        await producer.start()
        for value in sent:
            await producer.send_and_wait(name, value)
        await producer.stop()

    wait(work())


def commit_and_resume():
    name = topic("resume")
    create(name, partitions=PARTITIONS)
    produce(name, plain(values()))

    async def work():
        reader, found = await member("resume"), []
        for _ in range(RECORDS // 2):
            found.append((await reader.getone()).value)
        await reader.commit()
        await reader.stop()
        reader = await member("resume")
        found += await poll([reader], lambda more: len(found) + len(more) >= RECORDS)
        same(found, values())
        place = TopicPartition(name, 0)
        await reader.commit({place: (0, "half way")})
        equal(await reader.committed(place), 0)
        await reader.stop()

    wait(work())


run([
    acks, codecs, headers, tombstones, large_records, idempotent_producer, seek, seek_by_time, keys,
    native_records, administration, group_consume, group_rebalance, commit_and_resume,
])
