//! Accepting connections for a door, counting them, and letting them finish at shutdown.

use std::{
    collections::HashMap,
    fmt,
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use ratatoskr_core::{door::Drain, sync::Mutex};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// Wait after an accept that failed, for example because there are no descriptors left.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// A protocol: what is done with a connection once it is let in.
pub(crate) trait Door: Send + 'static {
    /// Serves one connection to its end.
    fn serve(
        &self,
        stream: TcpStream,
        address: SocketAddr,
        drain: Drain,
    ) -> impl Future<Output = io::Result<()>> + Send + 'static;

    /// Says why a connection is not let in, as far as that goes without waiting.
    fn refuse(&self, stream: &TcpStream, refusal: &Refusal);
}

/// One of the bounds on connections is reached.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// The bound.
    pub(crate) max: usize,
    whose: &'static str,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { max, whose } = self;
        write!(f, "{max} connections {whose}, no more are allowed")
    }
}

/// How many connections are let in, and how long they may take to finish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Admissions {
    /// Connections in all.
    pub(crate) connections_max: usize,
    /// Connections from one address.
    pub(crate) connections_per_address_max: usize,
    /// How long connections may take to finish when the server shuts down.
    pub(crate) drain_deadline: Duration,
}

/// Serves connections until `shutdown` ends; then accepts no more, lets each finish what it has
/// taken, and returns once all are closed, or after [`Admissions::drain_deadline`], when those that
/// are left are cut.
///
/// # Errors
/// None of a single connection or accept ends it.
///
/// # Cancel safety
/// Dropping the future cuts every connection.
pub(crate) async fn serve(
    listener: TcpListener,
    door: impl Door,
    limits: Admissions,
    shutdown: impl Future<Output = ()>,
) {
    let (switch, drain) = Drain::new();
    let mut entrance = Entrance {
        door,
        limits,
        by_address: Arc::default(),
        connections: JoinSet::new(),
        drain,
    };
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, address)) => entrance.accept(stream, address),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_BACKOFF).await;
                }
            },
            Some(ended) = entrance.connections.join_next() => report(ended),
        }
    }
    drop(listener);
    switch.begin();
    entrance.drain().await;
}

struct Entrance<D> {
    door: D,
    limits: Admissions,
    by_address: Arc<Mutex<HashMap<IpAddr, usize>>>,
    connections: JoinSet<()>,
    drain: Drain,
}

impl<D: Door> Entrance<D> {
    fn accept(&mut self, stream: TcpStream, address: SocketAddr) {
        let admission = match self.admit(address.ip()) {
            Ok(admission) => admission,
            Err(refusal) => {
                tracing::warn!(error = %refusal, "refused a connection");
                return self.door.refuse(&stream, &refusal);
            }
        };
        // Small frames must not wait for more to send.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, %address, "a connection went away at once");
            return;
        }
        let served = self.door.serve(stream, address, self.drain.clone());
        self.connections.spawn(async move {
            let _admission = admission;
            if let Err(error) = served.await {
                tracing::debug!(%error, %address, "connection lost");
            }
        });
    }

    fn admit(&self, address: IpAddr) -> Result<Admission, Refusal> {
        let limits = &self.limits;
        if self.connections.len() >= limits.connections_max {
            return Err(Refusal {
                max: limits.connections_max,
                whose: "in all",
            });
        }
        let mut by_address = self.by_address.lock();
        let count = by_address.entry(address).or_insert(0);
        if *count >= limits.connections_per_address_max {
            return Err(Refusal {
                max: limits.connections_per_address_max,
                whose: "from this address",
            });
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

/// A connection's panic ends that connection alone, but is not passed over in silence.
fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a connection panicked");
    }
}
