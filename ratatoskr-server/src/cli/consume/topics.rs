//! What `ratatoskr consume` is asked to read: topics by name, or by a pattern of names.

use std::{collections::BTreeSet, str::FromStr};

use ratatoskr_client::Client;
use ratatoskr_core::{
    groups::{InvalidTopicPattern, TopicPattern},
    name::{InvalidTopicName, TopicName},
};

use crate::cli::{
    connection,
    exit::{Failure, Outcome},
};

/// No name of a topic begins with it.
const PATTERN_MARK: char = '^';

/// One argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Name(TopicName),
    Pattern(TopicPattern),
}

/// Why an argument is neither.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum InvalidTopic {
    #[error(transparent)]
    Name(#[from] InvalidTopicName),
    #[error(transparent)]
    Pattern(#[from] InvalidTopicPattern),
}

impl FromStr for Wanted {
    type Err = InvalidTopic;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(if text.starts_with(PATTERN_MARK) {
            Self::Pattern(TopicPattern::parse(text)?)
        } else {
            Self::Name(TopicName::parse(text)?)
        })
    }
}

/// The topics that are named.
pub(super) fn names(wanted: &[Wanted]) -> impl Iterator<Item = &TopicName> {
    wanted.iter().filter_map(|wanted| match wanted {
        Wanted::Name(name) => Some(name),
        Wanted::Pattern(_) => None,
    })
}

/// One pattern that matches what any of them matches; `None` where there is none.
///
/// # Errors
/// Together they are too much for one pattern.
pub(super) fn pattern(wanted: &[Wanted]) -> Outcome<Option<TopicPattern>> {
    let patterns = wanted.iter().filter_map(|wanted| match wanted {
        Wanted::Name(_) => None,
        Wanted::Pattern(pattern) => Some(pattern),
    });
    let patterns: Vec<_> = patterns.collect();
    match &patterns[..] {
        [] => Ok(None),
        [one] => Ok(Some((*one).clone())),
        many => {
            let many: Vec<_> = many.iter().map(|one| format!("(?:{one})")).collect();
            let joined = TopicPattern::parse(&many.join("|"));
            joined
                .map(Some)
                .map_err(|error| Failure::usage(error.to_string()))
        }
    }
}

/// The topics that are named, there or not, and those that are there now and match. Whatever is named
/// twice is in it once.
///
/// # Errors
/// Topics cannot be listed, or the patterns are too much.
pub(super) async fn now(
    wanted: &[Wanted],
    at: &connection::Options,
    client: &Client,
) -> Outcome<BTreeSet<TopicName>> {
    let mut topics: BTreeSet<_> = names(wanted).cloned().collect();
    if let Some(pattern) = pattern(wanted)? {
        let all = at.ask(client.list_topics()).await?.into_iter();
        topics.extend(
            all.map(|topic| topic.name)
                .filter(|name| pattern.matches(name)),
        );
    }
    Ok(topics)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(words: &[&str]) -> Vec<Wanted> {
        words.iter().map(|word| word.parse().unwrap()).collect()
    }

    #[test]
    fn a_caret_makes_a_pattern() {
        let wanted = wanted(&["orders", "^a.*", "^b|c$"]);
        let named: Vec<_> = names(&wanted).map(TopicName::as_str).collect();
        assert_eq!(named, ["orders"]);
        let pattern = pattern(&wanted).unwrap().unwrap();
        let matches = |name: &str| pattern.matches(&TopicName::parse(name).unwrap());
        assert!(matches("abc") && matches("b") && matches("c"));
        assert!(!matches("orders") && !matches("bc"));
    }

    #[test]
    fn what_is_neither_is_told_apart() {
        let name = "or ders".parse::<Wanted>().unwrap_err().to_string();
        assert!(name.contains("is not a topic name"), "{name}");
        let pattern = "^(".parse::<Wanted>().unwrap_err().to_string();
        assert!(pattern.contains("is not a pattern of topics"), "{pattern}");
    }
}
