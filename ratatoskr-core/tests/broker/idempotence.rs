//! Idempotent producers: each batch once, in order, whatever is sent again.

use std::time::Duration;

use ratatoskr_core::{
    BrokerConfig, Error,
    broker::Produced,
    offset::Offset,
    producer::{ProducerEpoch, ProducerId, Sequence},
};

use crate::support::{Bench, P0, TestStorage, batch_of};

/// One bench, one topic, and what a producer hears.
struct Producing {
    bench: Bench,
    topic: ratatoskr_core::name::TopicName,
}

impl Producing {
    async fn over(bench: Bench) -> Self {
        let topic = bench.topic("orders", 1).await;
        Self { bench, topic }
    }

    async fn send(&self, id: i64, epoch: i16, sequence: i32) -> Result<Produced, Error> {
        let batch = batch_of(id, epoch, sequence, &["a"]);
        let pending = self.bench.broker.produce(&self.topic, P0, batch)?;
        pending.wait().await
    }
}

#[tokio::test]
async fn the_last_five_batches_are_known_again_and_the_sixth_is_out_of_order() {
    let producing = Producing::over(Bench::memory().await).await;
    for sequence in 0..6 {
        producing.send(7, 0, sequence).await.unwrap();
    }
    for sequence in 1..6 {
        let again = producing.send(7, 0, sequence).await.unwrap();
        assert!(again.duplicate);
        assert_eq!(again.base_offset.get(), u64::from(sequence.cast_unsigned()));
    }
    let forgotten = producing.send(7, 0, 0).await;
    assert!(matches!(
        forgotten,
        Err(Error::OutOfOrderSequence { producer, expected, found })
            if producer == ProducerId::new(7)
                && expected == Sequence::new(6)
                && found == Sequence::new(0)
    ));
    assert_eq!(producing.bench.broker.stats().total.duplicates, 5);
}

#[tokio::test]
async fn a_gap_is_refused() {
    let producing = Producing::over(Bench::memory().await).await;
    producing.send(7, 0, 0).await.unwrap();
    let gap = producing.send(7, 0, 2).await;
    assert!(matches!(gap, Err(Error::OutOfOrderSequence { .. })));
    producing.send(7, 0, 1).await.unwrap();
}

#[tokio::test]
async fn an_unknown_producer_may_start_anywhere() {
    let producing = Producing::over(Bench::memory().await).await;
    producing.send(7, 3, 41).await.unwrap();
    producing.send(7, 3, 42).await.unwrap();
}

#[tokio::test]
async fn a_new_epoch_starts_at_zero_and_fences_the_old() {
    let producing = Producing::over(Bench::memory().await).await;
    producing.send(7, 0, 0).await.unwrap();
    let not_zero = producing.send(7, 1, 1).await;
    assert!(
        matches!(not_zero, Err(Error::OutOfOrderSequence { expected, .. })
        if expected == Sequence::new(0))
    );
    producing.send(7, 1, 0).await.unwrap();
    let old = producing.send(7, 0, 1).await;
    assert!(
        matches!(old, Err(Error::ProducerFenced { current, found, .. })
        if current == ProducerEpoch::new(1) && found == ProducerEpoch::new(0))
    );
}

#[tokio::test]
async fn sequences_wrap_to_zero() {
    let producing = Producing::over(Bench::memory().await).await;
    producing.send(7, 0, i32::MAX).await.unwrap();
    producing.send(7, 0, 0).await.unwrap();
    assert!(producing.send(7, 0, i32::MAX).await.unwrap().duplicate);
}

#[tokio::test]
async fn producers_do_not_know_each_other() {
    let producing = Producing::over(Bench::memory().await).await;
    producing.send(7, 0, 0).await.unwrap();
    assert!(!producing.send(8, 0, 0).await.unwrap().duplicate);
}

#[tokio::test]
async fn a_restart_forgets_no_producer() {
    let producing = Producing::over(Bench::memory().await).await;
    for sequence in 0..3 {
        producing.send(7, 2, sequence).await.unwrap();
    }
    let reopened = Producing {
        bench: producing.bench.reopened().await,
        topic: producing.topic,
    };
    // The first send comes while the log is still being read, and waits for it.
    let again = reopened.send(7, 2, 2).await.unwrap();
    assert!(again.duplicate);
    assert_eq!(again.base_offset, Offset::new(2));
    assert!(matches!(
        reopened.send(7, 1, 3).await,
        Err(Error::ProducerFenced { .. })
    ));
    assert_eq!(
        reopened.send(7, 2, 3).await.unwrap().base_offset,
        Offset::new(3)
    );
}

#[tokio::test]
async fn a_producer_is_forgotten_after_its_expiry_whatever_the_wall_clock_says() {
    let producing = Producing::over(Bench::memory().await).await;
    producing.send(7, 0, 0).await.unwrap();
    let clock = &producing.bench.clock;
    clock.jump(ratatoskr_core::time::Timestamp::new(i64::MAX / 2));
    clock.advance(Duration::from_hours(24));
    assert!(matches!(
        producing.send(7, 0, 5).await,
        Err(Error::OutOfOrderSequence { .. })
    ));
    clock.advance(Duration::from_millis(1));
    producing.send(7, 0, 5).await.unwrap();
}

#[tokio::test]
async fn one_producer_too_many_pushes_out_the_one_silent_for_longest() {
    let config = BrokerConfig {
        producers_per_partition_max: 3,
        ..BrokerConfig::default()
    };
    let bench = Bench::over(TestStorage::memory(), config).await;
    let producing = Producing::over(bench).await;
    for id in 1..=4 {
        producing.bench.clock.advance(Duration::from_secs(1));
        producing.send(id, 0, 0).await.unwrap();
    }
    for id in 2..=4 {
        assert!(producing.send(id, 0, 0).await.unwrap().duplicate, "{id}");
    }
    assert!(!producing.send(1, 0, 0).await.unwrap().duplicate);
}
