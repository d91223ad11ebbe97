#!/usr/bin/env bash
# The tools that come with Apache Kafka, as its scripts in bin/ run them.
set -uo pipefail
bootstrap=$1 prefix=$2

# None outlives this script by long, however that ends.
java=(timeout 100 java -Xmx256m -XX:TieredStopAtLevel=1)
tool() { "${java[@]}" "$1" --bootstrap-server "$bootstrap" "${@:2}"; }
topics() { tool org.apache.kafka.tools.TopicCommand "$@"; }
configs() { tool kafka.admin.ConfigCommand "$@"; }
groups() { tool org.apache.kafka.tools.consumer.group.ConsumerGroupCommand "$@"; }
offsets() { tool org.apache.kafka.tools.GetOffsetShell --topic "$prefix-$1" --time "$2"; }
produce() { tool org.apache.kafka.tools.ConsoleProducer --topic "$prefix-$1" "${@:2}" >/dev/null; }
# consume COUNT TOPIC …: a tool that finds less ends with an error.
consume() { tool org.apache.kafka.tools.consumer.ConsoleConsumer --max-messages "$1" --timeout-ms 20000 --topic "$2" "${@:3}"; }
all() { consume "$1" "$prefix-$2" --from-beginning "${@:3}"; }

values() { for n in $(seq 0 199); do echo "value $n"; done; }
create() { topics --create --topic "$prefix-$1" "${@:2}"; }
has() { grep -qE "$1" || { echo "no $1"; return 1; }; }
eventually() { # what members agree on, they agree on in their own time
  for _ in $(seq 60); do "$@" >/dev/null 2>&1 && return; sleep 0.5; done
  "$@"
}

check() { # check NAME FUNCTION
  if why=$("$2" 2>&1); then echo "ok $1"; else echo "fail $1: $(tr '\n' ' ' <<<"${why:-it ended with an error}" | cut -c1-300)"; fi
}

acks() {
  for acks in 0 1 all; do
    values | produce "acks-$acks" --request-required-acks "$acks" || return
    diff <(values) <(all 200 "acks-$acks") || return
  done
}
codecs() {
  for codec in none gzip snappy lz4 zstd; do
    values | produce "codec-$codec" --compression-codec "$codec" || return
    diff <(values) <(all 200 "codec-$codec") || return
  done
}
headers() {
  printf 'a:1,a:2,empty:\tv\n' | produce headers --property parse.headers=true || return
  diff <(printf 'a:1,a:2,empty:\tv\n') <(all 1 headers --property print.headers=true)
}
tombstones() {
  printf 'k\tNONE\n' | produce tombstones --property parse.key=true --property null.marker=NONE || return
  diff <(printf 'k\tnothing\n') <(all 1 tombstones --property print.key=true --property null.literal=nothing)
}
large_records() {
  create large --config max.message.bytes=2097152 || return
  large=$(mktemp) && trap 'rm -f "$large"' RETURN
  { head -c 786432 /dev/urandom | base64 -w 0 && echo; } >"$large"
  produce large --producer-property max.request.size=2097152 <"$large" || return
  cmp "$large" <(all 1 large)
}
idempotent_producer() {
  values | produce idempotent --producer-property enable.idempotence=true || return
  diff <(for n in $(seq 0 199); do printf 'Offset:%d\tvalue %d\n' "$n" "$n"; done) \
    <(all 200 idempotent --property print.offset=true)
}
seek() {
  values | produce seek || return
  diff <(values | tail -7) <(consume 7 "$prefix-seek" --partition 0 --offset 193)
}
seek_by_time() {
  values | produce time && sleep 0.01 && now=$(date +%s%3N) && values | produce time || return
  diff <(echo "$prefix-time:0:200") <(offsets time "$now") || return
  diff <(echo "$prefix-time:0:0") <(offsets time earliest) || return
  diff <(echo "$prefix-time:0:400") <(offsets time latest)
}
keys() {
  create keys --partitions 3 || return
  for n in $(seq 0 29); do printf 'key-%d\tv\n' "$n"; done | produce keys --property parse.key=true
}
native_records() { diff <(for n in $(seq 0 19); do echo "native-$n"; done) <(consume 20 native --from-beginning); }
administration() {
  topic=(--entity-type topics --entity-name "$prefix-admin")
  create admin --partitions 2 --config retention.ms=1000000 || return
  topics --describe --topic "$prefix-admin" | has 'PartitionCount: 2.*retention.ms=1000000' || return
  configs --alter "${topic[@]}" --add-config retention.ms=-1,cleanup.policy=compact || return
  configs --describe "${topic[@]}" | has ' cleanup.policy=compact ' || return
  configs --alter "${topic[@]}" --delete-config retention.ms || return
  configs --describe "${topic[@]}" --all | has ' retention.ms=604800000 ' || return
  configs --describe --entity-type brokers --entity-name 1 --all | has ' message.max.bytes=' || return
  topics --alter --topic "$prefix-admin" --partitions 5 || return
  topics --describe --topic "$prefix-admin" | has 'PartitionCount: 5' || return
  topics --list | has "^$prefix-admin$" || return
  values | produce trimmed || return
  tool org.apache.kafka.tools.DeleteRecordsCommand --offset-json-file <(
    echo "{\"version\": 1, \"partitions\": [{\"topic\": \"$prefix-trimmed\", \"partition\": 0, \"offset\": 4}]}"
  ) | has 'low_watermark: 4' || return
  tool org.apache.kafka.tools.LogDirsCommand --describe --topic-list "$prefix-trimmed" | has '"size":[1-9]' || return
  tool org.apache.kafka.tools.BrokerApiVersionsCommand | has 'Produce\(0\)' || return
  topics --delete --topic "$prefix-admin" || return
  ! topics --list | has "^$prefix-admin$" >/dev/null
}
refused() { # refused WHY COMMAND …
  said=$("${@:2}" 2>&1)
  has "$1" <<<"$said"
}
refusals() {
  refused 'replication factor can only be 1' create refused --replication-factor 3 || return
  refused 'min.insync.replicas is 1 and cannot be changed' create refused --config min.insync.replicas=5 || return
  refused 'GroupIdNotFoundException' groups --delete --group "$prefix-nobody"
}

group_consume() {
  create consume --partitions 3 || return
  values | produce consume || return
  diff <(values | sort) <(all 200 consume --group "$prefix-consume" | sort) || return
  groups --list | has "^$prefix-consume$" || return
  groups --describe --group "$prefix-consume" --state | has ' Empty ' || return
  # The group, the topic, a partition, what is committed and where it ends, and the lag between.
  diff <(echo "0 0 0") <(lags consume) || return
  groups --delete --group "$prefix-consume" || return
  ! groups --list | has "^$prefix-consume$" >/dev/null
}
lags() { groups --describe --group "$prefix-$1" | awk -v topic="$prefix-$1" '$2 == topic { print $6 }' | xargs; }
shares() { # how many partitions each member has
  diff <(echo "$2") <(groups --describe --group "$prefix-$1" --members | awk -v group="$prefix-$1" '$1 == group { print $NF }' | sort | xargs)
}
group_rebalance() {
  create rebalance --partitions 3 || return
  found=$(mktemp -d) && trap 'rm -rf "$found"' RETURN
  for member in 1 2; do
    "${java[@]}" org.apache.kafka.tools.consumer.ConsoleConsumer --bootstrap-server "$bootstrap" \
      --topic "$prefix-rebalance" --group "$prefix-rebalance" --from-beginning \
      --consumer-property heartbeat.interval.ms=300 >"$found/$member" &
    members[member]=$!
  done
  eventually shares rebalance "1 2" && values | produce rebalance && eventually is_read "$found"
  result=$?
  kill "${members[1]}" && wait "${members[1]}"
  eventually shares rebalance 3 || result=1
  kill "${members[2]}" && wait "${members[2]}"
  return $result
}
is_read() { diff <(values | sort) <(cat "$1"/* | sort); }
reset() { groups --reset-offsets --group "$prefix-resume" --topic "$prefix-resume" "$@" | has "$prefix-resume +0 +$expected"; }
commit_and_resume() {
  values | produce resume || return
  diff <(values) <(all 100 resume --group "$prefix-resume" && all 100 resume --group "$prefix-resume") || return
  expected=50 reset --to-offset 50 --execute || return
  diff <(echo 150) <(lags resume) || return
  diff <(values | tail -150) <(consume 150 "$prefix-resume" --group "$prefix-resume") || return
  expected=0 reset --to-earliest --dry-run || return
  diff <(echo 0) <(lags resume) || return
  expected=190 reset --shift-by -10 --execute || return
  expected=0 reset --to-datetime 2020-01-01T00:00:00.000 --execute || return
  diff <(echo 200) <(lags resume) || return
  groups --delete-offsets --group "$prefix-resume" --topic "$prefix-resume" | has 'Successful'
}

check acks acks
check codecs codecs
check headers headers
check tombstones tombstones
check large-records large_records
check idempotent-producer idempotent_producer
check seek seek
check seek-by-time seek_by_time
check keys keys
check native-records native_records
check administration administration
check refusals refusals
check group-consume group_consume
check group-rebalance group_rebalance
check commit-and-resume commit_and_resume
