//! The word that a server is shutting down, for its connections.

use tokio::sync::watch;

/// Begins the shutdown of connections, on demand or when it is dropped.
#[derive(Debug)]
pub struct DrainSwitch(watch::Sender<bool>);

/// Tells a connection that its server is shutting down; clones tell the same.
#[derive(Clone, Debug)]
pub struct Drain(watch::Receiver<bool>);

impl Drain {
    /// A switch, and what it tells.
    pub fn new() -> (DrainSwitch, Self) {
        let (switch, told) = watch::channel(false);
        (DrainSwitch(switch), Self(told))
    }

    /// Ends when shutdown begins.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub async fn begun(&self) {
        // An error means that the switch is gone, which is as good.
        let _ = self.0.clone().wait_for(|&begun| begun).await;
    }
}

impl DrainSwitch {
    /// Begins the shutdown.
    pub fn begin(&self) {
        // An error means that no connection is left to hear it.
        let _ = self.0.send(true);
    }
}
