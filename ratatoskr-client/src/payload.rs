//! Values of a type of the user's as the values of records.

use std::fmt;

use ratatoskr_core::record::Record;
use serde::{Deserialize, Serialize};

/// Records whose value is a value of a Rust type, as JSON (feature `json`) or `MessagePack`
/// (feature `msgpack`).
///
/// The record says nowhere which of the two it is: that is agreed upon by topic.
///
/// # Example
#[cfg_attr(feature = "json", doc = "```")]
#[cfg_attr(not(feature = "json"), doc = "```ignore")]
/// use ratatoskr_client::{Payload, PayloadError, Record};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Debug, PartialEq, Serialize, Deserialize)]
/// struct Invoice {
///     customer: String,
///     cents: u64,
/// }
///
/// # fn main() -> Result<(), PayloadError> {
/// let invoice = Invoice { customer: "anna".into(), cents: 1_999 };
/// let record = Record::from_json(&invoice)?.with_key("anna");
/// assert_eq!(record.value.as_deref(), Some(&br#"{"customer":"anna","cents":1999}"#[..]));
/// assert_eq!(record.json::<Invoice>()?, invoice);
///
/// let broken = Record::new("{").json::<Invoice>();
/// assert!(matches!(broken, Err(PayloadError::Decode { .. })));
/// # Ok(())
/// # }
/// ```
pub trait Payload: sealed::Sealed + Sized {
    /// A record with this value as JSON, and nothing else.
    ///
    /// # Errors
    /// [`PayloadError::Encode`] where the type cannot be JSON, such as a map whose keys are no text.
    #[cfg(feature = "json")]
    fn from_json<T: Serialize + ?Sized>(value: &T) -> Result<Self, PayloadError>;

    /// The value, read as JSON. It may borrow from the record.
    ///
    /// # Errors
    /// [`PayloadError::Absent`] where the record has no value, [`PayloadError::Decode`] where it is not
    /// JSON of this type.
    #[cfg(feature = "json")]
    fn json<'a, T: Deserialize<'a>>(&'a self) -> Result<T, PayloadError>;

    /// A record with this value as `MessagePack`, and nothing else. Structs are maps with the names of
    /// their fields, so that fields can be added later.
    ///
    /// # Errors
    /// [`PayloadError::Encode`] where the type cannot be `MessagePack`.
    #[cfg(feature = "msgpack")]
    fn from_msgpack<T: Serialize + ?Sized>(value: &T) -> Result<Self, PayloadError>;

    /// The value, read as `MessagePack`. It may borrow from the record.
    ///
    /// # Errors
    /// [`PayloadError::Absent`] where the record has no value, [`PayloadError::Decode`] where it is not
    /// `MessagePack` of this type.
    #[cfg(feature = "msgpack")]
    fn msgpack<'a, T: Deserialize<'a>>(&'a self) -> Result<T, PayloadError>;
}

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PayloadFormat {
    /// JSON (RFC 8259).
    Json,
    /// `MessagePack`.
    MessagePack,
}

impl fmt::Display for PayloadFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Json => "JSON",
            Self::MessagePack => "MessagePack",
        })
    }
}

/// Why a record's value and a value of a type do not come to each other. Trying again does not help:
/// a queue's handler rejects such a record.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PayloadError {
    /// The record has no value; on a compacted topic that means that its key is deleted.
    #[error("the record has no value")]
    Absent,
    /// The value cannot be written in this format.
    #[error("cannot be written as {format}: {source}")]
    Encode {
        /// The format.
        format: PayloadFormat,
        /// What was in the way.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The record's value is not this type in this format.
    #[error("cannot be read as {format}: {source}")]
    Decode {
        /// The format.
        format: PayloadFormat,
        /// What was in the way.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Payload for Record {
    #[cfg(feature = "json")]
    fn from_json<T: Serialize + ?Sized>(value: &T) -> Result<Self, PayloadError> {
        written(PayloadFormat::Json, serde_json::to_vec(value))
    }

    #[cfg(feature = "json")]
    fn json<'a, T: Deserialize<'a>>(&'a self) -> Result<T, PayloadError> {
        read(PayloadFormat::Json, self, serde_json::from_slice)
    }

    #[cfg(feature = "msgpack")]
    fn from_msgpack<T: Serialize + ?Sized>(value: &T) -> Result<Self, PayloadError> {
        written(PayloadFormat::MessagePack, rmp_serde::to_vec_named(value))
    }

    #[cfg(feature = "msgpack")]
    fn msgpack<'a, T: Deserialize<'a>>(&'a self) -> Result<T, PayloadError> {
        read(PayloadFormat::MessagePack, self, rmp_serde::from_slice)
    }
}

fn written<E: std::error::Error + Send + Sync + 'static>(
    format: PayloadFormat,
    bytes: Result<Vec<u8>, E>,
) -> Result<Record, PayloadError> {
    bytes
        .map(Record::new)
        .map_err(|error| PayloadError::Encode {
            format,
            source: Box::new(error),
        })
}

fn read<'a, T, E: std::error::Error + Send + Sync + 'static>(
    format: PayloadFormat,
    record: &'a Record,
    decode: impl FnOnce(&'a [u8]) -> Result<T, E>,
) -> Result<T, PayloadError> {
    let value = record.value.as_deref().ok_or(PayloadError::Absent)?;
    decode(value).map_err(|error| PayloadError::Decode {
        format,
        source: Box::new(error),
    })
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for ratatoskr_core::record::Record {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Job<'a> {
        name: &'a str,
        tries: Option<u32>,
    }

    /// As a later version of a program has it.
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct LaterJob {
        tries: Option<u32>,
        #[serde(default)]
        urgent: bool,
        name: String,
    }

    const JOB: Job<'_> = Job {
        name: "print",
        tries: Some(3),
    };

    fn later() -> LaterJob {
        LaterJob {
            name: "print".into(),
            tries: Some(3),
            urgent: false,
        }
    }

    #[cfg(feature = "json")]
    #[test]
    fn json_comes_out_as_it_went_in() {
        let record = Record::from_json(&JOB).unwrap();
        assert_eq!(record.json::<Job<'_>>().unwrap(), JOB);
        assert_eq!(record.json::<LaterJob>().unwrap(), later());
        let error = Record::new("[]").json::<LaterJob>().unwrap_err();
        assert!(error.to_string().contains("as JSON"), "{error}");
        let absent = Record::default().json::<LaterJob>();
        assert!(matches!(absent, Err(PayloadError::Absent)));
        let no_text = std::collections::BTreeMap::from([((1, 2), 3)]);
        let error = Record::from_json(&no_text).unwrap_err();
        assert!(matches!(error, PayloadError::Encode { .. }), "{error}");
    }

    #[cfg(feature = "msgpack")]
    #[test]
    fn message_pack_comes_out_as_it_went_in() {
        let record = Record::from_msgpack(&JOB).unwrap();
        assert_eq!(record.msgpack::<Job<'_>>().unwrap(), JOB);
        assert_eq!(record.msgpack::<LaterJob>().unwrap(), later());
        let error = Record::new("{").msgpack::<LaterJob>().unwrap_err();
        assert!(error.to_string().contains("as MessagePack"), "{error}");
        let absent = Record::default().msgpack::<LaterJob>();
        assert!(matches!(absent, Err(PayloadError::Absent)));
    }
}
