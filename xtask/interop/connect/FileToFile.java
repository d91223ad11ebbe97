// Kafka Connect: a worker takes lines from a file into a topic and from there into another file, while
// the broker is killed and started again.

import java.io.*;
import java.nio.file.*;
import java.util.*;
import java.util.concurrent.*;
import java.util.stream.*;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.connect.cli.ConnectStandalone;

public class FileToFile {
  static final int LINES = 1000;
  static final long PATIENCE_S = 60;
  static String bootstrap;
  static String prefix;
  static Path place;
  /** Lines that were written into the first file. */
  static int written = 0;

  interface Check {
    void run() throws Exception;
  }

  static void equal(Object found, Object expected) {
    if (!Objects.equals(found, expected)) {
      throw new AssertionError("found " + found + ", expected " + expected);
    }
  }

  static String file(String name) {
    return place.resolve(name).toString();
  }

  static String properties(String name, String... lines) throws IOException {
    Files.write(place.resolve(name), List.of(lines));
    return file(name);
  }

  /** The worker as people start it, with a source and a sink. */
  static void start() throws IOException {
    String worker = properties("worker.properties",
        "bootstrap.servers=" + bootstrap,
        "key.converter=org.apache.kafka.connect.storage.StringConverter",
        "value.converter=org.apache.kafka.connect.storage.StringConverter",
        "offset.storage.file.filename=" + file("offsets"),
        "offset.flush.interval.ms=500",
        "listeners=http://127.0.0.1:0");
    String source = properties("source.properties",
        "name=" + prefix + "-source", "connector.class=FileStreamSource", "tasks.max=1",
        "file=" + file("in"), "topic=" + prefix + "-lines");
    String sink = properties("sink.properties",
        "name=" + prefix + "-sink", "connector.class=FileStreamSink", "tasks.max=1",
        "file=" + file("out"), "topics=" + prefix + "-lines");
    var thread = new Thread(() -> ConnectStandalone.main(new String[] {worker, source, sink}));
    thread.setDaemon(true);
    thread.start();
  }

  static void write(int count) throws IOException {
    var lines = IntStream.range(written, written + count).mapToObj(n -> "line " + n).toList();
    Files.write(place.resolve("in"), lines, StandardOpenOption.CREATE, StandardOpenOption.APPEND);
    written += count;
  }

  static List<String> arrived() throws IOException {
    Path out = place.resolve("out");
    return Files.exists(out) ? Files.readAllLines(out) : List.of();
  }

  interface IsDone {
    boolean test() throws Exception;
  }

  static void await(String what, IsDone isDone) throws Exception {
    long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(PATIENCE_S);
    while (!isDone.test()) {
      if (System.nanoTime() > end) {
        throw new AssertionError(what + " takes too long; " + arrived().size() + " of " + written + " lines arrived");
      }
      Thread.sleep(50);
    }
  }

  static List<String> all() {
    return IntStream.range(0, written).mapToObj(n -> "line " + n).toList();
  }

  static void fileToFile() throws Exception {
    write(LINES);
    await("the way of lines", () -> arrived().size() >= LINES);
    equal(arrived(), all());
  }

  /** The broker dies while lines come. Some may arrive twice, but in order, and each. */
  static void brokerRestart() throws Exception {
    var restarted = CompletableFuture.supplyAsync(() -> {
      System.out.println("restart");
      return new Scanner(System.in).nextLine();
    });
    while (!restarted.isDone()) {
      write(10);
      Thread.sleep(5);
    }
    equal(restarted.get(), "restarted");
    write(LINES);
    await("the way of lines", () -> new HashSet<>(arrived()).size() >= written);
    equal(arrived().stream().distinct().toList(), all());
  }

  /** The sink commits what it has written, and so begins there if it is started again. */
  static void committedOffsets(Admin kafka) throws Exception {
    var place = new TopicPartition(prefix + "-lines", 0);
    await("a commit", () -> {
      var end = kafka.listOffsets(Map.of(place, OffsetSpec.latest())).partitionResult(place).get().offset();
      var committed = kafka.listConsumerGroupOffsets("connect-" + prefix + "-sink");
      var offset = committed.partitionsToOffsetAndMetadata().get().get(place);
      return offset != null && offset.offset() == end;
    });
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
    place = Files.createTempDirectory("connect");
    start();
    try (var kafka = Admin.create(Map.of("bootstrap.servers", bootstrap))) {
      run("file-to-file", FileToFile::fileToFile);
      run("broker-restart", FileToFile::brokerRestart);
      run("committed-offsets", () -> committedOffsets(kafka));
    }
    try (var left = Files.walk(place)) {
      left.sorted(Comparator.reverseOrder()).forEach(path -> path.toFile().delete());
    }
    System.exit(0);
  }
}
