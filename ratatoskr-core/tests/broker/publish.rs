//! Sending records: routing, batching, answers in order.

use ratatoskr_core::{offset::Offset, record::Record};

use crate::support::Bench;

#[tokio::test]
async fn records_of_one_key_go_to_one_partition_in_order() {
    let bench = Bench::memory().await;
    let topic = bench.topic("orders", 3).await;
    let records = (0..10).map(|n| Record::new(n.to_string()).with_key("k"));
    let sent = bench
        .broker
        .publish_many(&topic, records.collect())
        .await
        .unwrap();
    let partition = sent[0].partition;
    for (n, metadata) in (0..).zip(&sent) {
        assert_eq!(metadata.partition, partition);
        assert_eq!(metadata.offset, Offset::new(n));
    }
    let values = bench.values_of(&topic, partition).await;
    assert_eq!(values, (0..10).map(|n| n.to_string()).collect::<Vec<_>>());
}
