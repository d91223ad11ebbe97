//! The hello: what must come first on a connection, in small frames and in time.

use std::{future::poll_fn, io};

use bytes::BytesMut;
use ratatoskr_core::{
    door::{close, poll_read},
    wire::{
        self, ErrorBody, ErrorCode, HELLO_FRAME_BYTES_MAX, HELLO_VERSION, Hello, Inbox, Kind,
        VERSION_MAX, VERSION_MIN, Welcome,
    },
};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::limits::NativeLimits;

/// How the server names itself.
const SERVER: &str = concat!("ratatoskr ", env!("CARGO_PKG_VERSION"));

/// A connection on which a version has been agreed on. Only this makes a session possible.
#[derive(Debug)]
pub(super) struct Greeted<S> {
    pub(super) stream: S,
    pub(super) inbox: Inbox,
    pub(super) version: u8,
    pub(super) client: String,
}

/// Why a connection ended before it began.
#[derive(Debug)]
enum Refusal {
    Gone,
    Io(io::Error),
    Refused { correlation: u64, error: ErrorBody },
}

/// Hears the hello and answers it. `None` where the peer went away or was refused.
///
/// # Errors
/// Those of the stream.
pub(super) async fn greet<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    limits: &NativeLimits,
) -> io::Result<Option<Greeted<S>>> {
    let mut inbox = Inbox::default();
    let heard = tokio::time::timeout(limits.handshake_deadline, hear(&mut stream, &mut inbox))
        .await
        .unwrap_or_else(|_| {
            Err(Refusal::Refused {
                correlation: 0,
                error: ErrorBody::new(ErrorCode::TimedOut, "no hello arrived in time"),
            })
        });
    let mut out = BytesMut::new();
    let (encoded, greeting) = match heard {
        Ok((correlation, version, hello)) => {
            let body = welcome(version, limits);
            let encoded =
                wire::encode_response::<Hello>(HELLO_VERSION, correlation, &body, 0, &mut out);
            (encoded, Some((version, hello.client)))
        }
        Err(Refusal::Gone) => return Ok(None),
        Err(Refusal::Io(error)) => return Err(error),
        Err(Refusal::Refused { correlation, error }) => {
            tracing::debug!(error = %error.message, "refused a connection");
            let encoded = wire::encode(HELLO_VERSION, correlation, &error, 0, &mut out);
            (encoded, None)
        }
    };
    encoded.map_err(io::Error::other)?;
    // A peer that does not even take these few bytes is not waited for.
    tokio::time::timeout(limits.handshake_deadline, stream.write_all(&out)).await??;
    let Some((version, client)) = greeting else {
        close(&mut stream).await?;
        return Ok(None);
    };
    Ok(Some(Greeted {
        stream,
        inbox,
        version,
        client,
    }))
}

fn welcome(version: u8, limits: &NativeLimits) -> Welcome {
    Welcome {
        version,
        server: SERVER.into(),
        frame_bytes_max: u32::try_from(limits.frame_bytes_max).unwrap_or(u32::MAX),
        idle_ms: u64::try_from(limits.idle_deadline.as_millis()).unwrap_or(u64::MAX),
    }
}

async fn hear<S: AsyncRead + Unpin>(
    stream: &mut S,
    inbox: &mut Inbox,
) -> Result<(u64, u8, Hello), Refusal> {
    let frame = loop {
        let frame = inbox.next_frame(HELLO_FRAME_BYTES_MAX);
        match frame.map_err(|error| refuse(0, (&error).into()))? {
            Some(frame) => break frame,
            None => match poll_fn(|cx| poll_read(inbox, stream, cx)).await {
                Ok(0) => return Err(Refusal::Gone),
                Ok(_) => {}
                Err(error) => return Err(Refusal::Io(error)),
            },
        }
    };
    let correlation = frame.correlation;
    if frame.kind() != Some(Kind::Hello) || frame.is_response() || !frame.batches.is_empty() {
        let error = ErrorBody::new(ErrorCode::Malformed, "the first frame must be a hello");
        return Err(refuse(correlation, error));
    }
    if frame.version != HELLO_VERSION {
        return Err(refuse(correlation, unsupported_version()));
    }
    let hello: Hello = frame
        .decode_body()
        .map_err(|error| refuse(correlation, (&error).into()))?;
    let version = wire::negotiate(hello.version_min, hello.version_max)
        .ok_or_else(|| refuse(correlation, unsupported_version()))?;
    Ok((correlation, version, hello))
}

/// The answer to a version that is not spoken here: it lists those that are.
pub(super) fn unsupported_version() -> ErrorBody {
    let spoken = [i64::from(VERSION_MIN), i64::from(VERSION_MAX)];
    ErrorBody::new(
        ErrorCode::UnsupportedVersion,
        format!("protocol versions {VERSION_MIN} to {VERSION_MAX} are spoken here"),
    )
    .with_numbers(spoken)
}

fn refuse(correlation: u64, error: ErrorBody) -> Refusal {
    Refusal::Refused { correlation, error }
}
