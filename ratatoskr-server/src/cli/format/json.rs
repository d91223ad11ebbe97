//! A record as one JSON object a line.
//!
//! Fields: `topic`, `partition`, `offset`, `timestamp_ms`, `key`, `value`, `headers` (objects with
//! `key` and `value`). Bytes that are UTF-8 are strings; others are base64 in `key_base64` or
//! `value_base64`. What is absent is `null`. Reading takes the same object; the place (`topic`,
//! `partition`, `offset`) is read past, everything but the value may be left out, and an unknown
//! field is an error.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use ratatoskr_core::{
    bytes::Bytes,
    record::{ConsumedRecord, Header, Record},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

/// A record, and where it is.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RecordObject {
    topic: Option<String>,
    partition: Option<u32>,
    offset: Option<u64>,
    timestamp_ms: Option<i64>,
    key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_base64: Option<String>,
    value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_base64: Option<String>,
    headers: Vec<HeaderObject>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HeaderObject {
    key: String,
    #[serde(default)]
    value: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value_base64: Option<String>,
}

impl RecordObject {
    /// The object of this record.
    pub(crate) fn of(record: &ConsumedRecord) -> Self {
        let (key, key_base64) = texts(record.record.key.as_ref());
        let (value, value_base64) = texts(record.record.value.as_ref());
        let headers = record.record.headers.iter().map(|header| {
            let (value, value_base64) = texts(header.value.as_ref());
            HeaderObject {
                key: header.key.clone(),
                value,
                value_base64,
            }
        });
        Self {
            topic: Some(record.topic.to_string()),
            partition: Some(record.partition.get()),
            offset: Some(record.offset.get()),
            timestamp_ms: record.record.timestamp.map(Timestamp::get),
            key,
            key_base64,
            value,
            value_base64,
            headers: headers.collect(),
        }
    }
}

/// Appends the object and a line end to `out`.
pub(super) fn print(record: &ConsumedRecord, out: &mut Vec<u8>) -> serde_json::Result<()> {
    serde_json::to_writer(&mut *out, &RecordObject::of(record))?;
    out.push(b'\n');
    Ok(())
}

/// Reads a record from the text of one object.
pub(super) fn read(text: &[u8]) -> Result<Record, String> {
    let object: RecordObject = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    let headers = object.headers.into_iter().map(|header| {
        Ok(Header {
            key: header.key,
            value: bytes("header value", header.value, header.value_base64)?,
        })
    });
    Ok(Record {
        key: bytes("key", object.key, object.key_base64)?,
        value: bytes("value", object.value, object.value_base64)?,
        headers: headers.collect::<Result<_, String>>()?,
        timestamp: object.timestamp_ms.map(Timestamp::new),
    })
}

/// Text where the bytes are UTF-8, else base64.
fn texts(bytes: Option<&Bytes>) -> (Option<String>, Option<String>) {
    match bytes.map(|bytes| str::from_utf8(bytes).map_err(|_| bytes)) {
        None => (None, None),
        Some(Ok(text)) => (Some(text.to_owned()), None),
        Some(Err(bytes)) => (None, Some(BASE64_STANDARD.encode(bytes))),
    }
}

fn bytes(
    what: &str,
    text: Option<String>,
    base64: Option<String>,
) -> Result<Option<Bytes>, String> {
    match (text, base64) {
        (None, None) => Ok(None),
        (Some(text), None) => Ok(Some(text.into())),
        (None, Some(base64)) => match BASE64_STANDARD.decode(base64) {
            Ok(bytes) => Ok(Some(bytes.into())),
            Err(error) => Err(format!("the base64 of the {what} is broken: {error}")),
        },
        (Some(_), Some(_)) => Err(format!("the {what} stands there as text and as base64")),
    }
}
