//! What happens to the connection while nobody asks.

use std::time::Duration;

use tokio::sync::broadcast;

/// Events kept for a listener that is slow; the oldest are dropped beyond it.
pub(crate) const EVENTS_MAX: usize = 256;

/// Something that happened to a client's connection.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientEvent {
    /// A connection was made (again).
    Connected {
        /// Where to.
        address: String,
        /// How the server names itself.
        server: String,
    },
    /// The connection was lost; the client is making another.
    Disconnected {
        /// Where it was to.
        address: String,
        /// What was seen.
        reason: String,
    },
    /// A connection could not be made; the client tries again.
    ConnectFailed {
        /// Where to.
        address: String,
        /// What was said.
        reason: String,
        /// After how long it tries again.
        retry_in: Duration,
    },
}

/// The events of a client, from when it was asked for them.
#[derive(Debug)]
pub struct ClientEvents {
    pub(crate) receiver: broadcast::Receiver<ClientEvent>,
}

impl ClientEvents {
    /// The next event; `None` once the client is closed. Who listens too slowly misses the oldest.
    ///
    /// # Cancel safety
    /// Dropping the future loses no event.
    pub async fn next(&mut self) -> Option<ClientEvent> {
        loop {
            match self.receiver.recv().await {
                Ok(event) => return Some(event),
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }
}
