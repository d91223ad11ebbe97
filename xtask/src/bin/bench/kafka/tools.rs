//! Kafka's own perf tools: how they are told what to do, and what they print.
//!
//! The producer's figures are those of its steady state, after the records that warm the virtual
//! machine up. The consumer's leave out the time until its group was ready, as its columns `fetch.…` do.

use anyhow::{Context, Result, ensure};
use clap::Parser;
use serde_json::{Value, json};
use tokio::process::Command;

use super::Jars;
use crate::program::printed;

/// The topic that is written, and then read.
const TOPIC: &str = "perf";
/// The tools' MB.
const MEBIBYTE: f64 = 1_048_576.0;

/// What is sent and read back.
#[derive(Clone, Debug, Parser)]
#[command(no_binary_name = true)]
pub(crate) struct Load {
    /// How many records, those that warm up among them
    #[arg(long)]
    records: u64,
    /// How many records are sent before the producer's figures begin
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    warm_up: u64,
    /// Bytes of a record's value
    #[arg(long)]
    size: u32,
    /// Records a second; as many as go where it is not given
    #[arg(long)]
    rate: Option<u32>,
    /// Partitions of the topic
    #[arg(long, default_value_t = 1)]
    partitions: u32,
    /// A property of the producer, KEY=VALUE; may be given several times
    #[arg(long = "property")]
    properties: Vec<String>,
}

impl Load {
    /// A row's command line.
    ///
    /// # Errors
    /// It is none, or nothing is left after the warm-up.
    pub(crate) fn parse(words: &[String]) -> Result<Self> {
        let load = Self::try_parse_from(words)?;
        ensure!(
            load.warm_up < load.records,
            "nothing is sent after {} records",
            load.warm_up
        );
        Ok(load)
    }

    /// The words with which this broker's command line creates the topic.
    pub(super) fn our_topic(&self, durability: &str) -> Vec<String> {
        let partitions = format!("--partitions={}", self.partitions);
        let durability = format!("durability={durability}");
        let words = ["topic", "create", TOPIC, &partitions, &durability];
        words.map(ToOwned::to_owned).to_vec()
    }
}

impl Jars {
    /// Creates the topic at Kafka, which also waits until Kafka answers.
    ///
    /// # Errors
    /// It cannot be created.
    pub(super) async fn create_topic(&self, load: &Load, address: &str) -> Result<()> {
        let mut command = self.tool("TopicCommand", address);
        command.args(["--create", "--partitions", &load.partitions.to_string()]);
        printed(&mut command).await.map(drop)
    }

    /// Has the producer send, and then the consumer read.
    ///
    /// # Errors
    /// A tool fails, or fewer or more records were read than sent.
    pub(super) async fn run(&self, load: &Load, address: &str) -> Result<Value> {
        let records = load.records.to_string();
        let mut producer = self.tool("ProducerPerformance", address);
        let rate = load.rate.map_or(-1, i64::from);
        producer
            .args(["--num-records", &records])
            .args(["--warmup-records", &load.warm_up.to_string()])
            .args(["--record-size", &load.size.to_string()])
            .args(["--throughput", &rate.to_string()]);
        if !load.properties.is_empty() {
            producer.arg("--command-property").args(&load.properties);
        }
        let said = printed(&mut producer).await?;
        let produce = produced(&said).with_context(|| format!("the producer said: {said}"))?;
        let mut consumer = self.tool("ConsumerPerformance", address);
        consumer.args(["--num-records", &records]);
        let said = printed(&mut consumer).await?;
        let consume = consumed(&said).with_context(|| format!("the consumer said: {said}"))?;
        let read = consume["records"].as_u64();
        ensure!(
            read == Some(load.records),
            "{records} records were sent, and {} read",
            consume["records"]
        );
        Ok(json!({"verified": true, "produce": produce, "consume": consume}))
    }

    fn tool(&self, class: &str, address: &str) -> Command {
        let mut command = self.java(&format!("org.apache.kafka.tools.{class}"));
        command.args(["--bootstrap-server", address, "--topic", TOPIC]);
        command
    }
}

/// The line about the steady state, for example (on one line)
/// `200 steady state records sent, 98.7 records/sec (9.60 MB/sec), 2.07 ms avg latency,
/// 8.00 ms max latency, 1 ms 50th, 7 ms 95th, 7 ms 99th, 8 ms 99.9th.`
fn produced(text: &str) -> Option<Value> {
    let mark = "steady state records sent";
    let line = text.lines().rfind(|line| line.contains(mark))?;
    let parts: Vec<_> = line.trim_end_matches('.').split(", ").collect();
    let figure = |end: &str| {
        let part = parts.iter().find(|part| part.trim().ends_with(end))?;
        part.split_whitespace().next()?.parse::<f64>().ok()
    };
    let (_, mebibytes) = line.split_once('(')?;
    let mebibytes: f64 = mebibytes.split_whitespace().next()?.parse().ok()?;
    Some(json!({
        "records": figure(mark)?,
        "records_per_second": figure("MB/sec)")?,
        "bytes_per_second": mebibytes * MEBIBYTE,
        "latency_ms": {
            "mean": figure("ms avg latency")?,
            "p50": figure("ms 50th")?,
            "p95": figure("ms 95th")?,
            "p99": figure("ms 99th")?,
            "p99.9": figure("ms 99.9th")?,
            "max": figure("ms max latency")?,
        },
    }))
}

/// The line of values under the line of their names.
fn consumed(text: &str) -> Option<Value> {
    let mut lines = text
        .lines()
        .skip_while(|line| !line.starts_with("start.time"));
    let names: Vec<_> = lines.next()?.split(", ").collect();
    let values: Vec<_> = lines.next()?.split(", ").collect();
    let value = |name: &str| {
        let at = names.iter().position(|found| found.trim() == name)?;
        values.get(at).map(|value| value.trim())
    };
    let figure = |name: &str| value(name)?.parse::<f64>().ok();
    Some(json!({
        "records": value("data.consumed.in.nMsg")?.parse::<u64>().ok()?,
        "records_per_second": figure("fetch.nMsg.sec")?,
        "bytes_per_second": figure("fetch.MB.sec")? * MEBIBYTE,
        "group_ms": figure("rebalance.time.ms")?,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_producer_is_judged_by_its_steady_state() {
        let said = "\
Warmup first 100 records. Steady state results will print after the complete test summary.
In steady state.
300000 records sent, 5425.347222 records/sec (5.30 MB/sec), 5249.70 ms avg latency, 21390.00 ms max latency, 3467 ms 50th, 18490 ms 95th, 20871 ms 99th, 21329 ms 99.9th.
200000 steady state records sent, 9834.775767 records/sec (9.50 MB/sec), 2869.07 ms avg latency, 8330.00 ms max latency, 1780 ms 50th, 7574 ms 95th, 7830 ms 99th, 8258 ms 99.9th.
";
        let expected = json!({
            "records": 200_000.0,
            "records_per_second": 9_834.775_767,
            "bytes_per_second": 9_961_472.0,
            "latency_ms": {
                "mean": 2_869.07, "p50": 1_780.0, "p95": 7_574.0, "p99": 7_830.0, "p99.9": 8_258.0,
                "max": 8_330.0,
            },
        });
        assert_eq!(produced(said), Some(expected));
        assert_eq!(produced("300 records sent, 5 records/sec (1 MB/sec)"), None);
    }

    #[test]
    fn the_consumer_is_judged_by_its_fetches() {
        let said = "\
start.time, end.time, data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, nMsg.sec, rebalance.time.ms, fetch.time.ms, fetch.MB.sec, fetch.nMsg.sec
2026-11-29 17:39:06:666, 2026-11-29 17:39:25:773, 292.9688, 15.3331, 300000, 15701.0520, 5362, 13745, 21.5, 21826.1186
";
        let expected = json!({
            "records": 300_000,
            "records_per_second": 21_826.118_6,
            "bytes_per_second": 22_544_384.0,
            "group_ms": 5_362.0,
        });
        assert_eq!(consumed(said), Some(expected));
        assert_eq!(consumed("start.time, end.time\n"), None);
    }

    #[test]
    fn a_load_that_only_warms_up_is_refused() {
        let parse = |line: &str| {
            let words: Vec<_> = line.split_whitespace().map(ToOwned::to_owned).collect();
            Load::parse(&words)
        };
        assert!(parse("--records 2 --warm-up 1 --size 100").is_ok());
        assert!(parse("--records 2 --warm-up 2 --size 100").is_err());
        assert!(parse("--records 2 --warm-up 0 --size 100").is_err());
        assert!(parse("--records 2 --size 100").is_err());
    }
}
