//! Making a connection, and making it again.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use bytes::BytesMut;
use ratatoskr_core::wire::{
    self, ErrorBody, Frame, HELLO_FRAME_BYTES_MAX, HELLO_VERSION, Hello, Kind, VERSION_MAX,
    VERSION_MIN, Welcome,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{
    LinkState, Remote,
    link::{Link, told},
};
use crate::{Error, address::Address, events::ClientEvent, options::ConnectOptions};

/// One attempt.
///
/// # Errors
/// [`Error::Unreachable`], or what the server said to the hello.
pub(super) async fn connect(
    address: &Address,
    options: &ConnectOptions,
) -> Result<(Link, Welcome), Error> {
    let unreachable = |reason: String| Error::Unreachable {
        address: address.to_string(),
        reason,
    };
    let attempt = async {
        let mut stream = TcpStream::connect((address.host(), address.port()))
            .await
            .map_err(|error| unreachable(error.to_string()))?;
        stream
            .set_nodelay(true)
            .map_err(|error| unreachable(error.to_string()))?;
        let welcome = greet(&mut stream, options, &unreachable).await?;
        if !(VERSION_MIN..=VERSION_MAX).contains(&welcome.version) {
            let text = format!("the server picked version {}", welcome.version);
            return Err(Error::Protocol(text));
        }
        Ok((Link::new(stream, address.to_string(), &welcome), welcome))
    };
    tokio::time::timeout(options.connect_timeout, attempt)
        .await
        .unwrap_or_else(|_| {
            let after = options.connect_timeout;
            Err(unreachable(format!("no answer within {after:?}")))
        })
}

async fn greet(
    stream: &mut TcpStream,
    options: &ConnectOptions,
    unreachable: &impl Fn(String) -> Error,
) -> Result<Welcome, Error> {
    let hello = Hello {
        version_min: VERSION_MIN,
        version_max: VERSION_MAX,
        client: options.name.clone(),
    };
    let mut buffer = BytesMut::new();
    wire::encode(HELLO_VERSION, 0, &hello, 0, &mut buffer)
        .map_err(|error| Error::Protocol(error.to_string()))?;
    let lost = |error: std::io::Error| unreachable(error.to_string());
    stream.write_all(&buffer).await.map_err(lost)?;
    buffer.clear();
    let protocol = |error: wire::FrameError| {
        Error::Protocol(format!("this is no server of the native protocol: {error}"))
    };
    // Nothing follows the answer before a request is made, so no byte of a later frame is lost here.
    let frame = loop {
        match Frame::decode(&mut buffer, HELLO_FRAME_BYTES_MAX).map_err(protocol)? {
            Some(frame) => break frame,
            None => {
                if stream.read_buf(&mut buffer).await.map_err(lost)? == 0 {
                    return Err(unreachable("the server closed the connection".into()));
                }
            }
        }
    };
    match frame.kind() {
        Some(Kind::Error) => {
            let body: ErrorBody = frame.decode_body().map_err(protocol)?;
            Err(told(body))
        }
        Some(Kind::Hello) if frame.is_response() => frame.decode_body().map_err(protocol),
        _ => Err(Error::Protocol("the answer to a hello is none".into())),
    }
}

/// Runs a connection, and makes the next when it is lost, for as long as somebody uses the client.
pub(super) async fn keep(
    remote: Weak<Remote>,
    address: Address,
    mut link: Arc<Link>,
    mut welcome: Welcome,
) {
    loop {
        let Some(keep_alive) = announce(&remote, &address, &welcome) else {
            return;
        };
        let reason = link.run(keep_alive).await;
        // The socket is closed as soon as nobody uses it: a server that drains waits for that.
        drop(link);
        let Some(strong) = remote.upgrade() else {
            return;
        };
        let error = Error::Unreachable {
            address: address.to_string(),
            reason: reason.clone(),
        };
        if !strong.went_down(error) {
            return;
        }
        // Nobody may be listening.
        let _ = strong.events.send(ClientEvent::Disconnected {
            address: address.to_string(),
            reason,
        });
        drop(strong);
        match reconnect(&remote, &address).await {
            Some((next, answer)) => (link, welcome) = (next, answer),
            None => return,
        }
    }
}

/// Tells that a connection is there; the interval of its signs of life, or `None` if nobody uses the
/// client any more.
fn announce(remote: &Weak<Remote>, address: &Address, welcome: &Welcome) -> Option<Duration> {
    let remote = remote.upgrade()?;
    let _ = remote.events.send(ClientEvent::Connected {
        address: address.to_string(),
        server: welcome.server.clone(),
    });
    // Well before the server would take the connection for idle.
    let idle = Duration::from_millis(welcome.idle_ms.max(3));
    Some(remote.options.keep_alive.min(idle / 3))
}

async fn reconnect(remote: &Weak<Remote>, address: &Address) -> Option<(Arc<Link>, Welcome)> {
    let options = remote.upgrade()?.options.clone();
    let mut backoff = options.backoff_min;
    loop {
        let connected = connect(address, &options).await;
        let strong = remote.upgrade()?;
        let error = match connected {
            Ok((link, welcome)) => {
                let link = Arc::new(link);
                return strong.went_up(&link).then_some((link, welcome));
            }
            Err(error) => error,
        };
        // Many clients that lost the same server do not all come back at the same moment.
        let retry_in = backoff.mul_f64(0.5 + fastrand::f64() / 2.0);
        backoff = (backoff * 2).min(options.backoff_max);
        let _ = strong.events.send(ClientEvent::ConnectFailed {
            address: address.to_string(),
            reason: error.to_string(),
            retry_in,
        });
        if !strong.went_down(error) {
            return None;
        }
        let mut state = strong.state.subscribe();
        drop(strong);
        tokio::select! {
            () = tokio::time::sleep(retry_in) => {}
            _ = state.wait_for(|state| matches!(state, LinkState::Closed)) => return None,
        }
    }
}

impl Remote {
    /// Whether the client is still open.
    fn went_down(&self, error: Error) -> bool {
        self.change(LinkState::Down(error))
    }

    fn went_up(&self, link: &Arc<Link>) -> bool {
        self.change(LinkState::Up(Arc::clone(link)))
    }

    fn change(&self, to: LinkState) -> bool {
        self.state.send_if_modified(|state| {
            if matches!(state, LinkState::Closed) {
                return false;
            }
            *state = to;
            true
        })
    }
}
