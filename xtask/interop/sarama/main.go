// sarama against the broker.
package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/IBM/sarama"
)

const (
	records  = 200
	mebibyte = 1 << 20
	patience = 20 * time.Second
)

var bootstrap, prefix = os.Args[1], os.Args[2]

func topic(name string) string { return prefix + "-" + name }

func values(count int) [][]byte {
	found := make([][]byte, count)
	for n := range found {
		found[n] = bytes.Repeat([]byte(fmt.Sprintf("value %d ", n)), 5)
	}
	return found
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func good(err error) {
	if err != nil {
		panic(err)
	}
}

func check(good bool, format string, words ...any) {
	if !good {
		panic(fmt.Errorf(format, words...))
	}
}

func config() *sarama.Config {
	config := sarama.NewConfig()
	config.Version = sarama.V4_0_0_0
	config.Producer.Return.Successes = true
	config.Producer.RequiredAcks = sarama.WaitForAll
	config.Producer.Partitioner = sarama.NewHashPartitioner
	config.Consumer.Fetch.Default = 4 * mebibyte
	return config
}

func produce(config *sarama.Config, sent ...*sarama.ProducerMessage) {
	producer := must(sarama.NewSyncProducer([]string{bootstrap}, config))
	defer producer.Close()
	good(producer.SendMessages(sent))
}

func plain(topic string, values [][]byte) []*sarama.ProducerMessage {
	sent := make([]*sarama.ProducerMessage, len(values))
	for n, value := range values {
		sent[n] = &sarama.ProducerMessage{Topic: topic, Value: sarama.ByteEncoder(value)}
	}
	return sent
}

func consume(topic string, count int, offset int64) []*sarama.ConsumerMessage {
	consumer := must(sarama.NewConsumer([]string{bootstrap}, config()))
	defer consumer.Close()
	reader := must(consumer.ConsumePartition(topic, 0, offset))
	defer reader.Close()
	var found []*sarama.ConsumerMessage
	late := time.After(patience)
	for len(found) < count {
		select {
		case message := <-reader.Messages():
			found = append(found, message)
		case <-late:
			panic(fmt.Errorf("found %d records, expected %d", len(found), count))
		}
	}
	return found
}

func sameValues(found []*sarama.ConsumerMessage, expected [][]byte) {
	for n, message := range found {
		check(bytes.Equal(message.Value, expected[n]), "value %d is %.100q", n, message.Value)
	}
}

func administering(work func(sarama.ClusterAdmin)) {
	admin := must(sarama.NewClusterAdmin([]string{bootstrap}, config()))
	defer admin.Close()
	work(admin)
}

func create(name string, partitions int32, configs map[string]*string) {
	administering(func(admin sarama.ClusterAdmin) {
		detail := &sarama.TopicDetail{NumPartitions: partitions, ReplicationFactor: 1, ConfigEntries: configs}
		good(admin.CreateTopic(name, detail, false))
	})
}

func acks() {
	for name, acks := range map[string]sarama.RequiredAcks{
		"0": sarama.NoResponse, "1": sarama.WaitForLocal, "all": sarama.WaitForAll,
	} {
		config := config()
		config.Producer.RequiredAcks = acks
		produce(config, plain(topic("acks-"+name), values(records))...)
		sameValues(consume(topic("acks-"+name), records, sarama.OffsetOldest), values(records))
	}
}

func codecs() {
	for name, codec := range map[string]sarama.CompressionCodec{
		"none": sarama.CompressionNone, "gzip": sarama.CompressionGZIP, "snappy": sarama.CompressionSnappy,
		"lz4": sarama.CompressionLZ4, "zstd": sarama.CompressionZSTD,
	} {
		config := config()
		config.Producer.Compression = codec
		produce(config, plain(topic("codec-"+name), values(records))...)
		sameValues(consume(topic("codec-"+name), records, sarama.OffsetOldest), values(records))
	}
}

func headers() {
	sent := []sarama.RecordHeader{
		{Key: []byte("a"), Value: []byte("1")}, {Key: []byte("a"), Value: []byte("2")}, {Key: []byte("empty"), Value: []byte{}},
	}
	produce(config(), &sarama.ProducerMessage{Topic: topic("headers"), Value: sarama.StringEncoder("v"), Headers: sent})
	found := consume(topic("headers"), 1, sarama.OffsetOldest)[0].Headers
	check(len(found) == len(sent), "found %v", found)
	for n, header := range found {
		same := bytes.Equal(header.Key, sent[n].Key) && bytes.Equal(header.Value, sent[n].Value)
		check(same, "header %d is %v", n, header)
	}
}

func tombstones() {
	produce(config(), &sarama.ProducerMessage{Topic: topic("tombstones"), Key: sarama.StringEncoder("k")})
	found := consume(topic("tombstones"), 1, sarama.OffsetOldest)[0]
	check(string(found.Key) == "k" && found.Value == nil, "found %q", found.Value)
}

func largeRecords() {
	size := fmt.Sprint(2 * mebibyte)
	create(topic("large"), 1, map[string]*string{"max.message.bytes": &size})
	sent := make([][]byte, 3)
	for n := range sent {
		sent[n] = make([]byte, mebibyte)
		must(rand.Read(sent[n]))
	}
	config := config()
	config.Producer.MaxMessageBytes = 2 * mebibyte
	produce(config, plain(topic("large"), sent)...)
	sameValues(consume(topic("large"), 3, sarama.OffsetOldest), sent)
}

func idempotentProducer() {
	config := config()
	config.Producer.Idempotent = true
	config.Net.MaxOpenRequests = 1
	sent := plain(topic("idempotent"), values(records))
	produce(config, sent...)
	for n, message := range sent {
		check(message.Offset == int64(n), "record %d has offset %d", n, message.Offset)
	}
	sameValues(consume(topic("idempotent"), records, sarama.OffsetOldest), values(records))
}

// Sends records, in the midst of which the broker is killed.
func idempotentThroughKill() {
	const many, atOnce = 20_000, 100
	sent := values(many)
	halfway, done := make(chan struct{}), make(chan error, 1)
	go func() {
		done <- func() error {
			config := config()
			config.Producer.Idempotent = true
			config.Net.MaxOpenRequests = 1
			config.Producer.Retry.Max = 100
			producer, err := sarama.NewSyncProducer([]string{bootstrap}, config)
			if err != nil {
				return err
			}
			defer producer.Close()
			for first := 0; first < many; first += atOnce {
				if first == many/2 {
					close(halfway)
				}
				some := plain(topic("killed"), sent[first:first+atOnce])
				if err := producer.SendMessages(some); err != nil {
					return err
				}
			}
			return nil
		}()
	}()
	<-halfway
	fmt.Println("restart")
	line := must(bufio.NewReader(os.Stdin).ReadString('\n'))
	check(line == "restarted\n", "told %q", line)
	if err := <-done; err != nil {
		panic(err)
	}
	sameValues(consume(topic("killed"), many, sarama.OffsetOldest), sent)
}

func seek() {
	produce(config(), plain(topic("seek"), values(records))...)
	sameValues(consume(topic("seek"), 7, records-7), values(records)[records-7:])
}

func seekByTime() {
	start := time.Now().Add(-1000 * time.Second).Truncate(time.Millisecond)
	sent := plain(topic("time"), values(100))
	for n, message := range sent {
		message.Timestamp = start.Add(time.Duration(n) * time.Second)
	}
	produce(config(), sent...)
	client := must(sarama.NewClient([]string{bootstrap}, config()))
	defer client.Close()
	at := start.Add(41_500 * time.Millisecond).UnixMilli()
	check(must(client.GetOffset(topic("time"), 0, at)) == 42, "another offset")
	check(must(client.GetOffset(topic("time"), 0, sarama.OffsetNewest)) == 100, "another end")
}

func keys() {
	create(topic("keys"), 3, nil)
	config := config()
	// The default hashes by FNV-1a.
	config.Producer.Partitioner = sarama.NewMurmur2Partitioner
	var sent []*sarama.ProducerMessage
	for n := range 30 {
		key := sarama.StringEncoder(fmt.Sprintf("key-%d", n))
		sent = append(sent, &sarama.ProducerMessage{Topic: topic("keys"), Key: key, Value: sarama.StringEncoder("v")})
	}
	produce(config, sent...)
}

func nativeRecords() {
	for n, message := range consume("native", 20, sarama.OffsetOldest) {
		check(string(message.Value) == fmt.Sprintf("native-%d", n), "found %q", message.Value)
	}
}

func administration() {
	name, some, forever := topic("admin"), "1000000", "-1"
	create(name, 2, map[string]*string{"retention.ms": &some})
	administering(func(admin sarama.ClusterAdmin) {
		partitions := func() int { return len(must(admin.DescribeTopics([]string{name}))[0].Partitions) }
		check(partitions() == 2, "not 2 partitions")
		resource := sarama.ConfigResource{Type: sarama.TopicResource, Name: name, ConfigNames: []string{"retention.ms"}}
		retention := func() string { return must(admin.DescribeConfig(resource))[0].Value }
		check(retention() == some, "retention.ms is %s", retention())
		set := sarama.IncrementalAlterConfigsEntry{Operation: sarama.IncrementalAlterConfigsOperationSet, Value: &forever}
		change := map[string]sarama.IncrementalAlterConfigsEntry{"retention.ms": set}
		good(admin.IncrementalAlterConfig(sarama.TopicResource, name, change, false))
		check(retention() == forever, "retention.ms is %s", retention())
		good(admin.CreatePartitions(name, 5, nil, false))
		check(partitions() == 5, "not 5 partitions")
		produce(config(), plain(topic("trimmed"), values(10))...)
		good(admin.DeleteRecords(topic("trimmed"), map[int32]int64{0: 4}))
		brokers, _, err := admin.DescribeCluster()
		check(err == nil && len(brokers) == 1, "brokers %v, %v", brokers, err)
		must(admin.DescribeLogDirs([]int32{1}))
		good(admin.DeleteTopic(name))
	})
	sameValues(consume(topic("trimmed"), 6, sarama.OffsetOldest), values(10)[4:])
}

func refusals() {
	administering(func(admin sarama.ClusterAdmin) {
		err := admin.CreateTopic(topic("refused"), &sarama.TopicDetail{NumPartitions: 1, ReplicationFactor: 3}, false)
		check(errors.Is(err, sarama.ErrInvalidReplicationFactor), "answered %v", err)
	})
}

// member is a consumer of a group, with what it has read.
type member struct {
	group  sarama.ConsumerGroup
	cancel context.CancelFunc
	ended  chan struct{}
	found  *shared
	// Partitions that it has just now.
	claims atomic.Int32
	// How many records it takes and marks; the others it leaves alone.
	take int
}

// shared is what the members of a group have read.
type shared struct {
	lock   sync.Mutex
	values []string
}

func (found *shared) count() int {
	found.lock.Lock()
	defer found.lock.Unlock()
	return len(found.values)
}

func (m *member) Setup(session sarama.ConsumerGroupSession) error {
	count := 0
	for _, partitions := range session.Claims() {
		count += len(partitions)
	}
	m.claims.Store(int32(count))
	return nil
}

func (m *member) Cleanup(sarama.ConsumerGroupSession) error {
	m.claims.Store(0)
	return nil
}

func (m *member) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for {
		select {
		case message, open := <-claim.Messages():
			if !open {
				return nil
			}
			m.found.lock.Lock()
			if len(m.found.values) < m.take {
				m.found.values = append(m.found.values, string(message.Value))
				session.MarkMessage(message, "")
			}
			m.found.lock.Unlock()
		case <-session.Context().Done():
			return nil
		}
	}
}

// join has another member read the topic of this name within the group of this name.
func join(name string, found *shared, take int) *member {
	config := config()
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	config.Consumer.Group.Session.Timeout = 6 * time.Second
	config.Consumer.Group.Heartbeat.Interval = 300 * time.Millisecond
	group := must(sarama.NewConsumerGroup([]string{bootstrap}, topic(name), config))
	context, cancel := context.WithCancel(context.Background())
	m := &member{group: group, cancel: cancel, ended: make(chan struct{}), found: found, take: take}
	go func() {
		defer close(m.ended)
		for context.Err() == nil {
			if err := group.Consume(context, []string{topic(name)}, m); err != nil {
				return
			}
		}
	}()
	return m
}

func (m *member) leave() {
	m.cancel()
	<-m.ended
	good(m.group.Close())
}

func await(what string, isDone func() bool) {
	late := time.Now().Add(patience)
	for !isDone() {
		check(time.Now().Before(late), "%s takes too long", what)
		time.Sleep(20 * time.Millisecond)
	}
}

// sameSet: each value exactly once, in whatever order.
func sameSet(found []string, expected [][]byte) {
	slices.Sort(found)
	var wanted []string
	for _, value := range expected {
		wanted = append(wanted, string(value))
	}
	slices.Sort(wanted)
	check(slices.Equal(found, wanted), "%d records were read, %d sent, or others", len(found), len(wanted))
}

func groupConsume() {
	create(topic("consume"), 3, nil)
	produce(config(), plain(topic("consume"), values(records))...)
	found := &shared{}
	reader := join("consume", found, records)
	await("reading", func() bool { return found.count() >= records })
	administering(func(admin sarama.ClusterAdmin) {
		described := must(admin.DescribeConsumerGroups([]string{topic("consume")}))[0]
		check(described.State == "Stable" && len(described.Members) == 1, "described %v", described)
		reader.leave()
		_, listed := must(admin.ListConsumerGroups())[topic("consume")]
		check(listed, "not listed")
		good(admin.DeleteConsumerGroup(topic("consume")))
	})
	sameSet(found.values, values(records))
}

func groupRebalance() {
	create(topic("rebalance"), 3, nil)
	found := &shared{}
	first := join("rebalance", found, records+10)
	await("joining", func() bool { return first.claims.Load() == 3 })
	second := join("rebalance", found, records+10)
	await("sharing", func() bool {
		a, b := first.claims.Load(), second.claims.Load()
		return a+b == 3 && a > 0 && b > 0
	})
	produce(config(), plain(topic("rebalance"), values(records))...)
	await("reading", func() bool { return found.count() >= records })
	first.leave()
	await("taking over", func() bool { return second.claims.Load() == 3 })
	produce(config(), plain(topic("rebalance"), values(10))...)
	await("reading on", func() bool { return found.count() >= records+10 })
	second.leave()
	sameSet(found.values, append(values(records), values(10)...))
}

func commitAndResume() {
	create(topic("resume"), 3, nil)
	produce(config(), plain(topic("resume"), values(records))...)
	found := &shared{}
	reader := join("resume", found, records/2)
	await("reading", func() bool { return found.count() >= records/2 })
	reader.leave()
	reader = join("resume", found, records)
	await("reading on", func() bool { return found.count() >= records })
	reader.leave()
	sameSet(found.values, values(records))
	administering(func(admin sarama.ClusterAdmin) {
		committed := must(admin.ListConsumerGroupOffsets(topic("resume"), nil))
		total := int64(0)
		for _, partition := range committed.Blocks[topic("resume")] {
			total += partition.Offset
		}
		check(total == records, "offsets of %d records are committed", total)
	})
}

func run(name string, do func()) {
	defer func() {
		if why := recover(); why != nil {
			fmt.Printf("fail %s: %s\n", name, strings.ReplaceAll(fmt.Sprint(why), "\n", " "))
		}
	}()
	do()
	fmt.Printf("ok %s\n", name)
}

func main() {
	run("acks", acks)
	run("codecs", codecs)
	run("headers", headers)
	run("tombstones", tombstones)
	run("large-records", largeRecords)
	run("idempotent-producer", idempotentProducer)
	run("idempotent-through-kill", idempotentThroughKill)
	run("seek", seek)
	run("seek-by-time", seekByTime)
	run("keys", keys)
	run("native-records", nativeRecords)
	run("administration", administration)
	run("refusals", refusals)
	run("group-consume", groupConsume)
	run("group-rebalance", groupRebalance)
	run("commit-and-resume", commitAndResume)
}
