//! Why something that was asked for is not done: a code for programs, a sentence for people.

use ratatoskr_core::{Error, name::TopicName};

use crate::{error_code::ErrorCode, reply::Reply};

/// See above.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: ErrorCode,
    pub(crate) message: String,
}

impl Refusal {
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }
}

impl From<&Error> for Refusal {
    fn from(error: &Error) -> Self {
        Self::new(error.into(), error.to_string())
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        (&error).into()
    }
}

/// A topic's name as a request has it.
///
/// # Errors
/// It is not one.
pub(crate) fn topic_name(name: &str) -> Result<TopicName, Refusal> {
    TopicName::parse(name)
        .map_err(|error| Refusal::new(ErrorCode::InvalidTopicException, error.to_string()))
}

impl From<ErrorCode> for Refusal {
    fn from(code: ErrorCode) -> Self {
        let message = match code {
            ErrorCode::UnknownTopicId => "there is no topic of this id",
            ErrorCode::InvalidTopicException => "this is not a topic name",
            _ => "",
        };
        Self::new(code, message)
    }
}

impl Reply {
    /// Writes the code of an outcome.
    pub(crate) fn outcome<T>(&mut self, outcome: &Result<T, Refusal>) {
        let refusal = outcome.as_ref().err();
        self.error(refusal.map_or(ErrorCode::None, |refusal| refusal.code));
    }

    /// Writes the sentence of an outcome, null where all is well.
    pub(crate) fn message<T>(&mut self, outcome: &Result<T, Refusal>) {
        let refusal = outcome.as_ref().err();
        self.nullable_string(refusal.map(|refusal| refusal.message.as_str()));
    }
}
