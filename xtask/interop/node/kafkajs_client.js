// kafkajs. Its consumers need a group, so whatever it reads it reads within one.
const { Kafka, CompressionTypes, CompressionCodecs, ConfigResourceTypes, logLevel } = require("kafkajs");
const SnappyCodec = require("kafkajs-snappy");

CompressionCodecs[CompressionTypes.Snappy] = SnappyCodec;

const [bootstrap, prefix] = process.argv.slice(2);
const topic = (name) => `${prefix}-${name}`;
const kafka = new Kafka({
  clientId: "interop",
  brokers: [bootstrap],
  logLevel: logLevel.NOTHING,
  retry: { retries: 2 },
});
const RECORDS = 200;
const values = () => Array.from({ length: RECORDS }, (_, n) => `value ${n} `.repeat(5));

function equal(found, expected) {
  const [a, b] = [JSON.stringify(found), JSON.stringify(expected)];
  if (a !== b) throw new Error(`found ${a.slice(0, 200)}, expected ${b.slice(0, 200)}`);
}

async function produce(name, messages, options = {}) {
  const { acks = -1, compression = CompressionTypes.None, idempotent = false } = options;
  const producer = kafka.producer({ idempotent, allowAutoTopicCreation: true });
  await producer.connect();
  const sent = await producer.send({ topic: name, messages, acks, compression });
  await producer.disconnect();
  return sent;
}

async function administering(work) {
  const admin = kafka.admin();
  await admin.connect();
  try {
    return await work(admin);
  } finally {
    await admin.disconnect();
  }
}

/// A member of the group of this name, and what it has read.
async function join(group, name, found, options = {}) {
  const { take = Infinity } = options;
  const consumer = kafka.consumer({
    groupId: topic(group),
    sessionTimeout: 6000,
    heartbeatInterval: 300,
    rebalanceTimeout: 10000,
  });
  const member = { consumer, partitions: 0 };
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
    member.partitions = (payload.memberAssignment[name] || []).length;
  });
  await consumer.connect();
  await consumer.subscribe({ topics: [name], fromBeginning: true });
  await consumer.run({
    autoCommit: false,
    eachMessage: async ({ topic, partition, message }) => {
      if (found.length >= take) return;
      found.push(message.value.toString());
      const offset = String(Number(message.offset) + 1);
      await consumer.commitOffsets([{ topic, partition, offset }]);
    },
  });
  return member;
}

async function until(what, isDone) {
  for (const late = Date.now() + 30_000; !(await isDone()); ) {
    if (Date.now() > late) throw new Error(`${what} takes too long`);
    await new Promise((done) => setTimeout(done, 50));
  }
}

const sorted = (values) => [...values].sort();
const createShared = (name) =>
  administering((admin) => admin.createTopics({ topics: [{ topic: topic(name), numPartitions: 3 }] }));

const end = (name) =>
  administering(async (admin) => Number((await admin.fetchTopicOffsets(name))[0].high));
const plain = () => values().map((value) => ({ value }));

const checks = {
  async acks() {
    for (const acks of [0, 1, -1]) {
      const name = topic(`acks-${acks < 0 ? "all" : acks}`);
      await produce(name, plain(), { acks });
      equal(await end(name), RECORDS);
    }
  },
  async codecs() {
    for (const [name, compression] of [
      ["none", CompressionTypes.None],
      ["gzip", CompressionTypes.GZIP],
      ["snappy", CompressionTypes.Snappy],
    ]) {
      await produce(topic(`codec-${name}`), plain(), { compression });
      equal(await end(topic(`codec-${name}`)), RECORDS);
    }
  },
  async headers() {
    await produce(topic("headers"), [{ key: "k", value: "v", headers: { a: ["1", "2"], empty: "" } }]);
    equal(await end(topic("headers")), 1);
  },
  async tombstones() {
    await produce(topic("tombstones"), [{ key: "k", value: null }]);
    equal(await end(topic("tombstones")), 1);
  },
  async "large-records"() {
    const configEntries = [{ name: "max.message.bytes", value: String(2 << 20) }];
    await administering((admin) =>
      admin.createTopics({ topics: [{ topic: topic("large"), configEntries }] }));
    await produce(topic("large"), [{ value: Buffer.alloc(1 << 20, 7) }]);
    equal(await end(topic("large")), 1);
  },
  async "idempotent-producer"() {
    const [sent] = await produce(topic("idempotent"), plain(), { idempotent: true });
    equal(sent.errorCode, 0);
    equal(await end(topic("idempotent")), RECORDS);
  },
  async seek() {
    await produce(topic("seek"), plain());
    const consumer = kafka.consumer({ groupId: topic("seek") });
    await consumer.connect();
    await consumer.subscribe({ topics: [topic("seek")] });
    const found = [];
    await consumer.run({ eachMessage: async ({ message }) => found.push(message.value.toString()) });
    consumer.seek({ topic: topic("seek"), partition: 0, offset: String(RECORDS - 7) });
    await until("reading", () => found.length >= 7);
    await consumer.disconnect();
    equal(found, values().slice(-7));
  },
  async "seek-by-time"() {
    const start = Date.now() - 1_000_000;
    const messages = Array.from({ length: 100 }, (_, n) => ({
      value: String(n),
      timestamp: String(start + 1000 * n),
    }));
    await produce(topic("time"), messages);
    const found = await administering((admin) =>
      admin.fetchTopicOffsetsByTimestamp(topic("time"), start + 41_500));
    equal(found[0].offset, "42");
  },
  async keys() {
    await administering((admin) =>
      admin.createTopics({ topics: [{ topic: topic("keys"), numPartitions: 3 }] }));
    const messages = Array.from({ length: 30 }, (_, n) => ({ key: `key-${n}`, value: "v" }));
    await produce(topic("keys"), messages);
  },
  async "native-records"() {
    const found = [];
    const { consumer } = await join("native", "native", found);
    await until("reading", () => found.length >= 20);
    await consumer.disconnect();
    equal(found, Array.from({ length: 20 }, (_, n) => `native-${n}`));
  },
  async administration() {
    const name = topic("admin");
    await administering(async (admin) => {
      const configEntries = [{ name: "retention.ms", value: "1000000" }];
      await admin.createTopics({ topics: [{ topic: name, numPartitions: 2, configEntries }] });
      const described = () => admin.fetchTopicMetadata({ topics: [name] });
      equal((await described()).topics[0].partitions.length, 2);
      const resources = [{ type: ConfigResourceTypes.TOPIC, name }];
      const retention = async () => {
        const { resources: [found] } = await admin.describeConfigs({ resources });
        return found.configEntries.find((entry) => entry.configName === "retention.ms").configValue;
      };
      equal(await retention(), "1000000");
      const changed = [{ ...resources[0], configEntries: [{ name: "retention.ms", value: "-1" }] }];
      await admin.alterConfigs({ validateOnly: false, resources: changed });
      equal(await retention(), "-1");
      await admin.createPartitions({ topicPartitions: [{ topic: name, count: 5 }] });
      equal((await described()).topics[0].partitions.length, 5);
      await produce(topic("trimmed"), plain());
      // It finds the leader only of topics that it has asked about before.
      const low = async () => (await admin.fetchTopicOffsets(topic("trimmed")))[0].low;
      equal(await low(), "0");
      await admin.deleteTopicRecords({
        topic: topic("trimmed"),
        partitions: [{ partition: 0, offset: "4" }],
      });
      equal(await low(), "4");
      equal((await admin.describeCluster()).brokers.length, 1);
      await admin.deleteTopics({ topics: [name] });
      equal((await admin.listTopics()).includes(name), false);
    });
  },
  async "group-consume"() {
    const name = topic("consume");
    await createShared("consume");
    await produce(name, plain());
    const found = [];
    const { consumer } = await join("consume", name, found);
    await until("reading", () => found.length >= RECORDS);
    await administering(async (admin) => {
      const { groups: [described] } = await admin.describeGroups([name]);
      equal([described.state, described.members.length], ["Stable", 1]);
      await consumer.disconnect();
      equal((await admin.listGroups()).groups.some((group) => group.groupId === name), true);
      await admin.deleteGroups([name]);
    });
    equal(sorted(found), sorted(values()));
  },
  async "group-rebalance"() {
    const [name, found] = [topic("rebalance"), []];
    await createShared("rebalance");
    const first = await join("rebalance", name, found);
    await until("joining", () => first.partitions === 3);
    const second = await join("rebalance", name, found);
    const shares = () => sorted([first.partitions, second.partitions]).join();
    await until("sharing", () => shares() === "1,2");
    await produce(name, plain());
    await until("reading", () => found.length >= RECORDS);
    await first.consumer.disconnect();
    await until("taking over", () => second.partitions === 3);
    await produce(name, [{ value: "last" }]);
    await until("reading on", () => found.length > RECORDS);
    await second.consumer.disconnect();
    equal(sorted(found), sorted([...values(), "last"]));
  },
  async "commit-and-resume"() {
    const [name, found] = [topic("resume"), []];
    await createShared("resume");
    await produce(name, plain());
    const first = await join("resume", name, found, { take: RECORDS / 2 });
    await until("reading", () => found.length >= RECORDS / 2);
    await first.consumer.disconnect();
    const second = await join("resume", name, found);
    await until("reading on", () => found.length >= RECORDS);
    await second.consumer.disconnect();
    equal(sorted(found), sorted(values()));
    await administering(async (admin) => {
      const partitions = [{ partition: 0, offset: "0" }];
      await admin.setOffsets({ groupId: topic("resume"), topic: name, partitions });
      const [committed] = await admin.fetchOffsets({ groupId: topic("resume"), topics: [name] });
      equal(committed.partitions.find(({ partition }) => partition === 0).offset, "0");
    });
  },
};

(async () => {
  for (const [name, check] of Object.entries(checks)) {
    try {
      await check();
      console.log(`ok ${name}`);
    } catch (error) {
      console.log(`fail ${name}: ${String(error.message || error).replace(/\n/g, " ")}`);
      console.error(error);
    }
  }
})();
