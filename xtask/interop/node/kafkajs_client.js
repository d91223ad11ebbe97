// kafkajs. Its consumers need a group, which the broker does not serve yet, so what it sends is read
// back by the broker's own command line.
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

class Skip extends Error {}

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
    throw new Skip("its consumers need a group");
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
    throw new Skip("its consumers need a group");
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
};

(async () => {
  for (const [name, check] of Object.entries(checks)) {
    try {
      await check();
      console.log(`ok ${name}`);
    } catch (error) {
      const kind = error instanceof Skip ? "skip" : "fail";
      console.log(`${kind} ${name}: ${String(error.message || error).replace(/\n/g, " ")}`);
      if (kind === "fail") console.error(error);
    }
  }
})();
