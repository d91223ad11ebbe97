// franz-go against the broker.
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
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	records  = 200
	mebibyte = 1 << 20
	patience = 40 * time.Second
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

func check(good bool, format string, words ...any) {
	if !good {
		panic(fmt.Errorf(format, words...))
	}
}

func client(options ...kgo.Opt) *kgo.Client {
	options = append([]kgo.Opt{
		kgo.SeedBrokers(bootstrap),
		kgo.AllowAutoTopicCreation(),
	}, options...)
	return must(kgo.NewClient(options...))
}

func within() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), patience)
}

func produce(sent []*kgo.Record, options ...kgo.Opt) {
	context, cancel := within()
	defer cancel()
	producer := client(options...)
	defer producer.Close()
	if err := producer.ProduceSync(context, sent...).FirstErr(); err != nil {
		panic(err)
	}
}

func plain(topic string, values [][]byte) []*kgo.Record {
	sent := make([]*kgo.Record, len(values))
	for n, value := range values {
		sent[n] = &kgo.Record{Topic: topic, Value: value}
	}
	return sent
}

func consume(topic string, count int, offset kgo.Offset) []*kgo.Record {
	context, cancel := within()
	defer cancel()
	reader := client(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: offset}}))
	defer reader.Close()
	var found []*kgo.Record
	for len(found) < count {
		fetches := reader.PollFetches(context)
		if err := fetches.Err(); err != nil {
			panic(err)
		}
		found = append(found, fetches.Records()...)
	}
	check(len(found) == count, "found %d records, expected %d", len(found), count)
	return found
}

func sameValues(found []*kgo.Record, expected [][]byte) {
	for n, record := range found {
		check(bytes.Equal(record.Value, expected[n]), "value %d is %.100q", n, record.Value)
	}
}

func admin() *kadm.Client { return kadm.NewClient(client()) }

func create(name string, partitions int32, configs map[string]*string) {
	context, cancel := within()
	defer cancel()
	kafka := admin()
	defer kafka.Close()
	must(kafka.CreateTopic(context, partitions, 1, configs, name))
}

func acks() {
	for name, options := range map[string][]kgo.Opt{
		"0":   {kgo.RequiredAcks(kgo.NoAck()), kgo.DisableIdempotentWrite()},
		"1":   {kgo.RequiredAcks(kgo.LeaderAck()), kgo.DisableIdempotentWrite()},
		"all": {kgo.RequiredAcks(kgo.AllISRAcks())},
	} {
		produce(plain(topic("acks-"+name), values(records)), options...)
		sameValues(consume(topic("acks-"+name), records, kgo.NewOffset().AtStart()), values(records))
	}
}

func codecs() {
	for name, codec := range map[string]kgo.CompressionCodec{
		"none":   kgo.NoCompression(),
		"gzip":   kgo.GzipCompression(),
		"snappy": kgo.SnappyCompression(),
		"lz4":    kgo.Lz4Compression(),
		"zstd":   kgo.ZstdCompression(),
	} {
		name = topic("codec-" + name)
		produce(plain(name, values(records)), kgo.ProducerBatchCompression(codec))
		sameValues(consume(name, records, kgo.NewOffset().AtStart()), values(records))
	}
}

func headers() {
	sent := []kgo.RecordHeader{
		{Key: "a", Value: []byte("1")}, {Key: "a", Value: []byte("2")}, {Key: "none"}, {Key: "empty", Value: []byte{}},
	}
	produce([]*kgo.Record{{Topic: topic("headers"), Key: []byte("k"), Value: []byte("v"), Headers: sent}})
	found := consume(topic("headers"), 1, kgo.NewOffset().AtStart())[0].Headers
	check(len(found) == len(sent), "found %v", found)
	for n, header := range found {
		same := header.Key == sent[n].Key && bytes.Equal(header.Value, sent[n].Value)
		check(same && (header.Value == nil) == (sent[n].Value == nil), "header %d is %v", n, header)
	}
}

func tombstones() {
	produce([]*kgo.Record{{Topic: topic("tombstones"), Key: []byte("k")}})
	found := consume(topic("tombstones"), 1, kgo.NewOffset().AtStart())[0]
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
	produce(plain(topic("large"), sent), kgo.ProducerBatchMaxBytes(2*mebibyte))
	sameValues(consume(topic("large"), 3, kgo.NewOffset().AtStart()), sent)
}

func idempotentProducer() {
	sent := plain(topic("idempotent"), values(records))
	produce(sent)
	for n, record := range sent {
		check(record.Offset == int64(n), "record %d has offset %d", n, record.Offset)
	}
	sameValues(consume(topic("idempotent"), records, kgo.NewOffset().AtStart()), values(records))
}

// Sends records, in the midst of which the broker is killed.
func idempotentThroughKill() {
	const many, atOnce = 20_000, 100
	sent := values(many)
	halfway, done := make(chan struct{}), make(chan error, 1)
	go func() {
		done <- func() error {
			context, cancel := within()
			defer cancel()
			producer := client()
			defer producer.Close()
			for first := 0; first < many; first += atOnce {
				if first == many/2 {
					close(halfway)
				}
				some := plain(topic("killed"), sent[first:first+atOnce])
				if err := producer.ProduceSync(context, some...).FirstErr(); err != nil {
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
	sameValues(consume(topic("killed"), many, kgo.NewOffset().AtStart()), sent)
}

func seek() {
	produce(plain(topic("seek"), values(records)))
	found := consume(topic("seek"), 7, kgo.NewOffset().At(records-7))
	sameValues(found, values(records)[records-7:])
}

func seekByTime() {
	start := time.Now().Add(-1000 * time.Second).Truncate(time.Millisecond)
	sent := plain(topic("time"), values(100))
	for n, record := range sent {
		record.Timestamp = start.Add(time.Duration(n) * time.Second)
	}
	produce(sent)
	context, cancel := within()
	defer cancel()
	kafka := admin()
	defer kafka.Close()
	at := start.Add(41_500 * time.Millisecond).UnixMilli()
	found, _ := must(kafka.ListOffsetsAfterMilli(context, at, topic("time"))).Lookup(topic("time"), 0)
	check(found.Offset == 42, "found %v", found)
	newest, _ := must(kafka.ListMaxTimestampOffsets(context, topic("time"))).Lookup(topic("time"), 0)
	check(newest.Offset == 99, "found %v", newest)
	sameValues(consume(topic("time"), 58, kgo.NewOffset().AfterMilli(at)), values(100)[42:])
}

func keys() {
	create(topic("keys"), 3, nil)
	var sent []*kgo.Record
	for n := range 30 {
		sent = append(sent, &kgo.Record{Topic: topic("keys"), Key: fmt.Appendf(nil, "key-%d", n), Value: []byte("v")})
	}
	produce(sent)
}

func nativeRecords() {
	for n, record := range consume("native", 20, kgo.NewOffset().AtStart()) {
		check(string(record.Value) == fmt.Sprintf("native-%d", n), "found %q", record.Value)
	}
}

func administration() {
	context, cancel := within()
	defer cancel()
	name, kafka := topic("admin"), admin()
	defer kafka.Close()
	some, forever := "1000000", "-1"
	create(name, 2, map[string]*string{"retention.ms": &some})
	partitions := func() int { return len(must(kafka.ListTopics(context, name))[name].Partitions) }
	check(partitions() == 2, "not 2 partitions")
	retention := func() string {
		described := must(must(kafka.DescribeTopicConfigs(context, name)).On(name, nil))
		for _, config := range described.Configs {
			if config.Key == "retention.ms" {
				return config.MaybeValue()
			}
		}
		return "nothing"
	}
	check(retention() == some, "retention.ms is %s", retention())
	changes := []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "retention.ms", Value: &forever}}
	check(must(must(kafka.AlterTopicConfigs(context, changes, name)).On(name, nil)).Err == nil, "not altered")
	check(retention() == forever, "retention.ms is %s", retention())
	check(must(kafka.UpdatePartitions(context, 5, name)).Error() == nil, "no partitions added")
	check(partitions() == 5, "not 5 partitions")
	produce(plain(topic("trimmed"), values(10)))
	trim := kadm.Offsets{}
	trim.AddOffset(topic("trimmed"), 0, 4, -1)
	trimmed, _ := must(kafka.DeleteRecords(context, trim)).Lookup(topic("trimmed"), 0)
	check(trimmed.Err == nil && trimmed.LowWatermark == 4, "trimmed %v", trimmed)
	must(kafka.DescribeAllLogDirs(context, nil))
	check(len(must(kafka.ListBrokers(context))) == 1, "not one broker")
	check(must(kafka.DeleteTopic(context, name)).Err == nil, "not deleted")
}

func refusals() {
	context, cancel := within()
	defer cancel()
	kafka := admin()
	defer kafka.Close()
	_, err := kafka.CreateTopic(context, 1, 3, nil, topic("refused"))
	check(errors.Is(err, kerr.InvalidReplicationFactor), "answered %v", err)
	colour := "red"
	_, err = kafka.CreateTopic(context, 1, 1, map[string]*string{"colour": &colour}, topic("refused"))
	check(errors.Is(err, kerr.InvalidConfig), "answered %v", err)
}

// member reads the topic of this name within the group of this name.
func member(name string, options ...kgo.Opt) *kgo.Client {
	return client(append([]kgo.Opt{
		kgo.ConsumerGroup(topic(name)),
		kgo.ConsumeTopics(topic(name)),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.DisableAutoCommit(),
		kgo.SessionTimeout(6 * time.Second),
		kgo.HeartbeatInterval(300 * time.Millisecond),
	}, options...)...)
}

// read lets members read until it is done; the values that they read.
func read(members []*kgo.Client, isDone func(found []string) bool) []string {
	var found []string
	late := time.Now().Add(patience)
	for !isDone(found) {
		check(time.Now().Before(late), "it takes too long; %d records were read", len(found))
		for _, reader := range members {
			context, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
			fetches := reader.PollRecords(context, 40)
			cancel()
			for _, failed := range fetches.Errors() {
				check(errors.Is(failed.Err, context.Err()), "reading: %v", failed.Err)
			}
			for _, record := range fetches.Records() {
				found = append(found, string(record.Value))
			}
		}
	}
	return found
}

func atLeast(count int) func([]string) bool {
	return func(found []string) bool { return len(found) >= count }
}

// share waits until each member is assigned as many partitions as it should be.
func share(kafka *kadm.Client, members []*kgo.Client, name string, expected ...int) {
	read(members, func([]string) bool {
		context, cancel := within()
		defer cancel()
		described := must(kafka.DescribeGroups(context, topic(name)))[topic(name)]
		var counts []int
		for _, member := range described.Members {
			assigned, _ := member.Assigned.AsConsumer()
			count := 0
			if assigned != nil {
				for _, topic := range assigned.Topics {
					count += len(topic.Partitions)
				}
			}
			counts = append(counts, count)
		}
		slices.Sort(counts)
		return described.State == "Stable" && slices.Equal(counts, expected)
	})
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

func commit(reader *kgo.Client) {
	context, cancel := within()
	defer cancel()
	if err := reader.CommitUncommittedOffsets(context); err != nil {
		panic(err)
	}
}

func groupConsume() {
	context, cancel := within()
	defer cancel()
	kafka := admin()
	defer kafka.Close()
	create(topic("consume"), 3, nil)
	produce(plain(topic("consume"), values(records)))
	reader := member("consume")
	sameSet(read([]*kgo.Client{reader}, atLeast(records)), values(records))
	share(kafka, []*kgo.Client{reader}, "consume", 3)
	reader.Close()
	listed := must(kafka.ListGroups(context))
	check(listed[topic("consume")].State == "Empty", "listed %v", listed)
	must(kafka.DeleteGroup(context, topic("consume")))
}

func groupRebalance() {
	kafka := admin()
	defer kafka.Close()
	for name, balancer := range map[string]kgo.GroupBalancer{
		"rebalance-range": kgo.RangeBalancer(), "rebalance-cooperative": kgo.CooperativeStickyBalancer(),
	} {
		create(topic(name), 3, nil)
		first := member(name, kgo.Balancers(balancer))
		share(kafka, []*kgo.Client{first}, name, 3)
		second := member(name, kgo.Balancers(balancer))
		both := []*kgo.Client{first, second}
		share(kafka, both, name, 1, 2)
		produce(plain(topic(name), values(records)))
		sameSet(read(both, atLeast(records)), values(records))
		commit(first)
		commit(second)
		first.Close()
		share(kafka, []*kgo.Client{second}, name, 3)
		produce(plain(topic(name), values(10)))
		sameSet(read([]*kgo.Client{second}, atLeast(10)), values(10))
		second.Close()
	}
}

func commitAndResume() {
	context, cancel := within()
	defer cancel()
	kafka := admin()
	defer kafka.Close()
	create(topic("resume"), 3, nil)
	produce(plain(topic("resume"), values(records)))
	reader := member("resume")
	found := read([]*kgo.Client{reader}, atLeast(records/2))
	commit(reader)
	reader.Close()
	reader = member("resume")
	found = append(found, read([]*kgo.Client{reader}, atLeast(records-len(found)))...)
	sameSet(found, values(records))
	reader.Close()
	offsets := kadm.Offsets{}
	offsets.Add(kadm.Offset{Topic: topic("resume"), At: 0, LeaderEpoch: -1, Metadata: "half way"})
	must(kafka.CommitOffsets(context, topic("resume"), offsets))
	committed, _ := must(kafka.FetchOffsets(context, topic("resume"))).Lookup(topic("resume"), 0)
	check(committed.At == 0 && committed.Metadata == "half way", "committed %v", committed)
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
