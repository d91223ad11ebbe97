//! Bytes that only members understand.

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Cheap to copy; `bytes` in the log, not an array of numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Opaque(pub(crate) Bytes);

impl Serialize for Opaque {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Opaque {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes: Vec<u8> = serde_bytes::deserialize(deserializer)?;
        Ok(Self(bytes.into()))
    }
}

impl From<&Bytes> for Opaque {
    /// A copy of its own, since a slice would hold the whole request that it came in.
    fn from(bytes: &Bytes) -> Self {
        Self(Bytes::copy_from_slice(bytes))
    }
}
