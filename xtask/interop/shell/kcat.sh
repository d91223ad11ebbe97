#!/usr/bin/env bash
# kcat, which is librdkafka on the command line.
set -uo pipefail
bootstrap=$1 prefix=$2
values() { for n in $(seq 0 199); do echo "value $n"; done; }
consume() { kcat -q -C -b "$bootstrap" -t "$1" -e "${@:2}"; }

check() { # check NAME FUNCTION
  if why=$("$2" 2>&1); then echo "ok $1"; else echo "fail $1: $(tr '\n' ' ' <<<"${why:-it ended with an error}" | cut -c1-200)"; fi
}

acks() {
  for acks in 0 1 -1; do
    values | kcat -P -b "$bootstrap" -t "$prefix-acks$acks" -X "acks=$acks" || return
    diff <(values) <(consume "$prefix-acks$acks") || return
  done
}
codecs() {
  for codec in none gzip snappy lz4 zstd; do
    values | kcat -P -b "$bootstrap" -t "$prefix-$codec" -z "$codec" || return
    diff <(values) <(consume "$prefix-$codec") || return
  done
}
headers() {
  echo v | kcat -P -b "$bootstrap" -t "$prefix-headers" -H a=1 -H a=2 || return
  diff <(echo "a=1,a=2") <(consume "$prefix-headers" -f '%h\n')
}
tombstones() {
  echo "k:" | kcat -P -b "$bootstrap" -t "$prefix-tombstones" -K: -Z || return
  diff <(echo "k -1") <(consume "$prefix-tombstones" -f '%k %S\n')
}
seek() { diff <(values | tail -7) <(consume "$prefix-none" -o -7); }
seek_by_time() { diff <(values) <(consume "$prefix-none" -o s@1000); }
native_records() { diff <(for n in $(seq 0 19); do echo "native-$n"; done) <(consume native); }
administration() { kcat -b "$bootstrap" -L -J | grep -q "\"topic\":\"$prefix-none\""; }
group() { kcat -q -b "$bootstrap" -G "$prefix-$1" -X auto.offset.reset=earliest "${@:2}"; }
group_consume() {
  values | kcat -P -b "$bootstrap" -t "$prefix-consume" || return
  diff <(values) <(group consume -e "$prefix-consume")
}
commit_and_resume() {
  values | kcat -P -b "$bootstrap" -t "$prefix-resume" || return
  diff <(values) <(group resume -c 100 "$prefix-resume"; group resume -e "$prefix-resume")
}

check acks acks
check codecs codecs
check headers headers
check tombstones tombstones
check seek seek
check seek-by-time seek_by_time
check native-records native_records
check administration administration
check group-consume group_consume
check commit-and-resume commit_and_resume
