//! The Kafka protocol behind a listener.

use std::{future::Future, io, net::SocketAddr, sync::Arc, time::Duration};

use ratatoskr_core::{Broker, door::Drain};
pub use ratatoskr_kafka::{KafkaLimits, Node};
use tokio::net::{TcpListener, TcpStream};

use crate::listener::{self, Admissions, Door, Refusal};

/// What the listener takes on, beside what [`KafkaLimits`] bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KafkaAdmissions {
    /// Connections in all.
    pub connections_max: usize,
    /// Connections from one address.
    pub connections_per_address_max: usize,
    /// How long connections may take to finish when the server shuts down.
    pub drain_deadline: Duration,
}

impl Default for KafkaAdmissions {
    fn default() -> Self {
        Self {
            connections_max: 10_000,
            connections_per_address_max: 1_000,
            drain_deadline: Duration::from_secs(10),
        }
    }
}

/// Serves Kafka clients until `shutdown` ends; then accepts no more, lets each connection finish what
/// it has taken, and returns once all are closed, or after [`KafkaAdmissions::drain_deadline`], when
/// those that are left are cut.
///
/// # Errors
/// None of a single connection or accept ends it.
///
/// # Cancel safety
/// Dropping the future cuts every connection.
pub async fn serve(
    listener: TcpListener,
    broker: Broker,
    node: Node,
    limits: KafkaLimits,
    admissions: KafkaAdmissions,
    shutdown: impl Future<Output = ()>,
) {
    let door = KafkaDoor(Arc::new(ratatoskr_kafka::Door::new(broker, node, limits)));
    let admissions = Admissions {
        connections_max: admissions.connections_max,
        connections_per_address_max: admissions.connections_per_address_max,
        drain_deadline: admissions.drain_deadline,
    };
    listener::serve(listener, door, admissions, shutdown).await;
}

struct KafkaDoor(Arc<ratatoskr_kafka::Door>);

impl Door for KafkaDoor {
    fn serve(
        &self,
        stream: TcpStream,
        address: SocketAddr,
        drain: Drain,
    ) -> impl Future<Output = io::Result<()>> + Send + 'static {
        let door = Arc::clone(&self.0);
        async move {
            let here = stream.local_addr()?;
            tracing::debug!(%address, "a Kafka client connected");
            ratatoskr_kafka::serve(stream, here, address, door, drain).await
        }
    }

    /// Kafka's protocol has no word for it: the connection is closed.
    fn refuse(&self, _: &TcpStream, _: &Refusal) {}
}
