//! A connection as Kafka's clients have it: requests may follow one another before they are answered,
//! and the answers come in that order.

use std::{collections::VecDeque, io, net::SocketAddr, time::Duration};

use anyhow::{Context, Result, ensure};
use kafka_protocol::{
    messages::{ApiVersionsRequest, RequestHeader, ResponseHeader},
    protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes},
};
use ratatoskr_core::bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// How long an answer may take of a broker that is there, the members of a group that are waited for
/// included.
const ANSWER_MAX: Duration = Duration::from_mins(1);

/// A connection to the broker's Kafka door.
pub(super) struct Connection {
    stream: TcpStream,
    inbox: BytesMut,
    /// The ids of the requests that are not answered yet.
    asked: VecDeque<i32>,
    next_id: i32,
}

/// Whether the error says no more than that the broker is not there at the moment.
pub(super) fn is_down(error: &anyhow::Error) -> bool {
    error.is::<io::Error>()
}

pub(super) fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

impl Connection {
    /// Connects, and asks first what the broker speaks, as all clients do.
    ///
    /// # Errors
    /// The broker is down, or answers what none should.
    pub(super) async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let mut connection = Self {
            stream,
            inbox: BytesMut::new(),
            asked: VecDeque::new(),
            next_id: 0,
        };
        let request = ApiVersionsRequest::default()
            .with_client_software_name(text("kill9"))
            .with_client_software_version(text("1"));
        let spoken = connection.ask(3, &request).await?;
        ensure!(
            spoken.error_code == 0,
            "what it speaks was answered with {}",
            spoken.error_code
        );
        Ok(connection)
    }

    /// Sends a request.
    ///
    /// # Errors
    /// The broker is down.
    pub(super) async fn send<R: Request>(&mut self, version: i16, request: &R) -> Result<()> {
        let header = RequestHeader::default()
            .with_request_api_key(R::KEY)
            .with_request_api_version(version)
            .with_correlation_id(self.next_id)
            .with_client_id(Some(text("kill9")));
        let mut body = BytesMut::new();
        header.encode(&mut body, R::header_version(version))?;
        request.encode(&mut body, version)?;
        let mut frame = BytesMut::with_capacity(4 + body.len());
        frame.put_i32(i32::try_from(body.len())?);
        frame.put(body);
        self.asked.push_back(self.next_id);
        self.next_id = self.next_id.wrapping_add(1);
        self.stream.write_all(&frame).await?;
        Ok(())
    }

    /// The answer to the earliest request that has none yet, which was an `R` of this version.
    ///
    /// # Errors
    /// The broker is down, answers something else, or does not answer.
    pub(super) async fn receive<R: Request>(&mut self, version: i16) -> Result<R::Response> {
        let frame = timeout(ANSWER_MAX, self.frame()).await;
        let mut frame = frame.with_context(|| format!("no answer within {ANSWER_MAX:?}"))??;
        let header_version = R::Response::header_version(version);
        let header = ResponseHeader::decode(&mut frame, header_version)?;
        let asked = self.asked.pop_front();
        ensure!(
            asked == Some(header.correlation_id),
            "request {asked:?} was answered as {}",
            header.correlation_id
        );
        let answer = R::Response::decode(&mut frame, version)
            .with_context(|| format!("an answer of API {} in version {version}", R::KEY))?;
        ensure!(frame.is_empty(), "an answer is too long");
        Ok(answer)
    }

    /// Sends a request and waits for its answer.
    ///
    /// # Errors
    /// As [`send`](Self::send) and [`receive`](Self::receive).
    pub(super) async fn ask<R: Request>(
        &mut self,
        version: i16,
        request: &R,
    ) -> Result<R::Response> {
        self.send(version, request).await?;
        self.receive::<R>(version).await
    }

    async fn frame(&mut self) -> Result<Bytes> {
        loop {
            if let Some(&length) = self.inbox.first_chunk::<4>() {
                let length = usize::try_from(i32::from_be_bytes(length)).context("a length")?;
                if self.inbox.len() - 4 >= length {
                    self.inbox.advance(4);
                    return Ok(self.inbox.split_to(length).freeze());
                }
            }
            if self.stream.read_buf(&mut self.inbox).await? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
        }
    }
}
