//! fetch, find offset: batches and offsets out.

use std::time::Duration;

use ratatoskr_core::{
    Broker, Error,
    broker::{FetchPartition, FetchRequest, FetchResponse},
    offset::Bounds,
    storage::Access,
    wire::{
        ErrorBody, ErrorCode, Fetch, Fetched, FetchedPartition, FindOffset, FoundOffset, Frame,
    },
};

use super::{Command, Handled, Session, decode, told};
use crate::native::subscription::isolation;

/// Reads, waiting for records if need be, without keeping other requests waiting.
pub(super) fn handle(session: &Session, frame: &Frame) -> Handled {
    let correlation = frame.correlation;
    let request = match decode::<Fetch>(frame).and_then(|fetch| request(session, fetch)) {
        Ok(request) => request,
        Err(error) => return Handled::Answer(session.error(correlation, &error)),
    };
    let session = session.clone();
    Handled::Later(Box::pin(async move {
        let response = tokio::select! {
            response = session.broker.fetch(&request) => response,
            () = session.drain.begun() => {
                return session.error(correlation, &told(Error::ShuttingDown));
            }
        };
        let (body, batches) = match response {
            Ok(response) => fetched(response),
            Err(error) => return session.error(correlation, &told(error)),
        };
        session.reply_with::<Fetch>(correlation, &body, batches)
    }))
}

fn request(session: &Session, fetch: Fetch) -> Result<FetchRequest, ErrorBody> {
    let limits = &session.limits;
    if fetch.partitions.len() > limits.partitions_per_request_max {
        let max = limits.partitions_per_request_max;
        let text = format!("a fetch may name {max} partitions");
        return Err(ErrorBody::new(ErrorCode::InvalidRequest, text));
    }
    let wait = Duration::from_millis(fetch.wait_ms.into());
    Ok(FetchRequest {
        partitions: fetch
            .partitions
            .into_iter()
            .map(|part| FetchPartition {
                topic: part.topic,
                partition: part.partition,
                from: part.from,
                bytes_max: part.bytes_max as usize,
            })
            .collect(),
        bytes_min: fetch.bytes_min as usize,
        bytes_max: (fetch.bytes_max as usize).min(limits.in_flight_bytes_max),
        wait_max: wait.min(limits.fetch_wait_max),
        isolation: isolation(fetch.committed),
        access: Access::Forward,
    })
}

fn fetched(response: FetchResponse) -> (Fetched, Vec<bytes::Bytes>) {
    let mut batches = Vec::new();
    let partitions = response
        .partitions
        .into_iter()
        .map(|part| match part.result {
            Ok(fetched) => {
                let bytes = u32::try_from(fetched.batches.len()).unwrap_or(u32::MAX);
                batches.extend(fetched.batches.into_slices());
                FetchedPartition {
                    error: None,
                    bounds: fetched.bounds,
                    bytes,
                }
            }
            Err(error) => FetchedPartition {
                error: Some(told(error)),
                bounds: Bounds::default(),
                bytes: 0,
            },
        })
        .collect();
    (Fetched { partitions }, batches)
}

impl Command for FindOffset {
    async fn run(self, broker: &Broker) -> Result<FoundOffset, ErrorBody> {
        let offset = broker
            .offset_at(&self.topic, self.partition, self.at)
            .await
            .map_err(told)?;
        let bounds = broker.bounds(&self.topic, self.partition).map_err(told)?;
        Ok(FoundOffset { offset, bounds })
    }
}
