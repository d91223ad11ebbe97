//! Long work in steps: each is one request that is answered in time, and between two of them the work
//! can be ended.

use std::pin::pin;

use ratatoskr_client::Client;
use ratatoskr_core::name::TopicName;

use crate::cli::{
    connection,
    exit::{Exit, Failure, Outcome},
    signals::{asked_to_end, unless_interrupted},
};

/// Does one step after another until one answers that nothing is left (`false`), fails, or the user
/// has had enough; a step that is under way then is still waited for, unless it is said again.
///
/// # Errors
/// Those of a step, or [`Exit::Interrupted`].
pub(super) async fn one_after_another(mut step: impl AsyncFnMut() -> Outcome<bool>) -> Outcome {
    let mut interrupt = pin!(asked_to_end());
    loop {
        let mut step = pin!(step());
        let (more, interrupted) = tokio::select! {
            more = &mut step => (more?, false),
            _ = &mut interrupt => (unless_interrupted(step).await?, true),
        };
        if !more {
            return Ok(());
        }
        if interrupted {
            return Err(Failure::silent(Exit::Interrupted));
        }
    }
}

/// What a verb that has done `done` ends with.
///
/// # Errors
/// That of the work; [`Exit::Partial`] where something had been done before it failed.
pub(super) fn ending(worked: Outcome, done: u64) -> Outcome {
    worked.map_err(|failure| {
        if failure.exit == Exit::Interrupted || done == 0 {
            failure
        } else {
            failure.ending(Exit::Partial)
        }
    })
}

/// How many letters a topic holds; none where it is not a dead-letter topic.
///
/// # Errors
/// What the broker answers.
pub(super) async fn letters(
    topic: &TopicName,
    client: &Client,
    at: &connection::Options,
) -> Outcome<u64> {
    let topics = at.ask(client.dead_letter_topics()).await?;
    let known = topics.iter().find(|known| known.topic == *topic);
    Ok(known.map_or(0, |known| known.letters))
}
