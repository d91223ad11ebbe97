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
    run("seek", Interop::seek);
    run("seek-by-time", Interop::seekByTime);
    run("keys", Interop::keys);
    run("native-records", Interop::nativeRecords);
    run("administration", Interop::administration);
    run("refusals", Interop::refusals);
  }
}
