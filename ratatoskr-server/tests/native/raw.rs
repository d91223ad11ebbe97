//! A server, and a peer that sends whatever it likes.

use std::{net::SocketAddr, time::Duration};

use bytes::{Bytes, BytesMut};
use ratatoskr_core::{
    Broker,
    batch::BatchBuilder,
    name::TopicName,
    offset::PartitionIndex,
    record::Record,
    time::Timestamp,
    wire::{self, Body, ErrorBody, ErrorCode, Frame, Hello, Kind, Ping, Request, Welcome},
};
use ratatoskr_server::native::{self, NativeLimits};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
};

/// Longer than any frame that a test receives.
const FRAME_BYTES_MAX: usize = 64 << 20;
/// A test that does not end within this time has hung.
const HANG: Duration = Duration::from_secs(30);

pub(crate) const PARTITION: PartitionIndex = PartitionIndex::new(0);

pub(crate) async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(HANG, work)
        .await
        .expect("the test hangs")
}

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start(broker: Broker, limits: NativeLimits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(native::serve(listener, broker, limits, async {
            let _ = stopped.await;
        }));
        Self {
            address,
            stop: Some(stop),
            task,
        }
    }

    /// A connection before its hello.
    pub(crate) async fn connect(&self) -> Peer {
        Peer {
            stream: TcpStream::connect(self.address).await.unwrap(),
            inbox: BytesMut::new(),
            out: BytesMut::new(),
        }
    }

    /// A connection after its hello.
    pub(crate) async fn greet(&self) -> Peer {
        let mut peer = self.connect().await;
        peer.send_version(0, 0, &hello(1, 1)).await;
        peer.answer::<Hello>(0).await;
        peer
    }

    pub(crate) fn begin_stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }

    pub(crate) async fn stopped(self) {
        within(self.task).await.unwrap();
    }

    /// That it still serves.
    pub(crate) async fn assert_serves(&self) {
        let mut peer = self.greet().await;
        peer.send(1, &Ping {}).await;
        peer.answer::<Ping>(1).await;
    }
}

pub(crate) fn hello(version_min: u8, version_max: u8) -> Hello {
    Hello {
        version_min,
        version_max,
        client: "a test".into(),
    }
}

pub(crate) struct Peer {
    pub(crate) stream: TcpStream,
    inbox: BytesMut,
    /// Frames to be sent in one go.
    out: BytesMut,
}

impl Peer {
    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    pub(crate) async fn send<B: Body>(&mut self, correlation: u64, body: &B) {
        self.send_version(1, correlation, body).await;
    }

    pub(crate) async fn send_version<B: Body>(&mut self, version: u8, correlation: u64, body: &B) {
        wire::encode(version, correlation, body, 0, &mut self.out).unwrap();
        self.flush().await;
    }

    /// Adds a frame to those that [`flush`](Self::flush) sends.
    pub(crate) fn add<B: Body>(&mut self, correlation: u64, body: &B, batches: &[u8]) {
        wire::encode(1, correlation, body, batches.len(), &mut self.out).unwrap();
        self.out.extend_from_slice(batches);
    }

    pub(crate) async fn flush(&mut self) {
        let out = self.out.split();
        self.stream.write_all(&out).await.unwrap();
    }

    /// The next frame; `None` once the server has closed the connection.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        within(async {
            loop {
                let frame = Frame::decode(&mut self.inbox, FRAME_BYTES_MAX).unwrap();
                if frame.is_some() {
                    return frame;
                }
                // A reset is as good an end as any.
                if self.stream.read_buf(&mut self.inbox).await.unwrap_or(0) == 0 {
                    return None;
                }
            }
        })
        .await
    }

    /// The next frame, which answers this request.
    pub(crate) async fn answer<R: Request>(&mut self, correlation: u64) -> R::Response {
        let frame = self.next().await.expect("an answer");
        if frame.kind() == Some(Kind::Error) {
            let error: ErrorBody = frame.decode_body().unwrap();
            panic!("{error:?} for {correlation}");
        }
        assert_eq!((frame.kind(), frame.is_response()), (Some(R::KIND), true));
        assert_eq!(frame.correlation, correlation);
        frame.decode_body().unwrap()
    }

    /// The next frame, which is this error.
    pub(crate) async fn error(&mut self, correlation: u64, code: ErrorCode) -> ErrorBody {
        let frame = self.next().await.expect("an error");
        assert_eq!(frame.kind(), Some(Kind::Error), "{frame:?}");
        let error: ErrorBody = frame.decode_body().unwrap();
        assert_eq!(
            (frame.correlation, error.known_code()),
            (correlation, Some(code)),
            "{error:?}"
        );
        assert_eq!(error.retryable, code.is_retryable());
        error
    }

    pub(crate) async fn assert_closed(&mut self) {
        let frame = self.next().await;
        assert!(frame.is_none(), "{frame:?}");
    }

    pub(crate) async fn welcome(&mut self) -> Welcome {
        self.answer::<Hello>(0).await
    }
}

pub(crate) fn topic() -> TopicName {
    TopicName::parse("orders").unwrap()
}

pub(crate) fn produce() -> wire::Produce {
    wire::Produce {
        topic: topic(),
        partition: PARTITION,
        acknowledge: true,
    }
}

pub(crate) fn batch(value: impl Into<Bytes>) -> Bytes {
    let mut builder = BatchBuilder::default();
    builder
        .push(&Record::new(value), Timestamp::new(1))
        .unwrap();
    builder.build().unwrap().to_bytes()
}
