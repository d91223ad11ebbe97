//! Reading: what comes back, how much of it, and how long it is waited for.

use ratatoskr_core::offset::Offset;

use crate::support::{Bench, P0, batch, poll_from, values};

#[tokio::test(start_paused = true)]
async fn a_waiting_fetch_is_woken_by_a_send() {
    let bench = Bench::memory().await;
    let topic = bench.topic("orders", 1).await;
    let request = poll_from(&topic, P0, Offset::ZERO);
    let (fetched, ()) = tokio::join!(bench.fetch_one(&request), async {
        crate::support::settle().await;
        let pending = bench.broker.produce(&topic, P0, batch(&["a"])).unwrap();
        pending.wait().await.unwrap();
    });
    assert_eq!(values(&fetched.unwrap().batches), ["a"]);
}
