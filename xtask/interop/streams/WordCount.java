// Kafka Streams: words of lines are counted, at least once each, while the broker is killed and started
// again, and from what the changelog holds when the state is gone.

import java.nio.file.*;
import java.time.Duration;
import java.util.*;
import java.util.concurrent.*;
import java.util.concurrent.atomic.*;
import java.util.stream.*;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.serialization.*;
import org.apache.kafka.streams.*;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler;
import org.apache.kafka.streams.kstream.*;

public class WordCount {
  static final int PARTITIONS = 3;
  static final int LINES = 200;
  static final int WORDS = 50;
  static final Duration PATIENCE = Duration.ofSeconds(60);
  static String bootstrap;
  static String prefix;

  /** What was sent, by word. */
  static final Map<String, Long> sent = new ConcurrentHashMap<>();
  /** The newest count of each word. */
  static final Map<String, Long> counted = new TreeMap<>();

  interface Check {
    void run() throws Exception;
  }

  static String topic(String name) {
    return prefix + "-" + name;
  }

  static void equal(Object found, Object expected) {
    if (!Objects.equals(found, expected)) {
      throw new AssertionError("found " + found + ", expected " + expected);
    }
  }

  static Topology topology() {
    var builder = new StreamsBuilder();
    var strings = Serdes.String();
    var words = builder.stream(topic("lines"), Consumed.with(strings, strings))
        .flatMapValues(line -> List.of(line.split(" ")))
        .groupBy((key, word) -> word, Grouped.with("words", strings, strings));
    words.count(Named.as("count"), Materialized.as("total"))
        .toStream()
        .to(topic("counts"), Produced.with(strings, Serdes.Long()));
    // For its changelog, which is compacted and has a retention time, too.
    words.windowedBy(TimeWindows.ofSizeWithNoGrace(Duration.ofHours(1))).count(Materialized.as("hourly"));
    return builder.build();
  }

  static KafkaStreams start(Path state) {
    var config = new Properties();
    config.putAll(Map.of(
        "application.id", topic("words"), "bootstrap.servers", bootstrap, "state.dir", state.toString(),
        "processing.guarantee", "at_least_once", "commit.interval.ms", 200, "num.stream.threads", 2,
        // A stopped application does not leave its group: nobody should wait long for it.
        "main.consumer.session.timeout.ms", 6000, "main.consumer.heartbeat.interval.ms", 300));
    var streams = new KafkaStreams(topology(), config);
    streams.setUncaughtExceptionHandler(error -> {
      error.printStackTrace();
      return StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
    });
    streams.start();
    return streams;
  }

  static KafkaProducer<String, String> producer() {
    var strings = new StringSerializer();
    return new KafkaProducer<>(Map.of("bootstrap.servers", bootstrap), strings, strings);
  }

  /** Sends a line and waits until it is acknowledged. */
  static void send(KafkaProducer<String, String> producer, int n) throws Exception {
    var words = IntStream.range(0, 5).mapToObj(word -> "word-" + (n * 7 + word * word) % WORDS).toList();
    producer.send(new ProducerRecord<>(topic("lines"), String.join(" ", words))).get(60, TimeUnit.SECONDS);
    words.forEach(word -> sent.merge(word, 1L, Long::sum));
  }

  /** Reads counts until each word was counted as often as it was sent. */
  static void read(KafkaConsumer<String, Long> reader) {
    long end = System.nanoTime() + PATIENCE.toNanos();
    while (sent.entrySet().stream().anyMatch(word -> counted.getOrDefault(word.getKey(), 0L) < word.getValue())) {
      if (System.nanoTime() > end) {
        throw new AssertionError("it takes too long; counted " + counted + " of " + new TreeMap<>(sent));
      }
      reader.poll(Duration.ofMillis(100)).forEach(record -> counted.put(record.key(), record.value()));
    }
  }

  static void wordCount(KafkaConsumer<String, Long> reader) throws Exception {
    try (var producer = producer()) {
      for (int n = 0; n < LINES; n++) {
        send(producer, n);
      }
    }
    read(reader);
    equal(counted, new TreeMap<>(sent));
  }

  static void internalTopics(Admin kafka) throws Exception {
    var policies = Map.of(
        "words-repartition", "delete", "total-changelog", "compact", "hourly-changelog", "compact,delete");
    for (var expected : policies.entrySet()) {
      String name = topic("words") + "-" + expected.getKey();
      var described = kafka.describeTopics(List.of(name)).allTopicNames().get().get(name);
      equal(described.partitions().size(), PARTITIONS);
      var resource = new ConfigResource(ConfigResource.Type.TOPIC, name);
      var config = kafka.describeConfigs(List.of(resource)).all().get().get(resource);
      var policy = Stream.of(config.get("cleanup.policy").value().split(",")).sorted();
      equal(policy.collect(Collectors.joining(",")), expected.getValue());
    }
  }

  /** The broker dies while lines are sent and counted. */
  static void brokerRestart(KafkaStreams streams, KafkaConsumer<String, Long> reader) throws Exception {
    var acknowledged = new Semaphore(0);
    var isEnough = new AtomicBoolean();
    var sender = CompletableFuture.runAsync(() -> {
      try (var producer = producer()) {
        for (int n = 0; !isEnough.get(); n++) {
          send(producer, n);
          acknowledged.release();
        }
      } catch (Exception error) {
        throw new CompletionException(error);
      }
    });
    awaitMore(acknowledged, sender);
    restartBroker();
    awaitMore(acknowledged, sender);
    isEnough.set(true);
    sender.get(60, TimeUnit.SECONDS);
    read(reader);
    equal(streams.state(), KafkaStreams.State.RUNNING);
    // At least once: more is allowed where a task had to begin again, but then it is not far more.
    for (var word : sent.entrySet()) {
      long count = counted.get(word.getKey());
      if (count > 2 * word.getValue()) {
        throw new AssertionError(word + " was counted " + count + " times");
      }
    }
  }

  static void awaitMore(Semaphore acknowledged, Future<?> sender) throws Exception {
    if (!acknowledged.tryAcquire(LINES, PATIENCE.toSeconds(), TimeUnit.SECONDS)) {
      sender.cancel(true);
      throw new AssertionError("lines are not acknowledged");
    }
  }

  static void restartBroker() throws Exception {
    System.out.println("restart");
    equal(new Scanner(System.in).nextLine(), "restarted");
  }

  /** With its state gone, an application counts on from the changelog. */
  static void restoredState(Path state, KafkaStreams first, KafkaConsumer<String, Long> reader) throws Exception {
    equal(first.close(PATIENCE), true);
    // Tasks that began again may have counted on since.
    for (var end : reader.endOffsets(reader.assignment()).entrySet()) {
      while (reader.position(end.getKey()) < end.getValue()) {
        reader.poll(Duration.ofMillis(100)).forEach(record -> counted.put(record.key(), record.value()));
      }
    }
    first.cleanUp();
    sent.clear();
    counted.forEach((word, count) -> sent.put(word, count));
    try (var streams = start(state); var producer = producer()) {
      for (int n = 0; n < LINES; n++) {
        send(producer, n);
      }
      read(reader);
      equal(counted, new TreeMap<>(sent));
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

  public static void main(String[] words) throws Exception {
    bootstrap = words[0];
    prefix = words[1];
    Path state = Files.createTempDirectory("word-count");
    Map<String, Object> config = Map.of("bootstrap.servers", bootstrap);
    try (var kafka = Admin.create(config);
        var reader = new KafkaConsumer<>(config, new StringDeserializer(), new LongDeserializer())) {
      var topics = Stream.of("lines", "counts").map(name -> new NewTopic(topic(name), PARTITIONS, (short) 1));
      kafka.createTopics(topics.toList()).all().get();
      var counts = IntStream.range(0, PARTITIONS).mapToObj(n -> new TopicPartition(topic("counts"), n)).toList();
      reader.assign(counts);
      reader.seekToBeginning(counts);
      try (var streams = start(state)) {
        run("word-count", () -> wordCount(reader));
        run("internal-topics", () -> internalTopics(kafka));
        run("broker-restart", () -> brokerRestart(streams, reader));
        run("restored-state", () -> restoredState(state, streams, reader));
      }
    }
    try (var left = Files.walk(state)) {
      left.sorted(Comparator.reverseOrder()).forEach(path -> path.toFile().delete());
    }
    System.exit(0);
  }
}
