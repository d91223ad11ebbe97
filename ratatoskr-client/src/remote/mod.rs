//! The broker over the network: one connection at a time, made again whenever it is lost.

mod batch;
mod connect;
mod link;
mod requests;

use std::sync::Arc;

use tokio::{
    sync::{broadcast, watch},
    time::Instant,
};

pub(crate) use batch::{HearBatches, Listener};
pub(crate) use link::{Link, Pushed, told};
pub(crate) use requests::{RemoteSubscription, Repeat, Sent};

use crate::{
    Error,
    address::Address,
    events::{ClientEvent, EVENTS_MAX},
    options::ConnectOptions,
};

/// How the connection stands.
#[derive(Clone, Debug)]
enum LinkState {
    Up(Arc<Link>),
    /// It is being made; what went wrong last.
    Down(Error),
    Closed,
}

/// A broker over the network. Dropping it closes the connection.
#[derive(Debug)]
pub(crate) struct Remote {
    options: ConnectOptions,
    state: watch::Sender<LinkState>,
    events: broadcast::Sender<ClientEvent>,
}

impl Remote {
    /// Connects, and keeps connected until the last handle is dropped.
    ///
    /// # Errors
    /// Those of the first attempt.
    pub(crate) async fn connect(
        address: Address,
        options: ConnectOptions,
    ) -> Result<Arc<Self>, Error> {
        let (link, welcome) = connect::connect(&address, &options).await?;
        let link = Arc::new(link);
        let remote = Arc::new(Self {
            options,
            state: watch::Sender::new(LinkState::Up(Arc::clone(&link))),
            events: broadcast::Sender::new(EVENTS_MAX),
        });
        tokio::spawn(connect::keep(
            Arc::downgrade(&remote),
            address,
            link,
            welcome,
        ));
        Ok(remote)
    }

    /// How the client names itself.
    pub(crate) fn name(&self) -> &str {
        &self.options.name
    }

    pub(crate) fn events(&self) -> broadcast::Receiver<ClientEvent> {
        self.events.subscribe()
    }

    /// Closes the connection; operations from then on answer [`Error::Closed`].
    pub(crate) fn close(&self) {
        if let LinkState::Up(link) = self.state.send_replace(LinkState::Closed) {
            link.close();
        }
    }

    /// The connection, if there is one now.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) fn link(&self) -> Result<Arc<Link>, Error> {
        match &*self.state.borrow() {
            LinkState::Up(link) => Ok(Arc::clone(link)),
            LinkState::Down(error) => Err(error.clone()),
            LinkState::Closed => Err(Error::Closed),
        }
    }

    /// The connection, once there is one other than `lost`.
    ///
    /// # Errors
    /// Why there is none at the deadline.
    pub(crate) async fn link_by(
        &self,
        deadline: Instant,
        lost: Option<&Arc<Link>>,
    ) -> Result<Arc<Link>, Error> {
        let mut state = self.state.subscribe();
        let usable = state.wait_for(|state| match state {
            LinkState::Up(link) => !lost.is_some_and(|lost| Arc::ptr_eq(lost, link)),
            LinkState::Down(_) => false,
            LinkState::Closed => true,
        });
        // At the deadline the state says what is wrong.
        let _ = tokio::time::timeout_at(deadline, usable).await;
        self.link()
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        self.close();
    }
}
