"""confluent-kafka, which is librdkafka."""

import time

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
)

from checks import *


def produce(topic, records, **settings):
    """Sends (key, value, headers, timestamp) and gives the partition and offset of each."""
    wrong, places = [], []

    def told(error, message):
        if error:
            wrong.append(error)
        else:
            places.append((message.partition(), message.offset()))

    config = {"bootstrap.servers": BOOTSTRAP, "linger.ms": 5, "partitioner": "murmur2_random"}
    config.update({name.replace("_", "."): value for name, value in settings.items()})
    producer = Producer(config)
    for key, value, headers, timestamp in records:
        producer.produce(topic, value, key, headers=headers, timestamp=timestamp, on_delivery=told)
        producer.poll(0)
    equal(producer.flush(30), 0)
    equal(wrong, [])
    return places


def plain(values):
    return [(None, value, None, 0) for value in values]


def spread(values):
    """Records with keys, so that every partition has some. Those without may all come to one, as the
    client likes it; a member that has read nothing then cannot commit."""
    return [(value, value, None, 0) for value in values]


def consume(topic, count, offset=0, partition=0):
    consumer = Consumer({
        "bootstrap.servers": BOOTSTRAP,
        "group.id": "unused",
        "enable.auto.commit": False,
        "fetch.message.max.bytes": 4 * MEBIBYTE,
        "check.crcs": True,
    })
    consumer.assign([TopicPartition(topic, partition, offset)])
    found, end = [], time.time() + 20
    while len(found) < count and time.time() < end:
        message = consumer.poll(0.2)
        if message is not None:
            if message.error():
                raise KafkaException(message.error())
            found.append(message)
    consumer.close()
    equal(len(found), count)
    return found


def admin():
    return AdminClient({"bootstrap.servers": BOOTSTRAP})


def create(name, partitions=1, **config):
    config = {key.replace("_", "."): value for key, value in config.items()}
    new = NewTopic(name, partitions, 1, config=config)
    # It must outlive what it was asked for.
    kafka = admin()
    kafka.create_topics([new])[name].result(20)


def acks():
    for acks in ["0", "1", "all"]:
        name = topic(f"acks-{acks}")
        produce(name, plain(values()), acks=acks)
        equal([message.value() for message in consume(name, RECORDS)], values())


def codecs():
    for codec in CODECS:
        name = topic(f"codec-{codec}")
        produce(name, plain(values()), compression_type=codec)
        equal([message.value() for message in consume(name, RECORDS)], values())


def headers():
    sent = [("a", b"1"), ("a", b"2"), ("none", None), ("empty", b"")]
    produce(topic("headers"), [(b"k", b"v", sent, 0)])
    equal(consume(topic("headers"), 1)[0].headers(), sent)


def tombstones():
    produce(topic("tombstones"), [(b"k", None, None, 0), (b"", b"", None, 0)])
    found = consume(topic("tombstones"), 2)
    equal([(m.key(), m.value()) for m in found], [(b"k", None), (b"", b"")])


def large_records():
    create(topic("large"), max_message_bytes=str(LARGE_BATCH))
    sent = [large() for _ in range(3)]
    produce(topic("large"), plain(sent), message_max_bytes=LARGE_BATCH)
    equal([message.value() for message in consume(topic("large"), 3)], sent)


def idempotent_producer():
    name = topic("idempotent")
    places = produce(name, plain(values()), enable_idempotence=True)
    equal(places, [(0, offset) for offset in range(RECORDS)])
    equal([message.value() for message in consume(name, RECORDS)], values())


def idempotent_through_kill():
    name, sent = topic("killed"), values(MANY)
    places = produce(name, killing_the_broker(plain(sent)), enable_idempotence=True)
    equal(places, [(0, offset) for offset in range(MANY)])
    equal([message.value() for message in consume(name, MANY)], sent)


def seek():
    produce(topic("seek"), plain(values()))
    equal(consume(topic("seek"), 1, offset=RECORDS - 7)[0].value(), values()[-7])


def seek_by_time():
    name, start = topic("time"), now_ms() - 1_000_000
    produce(name, [(None, b"%d" % n, None, start + 1000 * n) for n in range(100)])
    consumer = Consumer({"bootstrap.servers": BOOTSTRAP, "group.id": "unused"})
    found = consumer.offsets_for_times([TopicPartition(name, 0, start + 41_500)], timeout=10)
    equal(found[0].offset, 42)
    late = consumer.offsets_for_times([TopicPartition(name, 0, start + 10**7)], timeout=10)
    equal(late[0].offset, -1)
    equal(consumer.get_watermark_offsets(TopicPartition(name, 0), timeout=10), (0, 100))
    consumer.close()
    equal(consume(name, 1, offset=42)[0].value(), b"42")


def keys():
    create(topic("keys"), partitions=3)
    produce(topic("keys"), [(key, b"v", None, 0) for key in KEYS])


def native_records():
    found = consume(NATIVE_TOPIC, NATIVE_RECORDS)
    equal([m.value() for m in found], [b"native-%d" % n for n in range(NATIVE_RECORDS)])


def administration():
    name, kafka = topic("admin"), admin()
    create(name, partitions=2, retention_ms="1000000", cleanup_policy="delete")
    equal(len(kafka.list_topics(name, 10).topics[name].partitions), 2)
    resource = ConfigResource(ConfigResource.Type.TOPIC, name)
    described = kafka.describe_configs([resource])[resource].result(10)
    equal(described["retention.ms"].value, "1000000")
    entry = ConfigEntry("retention.ms", "-1", incremental_operation=AlterConfigOpType.SET)
    change = ConfigResource(ConfigResource.Type.TOPIC, name, incremental_configs=[entry])
    kafka.incremental_alter_configs([change])[resource].result(10)
    equal(kafka.describe_configs([resource])[resource].result(10)["retention.ms"].value, "-1")
    kafka.create_partitions([NewPartitions(name, 5)])[name].result(10)
    equal(len(kafka.list_topics(name, 10).topics[name].partitions), 5)
    produce(topic("trimmed"), plain(values(10)))
    place = TopicPartition(topic("trimmed"), 0, 4)
    equal(kafka.delete_records([place])[place].result(10).low_watermark, 4)
    equal(len(kafka.describe_cluster().result(10).nodes), 1)
    kafka.delete_topics([name])[name].result(10)
    equal(name in kafka.list_topics(timeout=10).topics, False)


def refusals():
    try:
        create(topic("refused"), partitions=1, colour="red")
        raise AssertionError("an unknown configuration was taken")
    except KafkaException as error:
        equal(error.args[0].name(), "INVALID_CONFIG")
    produce(topic("small"), plain([b"x"]))
    try:
        produce(topic("small"), plain([large()]), message_max_bytes=LARGE_BATCH)
        raise AssertionError("a batch beyond the limit was taken")
    except AssertionError as error:
        if "MSG_SIZE_TOO_LARGE" not in str(error):
            raise


CLASSIC = {"session.timeout.ms": 6000, "heartbeat.interval.ms": 300}


def member(name, protocol=CLASSIC, subscribed=None, **settings):
    """A consumer of the group and the topic of this name, or of what else it is to subscribe to."""
    config = {
        "bootstrap.servers": BOOTSTRAP,
        "group.id": topic(name),
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        **protocol,
    }
    config.update({name.replace("_", "."): value for name, value in settings.items()})
    consumer = Consumer(config)
    consumer.subscribe([subscribed or topic(name)])
    return consumer


def poll(members, is_done):
    """Lets members read until it is done; the values that they read."""
    found, end = [], time.time() + PATIENCE
    while not is_done(found) and time.time() < end:
        for reader in members:
            message = reader.poll(0.05)
            if message is not None:
                if message.error():
                    raise KafkaException(message.error())
                found.append(message.value())
    equal(is_done(found), True)
    return found


def group_consume():
    name = topic("consume")
    create(name, partitions=PARTITIONS)
    produce(name, plain(values()))
    reader = member("consume")
    same(poll([reader], lambda found: len(found) >= RECORDS), values())
    kafka = admin()
    described = kafka.describe_consumer_groups([name])[name].result(10)
    equal((described.state.name, len(described.members)), ("STABLE", 1))
    equal(len(described.members[0].assignment.topic_partitions), PARTITIONS)
    reader.close()
    listed = kafka.list_consumer_groups().result(10).valid
    equal([group.state.name for group in listed if group.group_id == name], ["EMPTY"])
    kafka.delete_consumer_groups([name])[name].result(10)


def group_rebalance():
    for strategy in ["range", "cooperative-sticky"]:
        name = f"rebalance-{strategy}"
        create(topic(name), partitions=PARTITIONS)
        settings = {"partition_assignment_strategy": strategy}
        first = member(name, **settings)
        poll([first], shares([first], [3]))
        second = member(name, **settings)
        poll([first, second], shares([first, second], [1, 2]))
        produce(topic(name), spread(values()))
        same(poll([first, second], lambda found: len(found) >= RECORDS), values())
        first.commit(asynchronous=False)
        second.commit(asynchronous=False)
        first.close()
        poll([second], shares([second], [3]))
        produce(topic(name), plain(values(10)))
        same(poll([second], lambda found: len(found) >= 10), values(10))
        second.close()
    static_members()


def static_members():
    """One that is back in time gets what it had, and its earlier life is fenced."""
    create(topic("static"), partitions=PARTITIONS)
    first, second = member("static", group_instance_id="1"), member("static", group_instance_id="2")
    poll([first, second], shares([first, second], [1, 2]))
    had = first.assignment()
    first.close()
    first = member("static", group_instance_id="1")
    poll([first, second], lambda _: len(first.assignment()) > 0)
    equal({place.partition for place in first.assignment()}, {place.partition for place in had})
    first.close()
    second.close()


def commit_and_resume():
    name = topic("resume")
    create(name, partitions=PARTITIONS)
    produce(name, plain(values()))
    reader = member("resume")
    found = poll([reader], lambda found: len(found) >= RECORDS // 2)
    reader.commit(asynchronous=False)
    reader.close()
    reader = member("resume")
    found += poll([reader], lambda more: len(found) + len(more) >= RECORDS)
    same(found, values())
    place = TopicPartition(name, 0, 0, metadata="half way")
    reader.commit(offsets=[place], asynchronous=False)
    committed = reader.committed([place], 10)[0]
    equal((committed.offset, committed.metadata), (0, "half way"))
    reader.close()


def broker_assigned_group():
    """The newer protocol, in which the broker assigns."""
    name, protocol = topic("assigned"), {"group.protocol": "consumer"}
    create(name, partitions=PARTITIONS)
    first = member("assigned", protocol)
    poll([first], shares([first], [3]))
    second = member("assigned", protocol)
    poll([first, second], shares([first, second], [1, 2]))
    produce(name, spread(values()))
    same(poll([first, second], lambda found: len(found) >= RECORDS), values())
    first.commit(asynchronous=False)
    second.commit(asynchronous=False)
    kafka = admin()
    described = kafka.describe_consumer_groups([name])[name].result(10)
    equal((described.type.name, len(described.members)), ("CONSUMER", 2))
    first.close()
    poll([second], shares([second], [3]))
    produce(name, plain(values(10)))
    same(poll([second], lambda found: len(found) >= 10), values(10))
    second.close()


def pattern_subscription():
    """Topics by a pattern that the broker works out, one of them made later."""
    first, later, other = topic("pattern-a"), topic("pattern-b"), topic("other-pattern")
    for name in first, other:
        create(name)
        produce(name, plain(values(10)))
    reader = member("pattern", {"group.protocol": "consumer"}, subscribed="^" + topic("pattern-.*"))
    same(poll([reader], lambda found: len(found) >= 10), values(10))
    create(later)
    produce(later, plain(values(5)))
    same(poll([reader], lambda found: len(found) >= 5), values(5))
    reader.close()


run([
    acks, codecs, headers, tombstones, large_records, idempotent_producer,
    idempotent_through_kill, seek, seek_by_time, keys,
    native_records, administration, refusals, group_consume, group_rebalance, commit_and_resume,
    broker_assigned_group, pattern_subscription,
])
