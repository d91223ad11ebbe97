//! Configuration under the names that Kafka's tools read and write.
//!
//! A topic's configuration is the broker's own under other names ([`topic`]), the node's is what it
//! was started with ([`broker`]). What is fixed here, and can be set in Kafka, is listed with its
//! value: tools read everything, change something and write everything back. Fixed entries take their
//! own value and no other.

pub(crate) mod broker;
pub(crate) mod topic;

use crate::reply::Reply;

/// What a value is, in Kafka's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub(crate) enum Kind {
    Boolean = 1,
    String = 2,
    Int = 3,
    Long = 5,
    Double = 6,
    List = 7,
}

/// Who set a value, in Kafka's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub(crate) enum Source {
    Topic = 1,
    Node = 4,
    Default = 5,
}

/// One entry of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    pub(crate) value: String,
    pub(crate) kind: Kind,
    pub(crate) source: Source,
    /// Whether no other value can be set.
    pub(crate) is_fixed: bool,
    /// Where the value comes from: the source that counts first, then those it hides.
    pub(crate) synonyms: Vec<(&'static str, String, Source)>,
    /// What it is for.
    pub(crate) about: &'static str,
}

impl Entry {
    /// Writes the entry as an answer to `DescribeConfigs`.
    pub(crate) fn write(&self, reply: &mut Reply, version: i16, synonyms: bool, about: bool) {
        reply.string(self.name);
        reply.nullable_string(Some(&self.value));
        reply.bool(self.is_fixed);
        reply.i8(self.source as i8);
        // Nothing that is configured is a secret.
        reply.bool(false);
        let synonyms = if synonyms { &self.synonyms[..] } else { &[] };
        reply.array(synonyms, |reply, (name, value, source)| {
            reply.string(name);
            reply.nullable_string(Some(value));
            reply.i8(*source as i8);
            reply.end_of_structure();
        });
        if version >= 3 {
            reply.i8(self.kind as i8);
            reply.nullable_string(about.then_some(self.about));
        }
        reply.end_of_structure();
    }
}
