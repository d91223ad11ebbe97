//! Topics that are wanted by a pattern of their names.

use std::{fmt, str::FromStr, sync::Arc};

use regex_lite::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};

use crate::name::TopicName;

/// Longest pattern in bytes.
pub const TOPIC_PATTERN_BYTES_MAX: usize = 4096;
/// Bytes that a compiled pattern may take: `\w{1000}` is short to write.
const COMPILED_BYTES_MAX: usize = 256 << 10;

/// A regular expression that has to match the whole name of a topic (KIP-848): it also matches topics
/// that are yet to be created, and never those in which the engine keeps its own state. The empty pattern
/// matches nothing.
///
/// The syntax is that of RE2 without classes of Unicode, which names have no use for; a match takes
/// time that is linear in the length of the name.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TopicPattern {
    text: Arc<str>,
    whole: Regex,
}

/// Why a string is not a pattern of topics.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{pattern:?} is not a pattern of topics: {problem}")]
pub struct InvalidTopicPattern {
    /// What was given, cut to 300 characters.
    pub pattern: String,
    /// What is wrong with it.
    pub problem: String,
}

impl TopicPattern {
    /// Checks `pattern` and keeps it.
    ///
    /// # Errors
    /// [`InvalidTopicPattern`] where it is longer than [`TOPIC_PATTERN_BYTES_MAX`], not a regular
    /// expression, or one that takes too much memory.
    pub fn parse(pattern: &str) -> Result<Self, InvalidTopicPattern> {
        let invalid = |problem: String| InvalidTopicPattern {
            pattern: pattern.chars().take(300).collect(),
            problem,
        };
        if pattern.len() > TOPIC_PATTERN_BYTES_MAX {
            let problem = format!("it has more than {TOPIC_PATTERN_BYTES_MAX} bytes");
            return Err(invalid(problem));
        }
        let build = |text: &str| {
            let built = RegexBuilder::new(text)
                .size_limit(COMPILED_BYTES_MAX)
                .build();
            built.map_err(|error| invalid(error.to_string()))
        };
        // By itself first: `a)|(b` must not become legal by what is put around it.
        build(pattern)?;
        Ok(Self {
            text: pattern.into(),
            whole: build(&format!("^(?:{pattern})$"))?,
        })
    }

    /// The pattern as it was given.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it matches nothing, being empty.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Whether whoever wants this pattern wants the topic of this name.
    pub fn matches(&self, topic: &TopicName) -> bool {
        !topic.is_internal() && self.whole.is_match(topic.as_str())
    }
}

impl PartialEq for TopicPattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for TopicPattern {}

impl fmt::Display for TopicPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for TopicPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.text, f)
    }
}

impl FromStr for TopicPattern {
    type Err = InvalidTopicPattern;

    fn from_str(pattern: &str) -> Result<Self, Self::Err> {
        Self::parse(pattern)
    }
}

impl TryFrom<String> for TopicPattern {
    type Error = InvalidTopicPattern;

    fn try_from(pattern: String) -> Result<Self, Self::Error> {
        Self::parse(&pattern)
    }
}

impl From<TopicPattern> for String {
    fn from(pattern: TopicPattern) -> Self {
        pattern.text.as_ref().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, topic: &str) -> bool {
        let pattern = TopicPattern::parse(pattern).unwrap();
        pattern.matches(&TopicName::parse(topic).unwrap())
    }

    #[test]
    fn the_whole_name_has_to_match() {
        assert!(matches("orders", "orders"));
        assert!(!matches("orders", "orders-eu"));
        assert!(!matches("orders", "all-orders"));
        assert!(matches("orders-.*", "orders-eu"));
        assert!(matches("a|b.*", "bc"));
        // Neither branch of an alternation may match a part of the name.
        assert!(!matches("a|b", "ab"));
    }

    #[test]
    fn patterns_that_clients_anchor_mean_the_same() {
        assert!(matches("^orders.*", "orders-eu"));
        assert!(matches("^orders$", "orders"));
        assert!(!matches("^orders.*", "all-orders"));
        assert!(matches("^a.*|^b.*", "bc"));
        assert!(matches("(?i)^ORDERS", "orders"));
    }

    #[test]
    fn what_the_engine_keeps_is_not_matched() {
        assert!(!matches(".*", "_rt.groups"));
        assert!(matches(".*", "_mine"));
        assert!(!matches("", "orders"));
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        let long = "a".repeat(TOPIC_PATTERN_BYTES_MAX + 1);
        let deep = "(".repeat(2_000) + &")".repeat(2_000);
        for pattern in ["(", "*", "[z-a]", "a)|(b", "x{5000000}", &long, &deep] {
            let refused = TopicPattern::parse(pattern).unwrap_err();
            assert!(!refused.problem.is_empty(), "{pattern}");
        }
        // Short to write, large to compile.
        assert!(TopicPattern::parse(r"((\w{100}){100}){100}").is_err());
    }
}
