// kafka-clients, the Java client of Apache Kafka's own.

import java.time.Duration;
import java.util.*;
import java.util.concurrent.*;
import java.util.stream.*;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.*;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.*;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.*;

public class Interop {
  static final int RECORDS = 200;
  static final int MEBIBYTE = 1 << 20;
  static String bootstrap;
  static String prefix;

  interface Check {
    void run() throws Exception;
  }

  static String topic(String name) {
    return prefix + "-" + name;
  }

  static byte[] bytes(String text) {
    return text.getBytes();
  }

  static List<byte[]> values(int count) {
    return IntStream.range(0, count).mapToObj(n -> bytes(("value " + n + " ").repeat(5))).toList();
  }

  static void equal(Object found, Object expected) {
    if (!Objects.equals(found, expected)) {
      throw new AssertionError("found " + found + ", expected " + expected);
    }
  }

  static List<ProducerRecord<byte[], byte[]>> plain(String topic, List<byte[]> values) {
    return values.stream().map(value -> new ProducerRecord<byte[], byte[]>(topic, value)).toList();
  }

  static List<RecordMetadata> produce(List<ProducerRecord<byte[], byte[]>> records, Object... settings)
      throws Exception {
    Map<String, Object> config = new HashMap<>(Map.of("bootstrap.servers", bootstrap, "linger.ms", 5));
    for (int at = 0; at < settings.length; at += 2) {
      config.put((String) settings[at], settings[at + 1]);
    }
    var bytes = new ByteArraySerializer();
    try (var producer = new KafkaProducer<>(config, bytes, bytes)) {
      var sent = new ArrayList<Future<RecordMetadata>>();
      for (var record : records) {
        sent.add(producer.send(record));
      }
      var found = new ArrayList<RecordMetadata>();
      for (var future : sent) {
        found.add(future.get(20, TimeUnit.SECONDS));
      }
      return found;
    }
  }

  static KafkaConsumer<byte[], byte[]> consumer() {
    Map<String, Object> config = Map.of(
        "bootstrap.servers", bootstrap, "enable.auto.commit", false, "check.crcs", true);
    var bytes = new ByteArrayDeserializer();
    return new KafkaConsumer<>(config, bytes, bytes);
  }

  static List<ConsumerRecord<byte[], byte[]>> consume(String topic, int count, long offset) {
    try (var consumer = consumer()) {
      var place = new TopicPartition(topic, 0);
      consumer.assign(List.of(place));
      consumer.seek(place, offset);
      var found = new ArrayList<ConsumerRecord<byte[], byte[]>>();
      long end = System.nanoTime() + 20_000_000_000L;
      while (found.size() < count && System.nanoTime() < end) {
        consumer.poll(Duration.ofMillis(200)).forEach(found::add);
      }
      equal(found.size(), count);
      return found;
    }
  }

  static void sameValues(List<ConsumerRecord<byte[], byte[]>> found, List<byte[]> expected) {
    for (int n = 0; n < expected.size(); n++) {
      if (!Arrays.equals(found.get(n).value(), expected.get(n))) {
        throw new AssertionError("value " + n + " differs");
      }
    }
  }

  static Admin admin() {
    return Admin.create(Map.of("bootstrap.servers", bootstrap, "request.timeout.ms", 10000, "default.api.timeout.ms", 20000));
  }

  static void create(String name, int partitions, Map<String, String> configs) throws Exception {
    try (var kafka = admin()) {
      var topic = new NewTopic(name, partitions, (short) 1).configs(configs);
      kafka.createTopics(List.of(topic)).all().get();
    }
  }

  static void acks() throws Exception {
    for (String acks : List.of("0", "1", "all")) {
      String name = topic("acks-" + acks);
      produce(plain(name, values(RECORDS)), "acks", acks, "enable.idempotence", acks.equals("all"));
      sameValues(consume(name, RECORDS, 0), values(RECORDS));
    }
  }

  static void codecs() throws Exception {
    for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
      String name = topic("codec-" + codec);
      produce(plain(name, values(RECORDS)), "compression.type", codec);
      sameValues(consume(name, RECORDS, 0), values(RECORDS));
    }
  }

  static void headers() throws Exception {
    var record = new ProducerRecord<>(topic("headers"), bytes("k"), bytes("v"));
    record.headers().add("a", bytes("1")).add("a", bytes("2")).add("none", null).add("empty", new byte[0]);
    produce(List.of(record));
    var found = new ArrayList<String>();
    for (Header header : consume(topic("headers"), 1, 0).get(0).headers()) {
      found.add(header.key() + "=" + (header.value() == null ? "null" : new String(header.value())));
    }
    equal(found, List.of("a=1", "a=2", "none=null", "empty="));
  }

  static void tombstones() throws Exception {
    produce(List.of(new ProducerRecord<>(topic("tombstones"), bytes("k"), null)));
    var found = consume(topic("tombstones"), 1, 0).get(0);
    equal(new String(found.key()), "k");
    equal(found.value(), null);
  }

  static void largeRecords() throws Exception {
    create(topic("large"), 1, Map.of("max.message.bytes", String.valueOf(2 * MEBIBYTE)));
    var random = new Random(7);
    List<byte[]> sent = Stream.generate(() -> new byte[MEBIBYTE]).limit(3).toList();
    sent.forEach(random::nextBytes);
    produce(plain(topic("large"), sent), "max.request.size", 2 * MEBIBYTE);
    sameValues(consume(topic("large"), 3, 0), sent);
  }

  static void idempotentProducer() throws Exception {
    var found = produce(plain(topic("idempotent"), values(RECORDS)));
    for (int n = 0; n < RECORDS; n++) {
      equal(found.get(n).offset(), (long) n);
    }
    sameValues(consume(topic("idempotent"), RECORDS, 0), values(RECORDS));
  }

  /** The broker is killed in the midst of it. */
  static void idempotentThroughKill() throws Exception {
    int many = 20_000;
    String name = topic("killed");
    var records = plain(name, values(many));
    Map<String, Object> config = Map.of("bootstrap.servers", bootstrap, "linger.ms", 5);
    var bytes = new ByteArraySerializer();
    try (var producer = new KafkaProducer<>(config, bytes, bytes)) {
      var sent = new ArrayList<Future<RecordMetadata>>();
      for (var record : records) {
        if (sent.size() == many / 2) {
          System.out.println("restart");
          equal(new Scanner(System.in).nextLine(), "restarted");
        }
        sent.add(producer.send(record));
      }
      for (int n = 0; n < many; n++) {
        equal(sent.get(n).get(30, TimeUnit.SECONDS).offset(), (long) n);
      }
    }
    sameValues(consume(name, many, 0), values(many));
  }

  static void seek() throws Exception {
    produce(plain(topic("seek"), values(RECORDS)));
    sameValues(consume(topic("seek"), 7, RECORDS - 7), values(RECORDS).subList(RECORDS - 7, RECORDS));
  }

  static void seekByTime() throws Exception {
    String name = topic("time");
    long start = System.currentTimeMillis() - 1_000_000;
    var records = new ArrayList<ProducerRecord<byte[], byte[]>>();
    for (int n = 0; n < 100; n++) {
      records.add(new ProducerRecord<>(name, 0, start + 1000 * n, null, bytes("" + n)));
    }
    produce(records);
    var place = new TopicPartition(name, 0);
    try (var consumer = consumer(); var kafka = admin()) {
      var found = consumer.offsetsForTimes(Map.of(place, start + 41_500)).get(place);
      equal(found.offset(), 42L);
      equal(found.timestamp(), start + 42_000);
      equal(consumer.offsetsForTimes(Map.of(place, start + 10_000_000)).get(place), null);
      equal(consumer.beginningOffsets(List.of(place)).get(place), 0L);
      equal(consumer.endOffsets(List.of(place)).get(place), 100L);
      var newest = kafka.listOffsets(Map.of(place, OffsetSpec.maxTimestamp())).partitionResult(place);
      equal(newest.get().offset(), 99L);
    }
  }

  static void keys() throws Exception {
    create(topic("keys"), 3, Map.of());
    var records = new ArrayList<ProducerRecord<byte[], byte[]>>();
    for (int n = 0; n < 30; n++) {
      records.add(new ProducerRecord<>(topic("keys"), bytes("key-" + n), bytes("v")));
    }
    produce(records);
  }

  static void nativeRecords() {
    var found = consume("native", 20, 0);
    for (int n = 0; n < 20; n++) {
      equal(new String(found.get(n).value()), "native-" + n);
    }
  }

  static String retention(Admin kafka, ConfigResource topic) throws Exception {
    return kafka.describeConfigs(List.of(topic)).all().get().get(topic).get("retention.ms").value();
  }

  static void administration() throws Exception {
    String name = topic("admin");
    create(name, 2, Map.of("retention.ms", "1000000"));
    try (var kafka = admin()) {
      equal(kafka.describeTopics(List.of(name)).allTopicNames().get().get(name).partitions().size(), 2);
      var resource = new ConfigResource(ConfigResource.Type.TOPIC, name);
      equal(retention(kafka, resource), "1000000");
      var op = new AlterConfigOp(new ConfigEntry("retention.ms", "-1"), AlterConfigOp.OpType.SET);
      kafka.incrementalAlterConfigs(Map.of(resource, List.of(op))).all().get();
      equal(retention(kafka, resource), "-1");
      kafka.createPartitions(Map.of(name, NewPartitions.increaseTo(5))).all().get();
      equal(kafka.describeTopics(List.of(name)).allTopicNames().get().get(name).partitions().size(), 5);
      produce(plain(topic("trimmed"), values(10)));
      var place = new TopicPartition(topic("trimmed"), 0);
      var deleted = kafka.deleteRecords(Map.of(place, RecordsToDelete.beforeOffset(4)));
      equal(deleted.lowWatermarks().get(place).get().lowWatermark(), 4L);
      equal(kafka.describeCluster().nodes().get().size(), 1);
      kafka.describeLogDirs(List.of(1)).allDescriptions().get();
      kafka.deleteTopics(List.of(name)).all().get();
      equal(kafka.listTopics().names().get().contains(name), false);
    }
  }

  static void refusals() throws Exception {
    try {
      create(topic("refused"), 1, Map.of("colour", "red"));
      throw new AssertionError("an unknown configuration was taken");
    } catch (ExecutionException error) {
      equal(error.getCause().getClass(), InvalidConfigurationException.class);
    }
    try {
      produce(plain(topic("small"), List.of(new byte[2 * MEBIBYTE])), "max.request.size", 4 * MEBIBYTE);
      throw new AssertionError("a batch beyond the limit was taken");
    } catch (ExecutionException error) {
      equal(error.getCause().getClass(), RecordTooLargeException.class);
    }
  }

  /** A consumer of the group and the topic of this name. */
  static KafkaConsumer<byte[], byte[]> member(String name, Object... settings) {
    var config = new ArrayList<Object>(List.of("session.timeout.ms", 6000, "heartbeat.interval.ms", 300));
    config.addAll(List.of(settings));
    return memberOf(name, config.toArray());
  }

  /** The same without anything about the protocol. */
  static KafkaConsumer<byte[], byte[]> memberOf(String name, Object... settings) {
    Map<String, Object> config = new HashMap<>(Map.of(
        "bootstrap.servers", bootstrap, "group.id", topic(name), "auto.offset.reset", "earliest",
        "enable.auto.commit", false));
    for (int at = 0; at < settings.length; at += 2) {
      config.put((String) settings[at], settings[at + 1]);
    }
    var bytes = new ByteArrayDeserializer();
    var consumer = new KafkaConsumer<>(config, bytes, bytes);
    consumer.subscribe(List.of(topic(name)));
    return consumer;
  }

  interface IsDone {
    boolean test(List<String> found);
  }

  /** Lets members read until it is done; the values that they read. */
  static List<String> read(List<KafkaConsumer<byte[], byte[]>> members, IsDone isDone) {
    var found = new ArrayList<String>();
    long end = System.nanoTime() + 30_000_000_000L;
    while (!isDone.test(found)) {
      if (System.nanoTime() > end) {
        throw new AssertionError("it takes too long; " + found.size() + " records were read");
      }
      for (var reader : members) {
        reader.poll(Duration.ofMillis(50)).forEach(record -> found.add(new String(record.value())));
      }
    }
    return found;
  }

  static IsDone shares(List<KafkaConsumer<byte[], byte[]>> members, List<Integer> expected) {
    return found ->
        members.stream().map(member -> member.assignment().size()).sorted().toList().equals(expected);
  }

  /** Each value exactly once, in whatever order. */
  static void sameSet(List<String> found, List<byte[]> expected) {
    equal(found.stream().sorted().toList(), expected.stream().map(String::new).sorted().toList());
  }

  static void groupConsume() throws Exception {
    String name = topic("consume");
    create(name, 3, Map.of());
    produce(plain(name, values(RECORDS)));
    try (var kafka = admin()) {
      try (var reader = member("consume")) {
        sameSet(read(List.of(reader), found -> found.size() >= RECORDS), values(RECORDS));
        var described = kafka.describeConsumerGroups(List.of(name)).all().get().get(name);
        equal(described.groupState(), GroupState.STABLE);
        equal(described.members().iterator().next().assignment().topicPartitions().size(), 3);
      }
      var listed = kafka.listGroups().all().get().stream().filter(group -> group.groupId().equals(name));
      equal(listed.map(group -> group.groupState().get()).toList(), List.of(GroupState.EMPTY));
      kafka.deleteConsumerGroups(List.of(name)).all().get();
    }
  }

  static void groupRebalance() throws Exception {
    for (String assignor : List.of("RangeAssignor", "CooperativeStickyAssignor")) {
      String name = "rebalance-" + assignor;
      create(topic(name), 3, Map.of());
      Object[] settings = {
        "partition.assignment.strategy", "org.apache.kafka.clients.consumer." + assignor
      };
      var second = member(name, settings);
      try (var first = member(name, settings)) {
        read(List.of(first), shares(List.of(first), List.of(3)));
        var both = List.of(first, second);
        read(both, shares(both, List.of(1, 2)));
        produce(plain(topic(name), values(RECORDS)));
        sameSet(read(both, found -> found.size() >= RECORDS), values(RECORDS));
        first.commitSync();
        second.commitSync();
      }
      read(List.of(second), shares(List.of(second), List.of(3)));
      produce(plain(topic(name), values(10)));
      sameSet(read(List.of(second), found -> found.size() >= 10), values(10));
      second.close();
    }
    staticMembers();
  }

  /** One that is back in time gets what it had, and its earlier life is fenced. */
  static void staticMembers() throws Exception {
    create(topic("static"), 3, Map.of());
    var first = member("static", "group.instance.id", "1");
    try (var second = member("static", "group.instance.id", "2")) {
      read(List.of(first, second), shares(List.of(first, second), List.of(1, 2)));
      var had = first.assignment();
      try (var again = member("static", "group.instance.id", "1")) {
        read(List.of(again, second), found -> !again.assignment().isEmpty());
        equal(again.assignment(), had);
        try {
          first.commitSync(Map.of(had.iterator().next(), new OffsetAndMetadata(0)));
          throw new AssertionError("an earlier life has committed");
        } catch (FencedInstanceIdException | CommitFailedException expected) {
          // As it should be.
        }
      }
    } finally {
      first.close();
    }
  }

  static void commitAndResume() throws Exception {
    String name = topic("resume");
    create(name, 3, Map.of());
    produce(plain(name, values(RECORDS)));
    var found = new ArrayList<String>();
    try (var reader = member("resume", "max.poll.records", 40)) {
      found.addAll(read(List.of(reader), some -> some.size() >= RECORDS / 2));
      reader.commitSync();
    }
    int rest = RECORDS - found.size();
    try (var reader = member("resume")) {
      found.addAll(read(List.of(reader), some -> some.size() >= rest));
      sameSet(found, values(RECORDS));
      var place = new TopicPartition(name, 0);
      reader.commitSync(Map.of(place, new OffsetAndMetadata(0, "half way")));
      var committed = reader.committed(Set.of(place)).get(place);
      equal(committed.offset() + committed.metadata(), "0half way");
    }
  }

  /** The newer protocol, in which the broker assigns. */
  static void brokerAssignedGroup() throws Exception {
    String name = "assigned";
    create(topic(name), 3, Map.of());
    var second = memberOf(name, "group.protocol", "consumer");
    try (var first = memberOf(name, "group.protocol", "consumer"); var kafka = admin()) {
      read(List.of(first), shares(List.of(first), List.of(3)));
      var both = List.of(first, second);
      read(both, shares(both, List.of(1, 2)));
      produce(plain(topic(name), values(RECORDS)));
      sameSet(read(both, found -> found.size() >= RECORDS), values(RECORDS));
      first.commitSync();
      second.commitSync();
      var described = kafka.describeConsumerGroups(List.of(topic(name))).all().get().get(topic(name));
      equal(described.type(), GroupType.CONSUMER);
      equal(described.members().size(), 2);
    }
    read(List.of(second), shares(List.of(second), List.of(3)));
    produce(plain(topic(name), values(10)));
    sameSet(read(List.of(second), found -> found.size() >= 10), values(10));
    second.close();
  }

  /** Topics by a pattern that the broker works out, one of them made later. */
  static void patternSubscription() throws Exception {
    for (var name : List.of("pattern-a", "other-pattern")) {
      create(topic(name), 1, Map.of());
      produce(plain(topic(name), values(10)));
    }
    try (var reader = memberOf("pattern", "group.protocol", "consumer")) {
      reader.unsubscribe();
      reader.subscribe(new SubscriptionPattern(topic("pattern-.*")));
      sameSet(read(List.of(reader), found -> found.size() >= 10), values(10));
      create(topic("pattern-b"), 1, Map.of());
      produce(plain(topic("pattern-b"), values(5)));
      sameSet(read(List.of(reader), found -> found.size() >= 5), values(5));
    }
  }

  static void run(String name, Check check) {
    try {
      check.run();
      System.out.println("ok " + name);
    } catch (Throwable error) {
      error.printStackTrace();
      System.out.println("fail " + name + ": " + String.valueOf(error).replace('\n', ' '));
    }
  }

  public static void main(String[] words) {
    bootstrap = words[0];
    prefix = words[1];
    run("acks", Interop::acks);
    run("codecs", Interop::codecs);
    run("headers", Interop::headers);
    run("tombstones", Interop::tombstones);
    run("large-records", Interop::largeRecords);
    run("idempotent-producer", Interop::idempotentProducer);
    run("idempotent-through-kill", Interop::idempotentThroughKill);
    run("seek", Interop::seek);
    run("seek-by-time", Interop::seekByTime);
    run("keys", Interop::keys);
    run("native-records", Interop::nativeRecords);
    run("administration", Interop::administration);
    run("refusals", Interop::refusals);
    run("group-consume", Interop::groupConsume);
    run("group-rebalance", Interop::groupRebalance);
    run("commit-and-resume", Interop::commitAndResume);
    run("broker-assigned-group", Interop::brokerAssignedGroup);
    run("pattern-subscription", Interop::patternSubscription);
  }
}
