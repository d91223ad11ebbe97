//! The main job through the broker's own handle.

use ratatoskr_core::{
    Broker,
    broker::StreamOptions,
    config::Compression,
    name::TopicName,
    record::{ConsumedRecord, Record},
};

use crate::{
    backend::{Backend, End},
    check::{check, check_restarted},
    door::{Door, Place, Restart, new_topic},
    kept,
};

/// Lines sent at once. Lines without a key take another partition after each time.
const LINES_AT_ONCE: usize = 97;

/// A broker in this process.
pub(crate) struct InProcess {
    backend: Backend,
    broker: Broker,
}

impl InProcess {
    async fn over(backend: Backend) -> Self {
        let broker = backend.broker().await;
        Self { backend, broker }
    }
}

impl Restart for InProcess {
    async fn restart(self, end: End) -> Self {
        Self::over(self.backend.end(self.broker, end).await).await
    }
}

impl Door for InProcess {
    async fn send(
        &mut self,
        topic: &TopicName,
        compression: Compression,
        records: &[Record],
    ) -> Option<Vec<Place>> {
        let created = self
            .broker
            .create_topic(topic, new_topic(compression))
            .await;
        created.expect("the topic is created");
        let mut places = Vec::new();
        for records in records.chunks(LINES_AT_ONCE) {
            let sent = self.broker.publish_many(topic, records.to_vec()).await;
            let sent = sent.expect("the records are taken");
            places.extend(
                sent.iter()
                    .map(|metadata| (metadata.partition, metadata.offset)),
            );
        }
        Some(places)
    }

    async fn read(&mut self, topic: &TopicName, count: usize) -> Vec<ConsumedRecord> {
        let options = StreamOptions::default();
        let mut stream = self.broker.stream(topic, options).await.expect("a stream");
        let mut read = Vec::with_capacity(count);
        while read.len() < count {
            let record = stream.next().await.expect("a stream goes on");
            read.push(record.expect("a record"));
        }
        read
    }

    async fn codecs(&mut self, topic: &TopicName) -> Option<Vec<Compression>> {
        Some(kept::codecs(&self.broker, topic).await)
    }
}

#[tokio::test]
async fn in_process_over_memory() {
    check(InProcess::over(Backend::memory()).await).await;
}

#[tokio::test]
async fn in_process_over_memory_with_a_new_broker() {
    check_restarted(InProcess::over(Backend::memory()).await, End::InOrder).await;
}

#[tokio::test]
async fn in_process_on_disk() {
    check(InProcess::over(Backend::disk().await).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_process_on_disk_with_threads() {
    check(InProcess::over(Backend::disk().await).await).await;
}

#[tokio::test]
async fn in_process_on_disk_after_a_restart() {
    check_restarted(InProcess::over(Backend::disk().await).await, End::InOrder).await;
}

#[tokio::test]
async fn in_process_on_disk_after_an_end_without_notice() {
    check_restarted(
        InProcess::over(Backend::disk().await).await,
        End::WithoutNotice,
    )
    .await;
}
