//! Topics that are wanted by a pattern of their names.

use std::{fmt, str::FromStr, sync::Arc};

use regex_lite::{Regex, RegexBuilder};
use serde::{Deserialize, Deserializer, Serialize};

use crate::name::TopicName;

/// Longest pattern in bytes.
pub const TOPIC_PATTERN_BYTES_MAX: usize = 4096;
/// Bytes that a compiled pattern may take, so that short ones (`\w{1000}`) are bounded too: about a
/// thousand states, each of which may cost a match time for each byte of a name.
const COMPILED_BYTES_MAX: usize = 32 << 10;
/// Groups that a pattern may have that capture. A match takes, and keeps, 32 bytes for each state and
/// each of these: some 300 KB at most.
const CAPTURES_MAX: usize = 8;

/// A regular expression that has to match the whole name of a topic (KIP-848): it also matches topics
/// that are yet to be created, and never those in which the engine keeps its own state. The empty pattern
/// matches nothing.
///
/// The syntax is that of the crate `regex-lite`: RE2's, but for classes of Unicode, which names have no use
/// for, classes within classes, escapes in octal and quotes (`\Q…\E`). A match takes time that is linear in
/// the length of the name.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TopicPattern {
    text: Arc<str>,
    /// `None` where it was kept by a program that took it, and is none for this one.
    whole: Option<Arc<Regex>>,
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
    /// expression, has more than 8 groups that capture, or takes too much memory (some 1,000 characters
    /// and repetitions).
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
        if build(pattern)?.captures_len() > CAPTURES_MAX + 1 {
            let problem = format!("it has more than {CAPTURES_MAX} groups; (?:…) does not count");
            return Err(invalid(problem));
        }
        Ok(Self {
            text: pattern.into(),
            whole: Some(Arc::new(build(&format!("^(?:{pattern})$"))?)),
        })
    }

    /// A pattern that was legal where it comes from. One that is not legal here matches nothing.
    fn kept(pattern: &str) -> Self {
        Self::parse(pattern).unwrap_or_else(|error| {
            tracing::warn!(%error, "a pattern that was taken before matches nothing now");
            Self {
                text: pattern.into(),
                whole: None,
            }
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
        let whole = self.whole.as_ref();
        !topic.is_internal() && whole.is_some_and(|whole| whole.is_match(topic.as_str()))
    }
}

/// Reads a pattern in state that was kept: one that another version or machine refuses must not take
/// along what is kept beside it.
pub(super) fn kept<'de, D: Deserializer<'de>>(from: D) -> Result<Option<TopicPattern>, D::Error> {
    let text = Option::<String>::deserialize(from)?;
    Ok(text.map(|text| TopicPattern::kept(&text)))
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
        // Short to write, but large to compile, or to match: memory for states times groups.
        assert!(TopicPattern::parse(r"((\w{100}){100}){100}").is_err());
        let groups = "()".repeat(CAPTURES_MAX);
        assert!(TopicPattern::parse(&groups).is_ok());
        assert!(TopicPattern::parse(&(groups + "()a{100}")).is_err());
    }

    #[test]
    fn what_people_write_is_small_enough() {
        let names: Vec<_> = (0..40).map(|n| format!("team-{n}[.]orders")).collect();
        for pattern in [
            r"^[a-z]+\.(orders|payments|refunds)\.v\d+$",
            &names.join("|"),
        ] {
            assert!(TopicPattern::parse(pattern).is_ok(), "{pattern}");
        }
    }

    #[test]
    fn a_kept_pattern_that_is_none_matches_nothing() {
        let kept = TopicPattern::kept("(");
        assert_eq!(kept.as_str(), "(");
        assert!(!kept.matches(&TopicName::parse("orders").unwrap()));
    }
}
