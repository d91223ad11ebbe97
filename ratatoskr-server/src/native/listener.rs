//! Accepting connections, counting them, and letting them finish at shutdown.

use std::{
    collections::HashMap,
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use bytes::BytesMut;
use ratatoskr_core::{
    Broker,
    sync::Mutex,
    wire::{self, ErrorBody, ErrorCode, HELLO_VERSION},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

use super::{NativeLimits, connection, consumers::Registry, handlers::Session, handshake};

/// Wait after an accept that failed, for example because there are no descriptors left.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// Tells connections that the server is shutting down.
#[derive(Clone, Debug)]
pub(super) struct Drain(watch::Receiver<bool>);

impl Drain {
    /// Ends when shutdown begins.
    pub(super) async fn begun(&self) {
        // An error means that the listener is gone, which is as good.
        let _ = self.0.clone().wait_for(|&begun| begun).await;
    }
}

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
    let (begin_drain, drain) = watch::channel(false);
    let mut door = Door {
        broker,
        limits: Arc::new(limits),
        by_address: Arc::default(),
        connections: JoinSet::new(),
        consumers: Arc::default(),
        drain: Drain(drain),
    };
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, address)) => door.accept(stream, address),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_BACKOFF).await;
                }
            },
            Some(ended) = door.connections.join_next() => report(ended),
        }
    }
    drop(listener);
    let _ = begin_drain.send(true);
    door.drain().await;
}

struct Door {
    broker: Broker,
    limits: Arc<NativeLimits>,
    by_address: Arc<Mutex<HashMap<IpAddr, usize>>>,
    connections: JoinSet<()>,
    consumers: Arc<Registry>,
    drain: Drain,
}

impl Door {
    fn accept(&mut self, stream: TcpStream, address: SocketAddr) {
        let admitted = self.admit(address.ip());
        let admission = match admitted {
            Ok(admission) => admission,
            Err(error) => return refuse(&stream, &error),
        };
        // Small frames must not wait for more to send.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, %address, "a connection went away at once");
            return;
        }
        let broker = self.broker.clone();
        let limits = Arc::clone(&self.limits);
        let drain = self.drain.clone();
        let consumers = self.consumers.connection();
        self.connections.spawn(async move {
            let _admission = admission;
            let served = async {
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
                    drain: drain.clone(),
                    consumers: consumers.clone(),
                };
                connection::serve(greeted, session).await
            };
            if let Err(error) = served.await {
                tracing::debug!(%error, %address, "connection lost");
            }
            consumers.end(&broker).await;
        });
    }

    fn admit(&self, address: IpAddr) -> Result<Admission, ErrorBody> {
        let refused = |max: usize, whose: &str| {
            let max = i64::try_from(max).unwrap_or(i64::MAX);
            ErrorBody::new(
                ErrorCode::TooManyConnections,
                format!("{max} connections {whose}, no more are allowed"),
            )
            .with_numbers([max])
        };
        if self.connections.len() >= self.limits.connections_max {
            return Err(refused(self.limits.connections_max, "in all"));
        }
        let mut by_address = self.by_address.lock();
        let count = by_address.entry(address).or_insert(0);
        if *count >= self.limits.connections_per_address_max {
            let max = self.limits.connections_per_address_max;
            return Err(refused(max, "from this address"));
        }
        *count += 1;
        Ok(Admission {
            address,
            by_address: Arc::clone(&self.by_address),
        })
    }

    async fn drain(mut self) {
        let all = async {
            while let Some(ended) = self.connections.join_next().await {
                report(ended);
            }
        };
        let finished = tokio::time::timeout(self.limits.drain_deadline, all).await;
        if finished.is_err() {
            let left = self.connections.len();
            tracing::warn!(
                left,
                "connections were cut, since they did not finish in time"
            );
            self.connections.shutdown().await;
        }
    }
}

/// A connection that has been let in; counted until it is dropped.
struct Admission {
    address: IpAddr,
    by_address: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl Drop for Admission {
    fn drop(&mut self) {
        let mut by_address = self.by_address.lock();
        if let Some(count) = by_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                by_address.remove(&self.address);
            }
        }
    }
}

/// Says why a connection is not let in, as far as that goes without waiting.
fn refuse(stream: &TcpStream, error: &ErrorBody) {
    tracing::warn!(error = %error.message, "refused a connection");
    let mut out = BytesMut::new();
    if wire::encode(HELLO_VERSION, 0, error, 0, &mut out).is_ok() {
        // The socket is new, so its buffer has room; a peer that is gone need not be told.
        let _: io::Result<usize> = stream.try_write(&out);
    }
}

/// A connection's panic ends that connection alone, but is not passed over in silence.
fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a connection panicked");
    }
}
