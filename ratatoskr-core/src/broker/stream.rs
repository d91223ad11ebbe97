//! A topic as a [`Stream`] of records.

use std::{
    fmt,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_core::Stream;

pub use crate::broker::reader::StartAt;
use crate::{
    broker::{
        Broker,
        reader::{ReaderOptions, TopicReader},
    },
    error::Error,
    limits,
    name::TopicName,
    offset::{IsolationLevel, PartitionIndex},
    record::ConsumedRecord,
};

/// What a stream reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamOptions {
    /// Where it begins.
    pub start: StartAt,
    /// Which partitions; `None` for all, those that are added later as well.
    pub partitions: Option<Vec<PartitionIndex>>,
    /// Bytes to hold of each partition at most, except that one batch is always read whole.
    pub bytes_max: usize,
    /// Whether to stop at open transactions.
    pub isolation: IsolationLevel,
}

impl Default for StreamOptions {
    /// All partitions from their oldest record.
    fn default() -> Self {
        Self {
            start: StartAt::default(),
            partitions: None,
            bytes_max: limits::STREAM_BYTES_DEFAULT,
            isolation: IsolationLevel::default(),
        }
    }
}

/// The records of a topic, those of each partition in the order of their offsets. It waits for
/// records yet to come, and ends only with an error.
///
/// # Errors
/// Items are errors where something has to be told:
/// - [`Error::OffsetOutOfRange`]: records between the offset wanted and the log start were removed
///   (or the offset lies beyond the end); the stream goes on at the nearest offset there is.
/// - [`Error::CorruptRecords`], [`Error::InvalidBatch`]: these records cannot be read; the stream
///   goes on behind them.
/// - [`Error::UnknownTopic`] (deleted), [`Error::ShuttingDown`], [`Error::Fenced`]: the last item.
///
/// A partition that is offline is waited for, while records of the others keep coming.
#[must_use = "a stream reads nothing until it is polled"]
pub struct RecordStream {
    /// `None` after the last item.
    reader: Option<Box<TopicReader>>,
}

impl Broker {
    /// Reads a topic as a stream. Where it begins is settled when this returns: from
    /// [`StartAt::End`], every record published later is in it.
    ///
    /// # Errors
    /// [`Error::UnknownTopic`], [`Error::UnknownPartition`], [`Error::Storage`],
    /// [`Error::ShuttingDown`], [`Error::Fenced`].
    ///
    /// # Cancel safety
    /// Dropping the future, or the stream, changes nothing.
    pub async fn stream(
        &self,
        topic: &TopicName,
        options: StreamOptions,
    ) -> Result<RecordStream, Error> {
        let reader = TopicReader::open(self, topic, options.into()).await?;
        Ok(RecordStream {
            reader: Some(Box::new(reader)),
        })
    }
}

impl RecordStream {
    /// The next item; `None` after the last.
    ///
    /// # Errors
    /// See [`RecordStream`].
    ///
    /// # Cancel safety
    /// Dropping the future loses no record.
    pub async fn next(&mut self) -> Option<Result<ConsumedRecord, Error>> {
        poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }
}

impl Stream for RecordStream {
    type Item = Result<ConsumedRecord, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(reader) = &mut self.reader else {
            return Poll::Ready(None);
        };
        let item = ready!(reader.poll_next(context));
        if item.as_ref().is_err_and(ends) {
            self.reader = None;
        }
        Poll::Ready(Some(item))
    }
}

/// Whether no record can come after this error.
pub(super) const fn ends(error: &Error) -> bool {
    matches!(
        error,
        Error::UnknownTopic(_) | Error::ShuttingDown | Error::Fenced { .. }
    )
}

impl From<StreamOptions> for ReaderOptions {
    fn from(options: StreamOptions) -> Self {
        Self {
            start: options.start,
            partitions: options.partitions,
            bytes_max: options.bytes_max,
            isolation: options.isolation,
        }
    }
}

impl fmt::Debug for RecordStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordStream").finish_non_exhaustive()
    }
}
