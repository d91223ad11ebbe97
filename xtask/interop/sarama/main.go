// sarama against the broker.
package main

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"
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
	run("seek", seek)
	run("seek-by-time", seekByTime)
	run("keys", keys)
	run("native-records", nativeRecords)
	run("administration", administration)
	run("refusals", refusals)
}
