//! What a record of a state log holds: a byte for the format's version, then `MessagePack`.

use bytes::{BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    batch::{BatchBuilder, RecordBatch},
    config::Compression,
    error::Error,
    record::Record,
    time::Timestamp,
};

/// The format that is written; a newer one is refused.
const VERSION: u8 = 1;

/// One record.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Entry<E> {
    /// Something happened.
    Event(E),
    /// What follows under this id is the state as of just before this record.
    SnapshotBegin { id: u64 },
    /// Events, back to back, that make a part of that state.
    SnapshotPart {
        id: u64,
        #[serde(with = "serde_bytes")]
        events: Vec<u8>,
    },
    /// The snapshot is complete, if these are its parts and this is the CRC-32 of all their bytes.
    SnapshotEnd { id: u64, parts: u32, crc: u32 },
}

impl<E: Serialize> Entry<E> {
    fn encode(&self) -> Result<Bytes, Error> {
        let mut out = BytesMut::new();
        out.put_u8(VERSION);
        encode_to(self, &mut out)?;
        Ok(out.freeze())
    }

    /// A batch of these entries, which are appended together or not at all.
    pub(super) fn batch(entries: &[Self], now: Timestamp) -> Result<RecordBatch, Error> {
        let mut builder = BatchBuilder::new(Compression::None);
        for entry in entries {
            builder.push(&Record::new(entry.encode()?), now)?;
        }
        Ok(builder.build()?)
    }
}

impl<E: DeserializeOwned> Entry<E> {
    /// # Errors
    /// [`Error::Unsupported`] where a newer broker wrote the record, [`Error::Internal`] where nobody
    /// can have.
    pub(super) fn decode(value: &[u8]) -> Result<Self, Error> {
        match value.split_first() {
            Some((&VERSION, body)) => rmp_serde::from_slice(body).map_err(damaged),
            Some((version, _)) => Err(Error::Unsupported(format!(
                "state in format {version}, this broker reads format {VERSION}"
            ))),
            None => Err(Error::Internal("an empty record in a state log".to_owned())),
        }
    }
}

/// Appends an event to the bytes of a snapshot's part.
pub(super) fn encode_to(event: &impl Serialize, out: &mut BytesMut) -> Result<(), Error> {
    rmp_serde::encode::write(&mut out.writer(), event)
        .map_err(|error| Error::Internal(format!("state does not encode: {error}")))
}

/// The events of a snapshot's part.
pub(super) fn decode_all<E: DeserializeOwned>(mut part: &[u8]) -> Result<Vec<E>, Error> {
    let mut events = Vec::new();
    while !part.is_empty() {
        let event = E::deserialize(&mut rmp_serde::Deserializer::new(&mut part));
        events.push(event.map_err(damaged)?);
    }
    Ok(events)
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn damaged(error: rmp_serde::decode::Error) -> Error {
    Error::Internal(format!("state does not decode: {error}"))
}
