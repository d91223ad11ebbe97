//! Names and ids of topics and groups, proven legal by their types.
//!
//! A name is parsed once, at the door; inside the broker a [`TopicName`] is legal by construction.
//! Files are never named after topics but after a [`TopicId`], so no name can reach a path.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

/// Longest topic name in bytes (Kafka's limit).
pub const TOPIC_NAME_BYTES_MAX: usize = 249;

/// Prefix of the topics in which the engine keeps its own state; clients may read but not name them.
pub const INTERNAL_PREFIX: &str = "_rt.";

/// A legal topic name: 1 to 249 of `[A-Za-z0-9._-]`, neither `.` nor `..`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TopicName(Arc<str>);

/// Why a string is not a topic name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{name:?} is not a topic name: use 1 to {TOPIC_NAME_BYTES_MAX} letters, digits, '.', '_' or '-', and not '.' or '..'"
)]
pub struct InvalidTopicName {
    /// What was given, cut to 300 characters.
    pub name: String,
}

impl TopicName {
    /// Checks `name` and keeps it.
    ///
    /// # Errors
    /// [`InvalidTopicName`] where the name breaks the rule above.
    pub fn parse(name: &str) -> Result<Self, InvalidTopicName> {
        let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        if name.is_empty()
            || name.len() > TOPIC_NAME_BYTES_MAX
            || matches!(name, "." | "..")
            || !name.bytes().all(legal)
        {
            return Err(InvalidTopicName {
                name: name.chars().take(300).collect(),
            });
        }
        Ok(Self(name.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the engine keeps its own state in this topic.
    pub fn is_internal(&self) -> bool {
        self.0.starts_with(INTERNAL_PREFIX)
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl FromStr for TopicName {
    type Err = InvalidTopicName;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::parse(name)
    }
}

impl TryFrom<String> for TopicName {
    type Error = InvalidTopicName;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        Self::parse(&name)
    }
}

impl From<TopicName> for String {
    fn from(name: TopicName) -> Self {
        name.0.as_ref().into()
    }
}

/// Longest group id in bytes.
pub const GROUP_ID_BYTES_MAX: usize = 255;

/// The name of a group of consumers: 1 to 255 bytes of UTF-8 without control characters. Kafka's
/// clients choose such names freely, so they are wider than topic names; no file is named after one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct GroupId(Arc<str>);

/// Why a string is not a group id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{id:?} is not a group id: use 1 to {GROUP_ID_BYTES_MAX} bytes of text without control characters"
)]
pub struct InvalidGroupId {
    /// What was given, cut to 300 characters.
    pub id: String,
}

impl GroupId {
    /// Checks `id` and keeps it.
    ///
    /// # Errors
    /// [`InvalidGroupId`] where the id breaks the rule above.
    pub fn parse(id: &str) -> Result<Self, InvalidGroupId> {
        if id.is_empty() || id.len() > GROUP_ID_BYTES_MAX || id.contains(char::is_control) {
            return Err(InvalidGroupId {
                id: id.chars().take(300).collect(),
            });
        }
        Ok(Self(id.into()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl FromStr for GroupId {
    type Err = InvalidGroupId;

    fn from_str(id: &str) -> Result<Self, Self::Err> {
        Self::parse(id)
    }
}

impl TryFrom<String> for GroupId {
    type Error = InvalidGroupId;

    fn try_from(id: String) -> Result<Self, Self::Error> {
        Self::parse(&id)
    }
}

impl From<GroupId> for String {
    fn from(id: GroupId) -> Self {
        id.0.as_ref().into()
    }
}

/// A topic's identity: 16 bytes, never all zero, new each time a topic of the same name is made.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TopicId([u8; 16]);

impl TopicId {
    /// A random id (UUID version 4).
    pub fn random() -> Self {
        Self(*uuid::Uuid::new_v4().as_bytes())
    }

    /// The id with these bytes; `None` for all zeros, which stands for "no id" on the wire.
    pub fn from_bytes(bytes: [u8; 16]) -> Option<Self> {
        (bytes != [0; 16]).then_some(Self(bytes))
    }

    /// Its 16 bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for TopicId {
    /// Hyphenated lower-case hex, as a UUID is written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        uuid::Uuid::from_bytes(self.0).hyphenated().fmt(f)
    }
}

impl fmt::Debug for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for TopicId {
    type Err = InvalidTopicId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        uuid::Uuid::try_parse(text)
            .ok()
            .and_then(|id| Self::from_bytes(*id.as_bytes()))
            .ok_or(InvalidTopicId)
    }
}

/// A topic id as 16 `MessagePack` bytes, not as an array of numbers.
pub(crate) mod topic_id_bytes {
    use serde::{Deserializer, Serializer, de::Error};

    use super::TopicId;

    pub(crate) fn serialize<S: Serializer>(id: &TopicId, to: S) -> Result<S::Ok, S::Error> {
        serde_bytes::serialize(id.as_bytes().as_slice(), to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<TopicId, D::Error> {
        let bytes: serde_bytes::ByteArray<16> = serde::Deserialize::deserialize(from)?;
        TopicId::from_bytes(bytes.into_array()).ok_or_else(|| D::Error::custom("topic id of zeros"))
    }
}

/// The text is not the id of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a topic id: a non-zero UUID is expected")]
pub struct InvalidTopicId;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_at_each_edge() {
        for good in ["a", "A.b_c-9", "...", &"x".repeat(TOPIC_NAME_BYTES_MAX)] {
            assert_eq!(TopicName::parse(good).unwrap().as_str(), good);
        }
        for bad in [
            "",
            ".",
            "..",
            "a/b",
            "a b",
            "é",
            "a\0",
            &"x".repeat(TOPIC_NAME_BYTES_MAX + 1),
        ] {
            assert!(TopicName::parse(bad).is_err(), "{bad:?} passed");
        }
    }

    #[test]
    fn group_ids_are_any_printable_text() {
        for good in ["a", "billing service", "é", &"x".repeat(GROUP_ID_BYTES_MAX)] {
            assert_eq!(GroupId::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "a\n", "a\0", &"x".repeat(GROUP_ID_BYTES_MAX + 1)] {
            assert!(GroupId::parse(bad).is_err(), "{bad:?} passed");
        }
    }

    #[test]
    fn a_topic_id_survives_its_text() {
        let id = TopicId::random();
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(
            "00000000-0000-0000-0000-000000000000".parse::<TopicId>(),
            Err(InvalidTopicId)
        );
    }
}
