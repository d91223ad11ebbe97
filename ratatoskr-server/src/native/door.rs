//! The native protocol behind a listener.

use std::{future::Future, io, net::SocketAddr, sync::Arc};

use bytes::BytesMut;
use ratatoskr_core::{
    Broker,
    door::Drain,
    wire::{self, ErrorBody, ErrorCode, HELLO_VERSION},
};
use tokio::net::{TcpListener, TcpStream};

use super::{NativeLimits, connection, consumers::Registry, handlers::Session, handshake};
use crate::listener::{self, Admissions, Door, Refusal};

/// Serves native connections until `shutdown` ends; then accepts no more, lets each finish what it
/// has taken, tells its client goodbye, and returns once all are closed, or after
/// [`NativeLimits::drain_deadline`], when those that are left are cut.
///
/// # Errors
/// None of a single connection or accept ends it.
///
/// # Cancel safety
/// Dropping the future cuts every connection.
pub async fn serve(
    listener: TcpListener,
    broker: Broker,
    limits: NativeLimits,
    shutdown: impl Future<Output = ()>,
) {
    let admissions = Admissions {
        connections_max: limits.connections_max,
        connections_per_address_max: limits.connections_per_address_max,
        drain_deadline: limits.drain_deadline,
    };
    let door = NativeDoor {
        broker,
        limits: Arc::new(limits),
        consumers: Arc::default(),
    };
    listener::serve(listener, door, admissions, shutdown).await;
}

struct NativeDoor {
    broker: Broker,
    limits: Arc<NativeLimits>,
    /// Who speaks for which consumer of a queue.
    consumers: Arc<Registry>,
}

impl Door for NativeDoor {
    fn serve(
        &self,
        stream: TcpStream,
        address: SocketAddr,
        drain: Drain,
    ) -> impl Future<Output = io::Result<()>> + Send + 'static {
        let broker = self.broker.clone();
        let limits = Arc::clone(&self.limits);
        let consumers = self.consumers.connection();
        async move {
            let greeted = tokio::select! {
                greeted = handshake::greet(stream, &limits) => greeted?,
                () = drain.begun() => None,
            };
            let Some(greeted) = greeted else {
                return Ok(());
            };
            tracing::debug!(%address, client = %greeted.client, "connected");
            let session = Session {
                broker: broker.clone(),
                limits: Arc::clone(&limits),
                version: greeted.version,
                client: greeted.client.as_str().into(),
                drain,
                consumers: consumers.clone(),
            };
            let served = connection::serve(greeted, session).await;
            consumers.end(&broker).await;
            served
        }
    }

    fn refuse(&self, stream: &TcpStream, refusal: &Refusal) {
        let max = i64::try_from(refusal.max).unwrap_or(i64::MAX);
        let error =
            ErrorBody::new(ErrorCode::TooManyConnections, refusal.to_string()).with_numbers([max]);
        let mut out = BytesMut::new();
        if wire::encode(HELLO_VERSION, 0, &error, 0, &mut out).is_ok() {
            // The socket is new, so its buffer has room; a peer that is gone need not be told.
            let _: io::Result<usize> = stream.try_write(&out);
        }
    }
}
