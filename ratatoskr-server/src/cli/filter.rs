//! Which records `consume --filter` lets through.
//!
//! A filter is `FIELD OP TEXT` without blanks: the field is `key`, `value`, `header.NAME` or
//! `value/JSON/POINTER` (RFC 6901); the operator is `=` (equals), `!=` (differs) or `~` (a regular
//! expression matches somewhere). What a record does not have equals nothing and matches nothing.

use std::{borrow::Cow, str::FromStr};

use ratatoskr_core::record::Record;
use regex::bytes::Regex;

/// One condition.
#[derive(Clone, Debug)]
pub(crate) struct Filter {
    subject: Subject,
    condition: Condition,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Subject {
    Key,
    Value,
    Header(String),
    Json(String),
}

#[derive(Clone, Debug)]
enum Condition {
    Equals(Vec<u8>),
    Differs(Vec<u8>),
    Matches(Regex),
}

impl FromStr for Filter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let expected = "expected FIELD=TEXT, FIELD!=TEXT or FIELD~REGEX, where FIELD is key, value, \
                        header.NAME or value/JSON/POINTER";
        let at = text.find(['=', '~']).ok_or(expected)?;
        let (field, rest) = text.split_at(at);
        let (operator, text) = rest.split_at(1);
        let (field, condition) = match (operator, field.strip_suffix('!')) {
            ("~", _) => {
                let regex = Regex::new(text).map_err(|error| error.to_string())?;
                (field, Condition::Matches(regex))
            }
            (_, Some(field)) => (field, Condition::Differs(text.into())),
            (_, None) => (field, Condition::Equals(text.into())),
        };
        let subject = match field {
            "key" => Subject::Key,
            "value" => Subject::Value,
            _ => match (field.strip_prefix("header."), field.strip_prefix("value/")) {
                (Some(name), _) if !name.is_empty() => Subject::Header(name.to_owned()),
                (_, Some(path)) => Subject::Json(format!("/{path}")),
                _ => return Err(expected.to_owned()),
            },
        };
        Ok(Self { subject, condition })
    }
}

impl Filter {
    /// Whether the record passes.
    pub(crate) fn passes(&self, record: &Record) -> bool {
        let json;
        let subjects: Vec<Cow<'_, [u8]>> = match &self.subject {
            Subject::Key => borrowed(record.key.as_deref()).collect(),
            Subject::Value => borrowed(record.value.as_deref()).collect(),
            Subject::Header(name) => {
                let named = record.headers.iter().filter(|header| header.key == *name);
                named
                    .flat_map(|header| borrowed(header.value.as_deref()))
                    .collect()
            }
            Subject::Json(pointer) => {
                let value = record.value.as_deref().unwrap_or_default();
                json = serde_json::from_slice(value).unwrap_or(serde_json::Value::Null);
                match json.pointer(pointer) {
                    None => Vec::new(),
                    Some(serde_json::Value::String(text)) => vec![text.as_bytes().into()],
                    Some(other) => vec![other.to_string().into_bytes().into()],
                }
            }
        };
        match &self.condition {
            Condition::Equals(text) => subjects.iter().any(|subject| **subject == **text),
            Condition::Differs(text) => subjects.iter().all(|subject| **subject != **text),
            Condition::Matches(regex) => subjects.iter().any(|subject| regex.is_match(subject)),
        }
    }
}

fn borrowed(bytes: Option<&[u8]>) -> impl Iterator<Item = Cow<'_, [u8]>> {
    bytes.into_iter().map(Cow::Borrowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Record {
        Record::new(&br#"{"user":{"name":"ann","age":41},"tags":["a","b"]}"#[..])
            .with_key("k1")
            .with_header("kind", "paid")
            .with_header("kind", "late")
    }

    fn passes(filter: &str, record: &Record) -> bool {
        filter.parse::<Filter>().unwrap().passes(record)
    }

    #[test]
    fn records_are_told_apart_by_every_field() {
        for (filter, expected) in [
            ("key=k1", true),
            ("key=k", false),
            ("key!=k1", false),
            ("key~^k[0-9]$", true),
            ("value~ann", true),
            ("header.kind=late", true),
            ("header.kind!=late", false),
            ("header.other=x", false),
            ("header.other!=x", true),
            ("value/user/name=ann", true),
            ("value/user/age=41", true),
            ("value/tags/1=b", true),
            ("value/none=null", false),
            ("value=a=b", false),
        ] {
            assert_eq!(passes(filter, &sample()), expected, "{filter}");
        }
    }

    #[test]
    fn what_is_absent_or_no_json_matches_nothing() {
        assert!(!passes("key~.*", &Record::default()));
        assert!(!passes("value=", &Record::default()));
        assert!(!passes("value/a~.*", &Record::new("no json")));
    }

    #[test]
    fn a_regular_expression_may_look_for_any_bytes() {
        assert!(passes(
            "value~(?-u)\\xff\\x00",
            &Record::new(&b"a\xff\x00"[..])
        ));
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        for bad in ["", "key", "colour=red", "header.=x", "key~(", "=x"] {
            assert!(bad.parse::<Filter>().is_err(), "{bad}");
        }
    }
}
