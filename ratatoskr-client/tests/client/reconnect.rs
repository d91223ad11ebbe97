//! Lost connections: servers that stop and come back, connections cut in the middle of frames.

use std::time::Duration;

use bytes::BytesMut;
use ratatoskr_client::{
    Client, ClientEvent, ConnectOptions, Error, NewTopic, Offset, OnFull, Outcome, PartitionIndex,
    Record,
};
use ratatoskr_core::wire::{self, Hello, Welcome};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::{
    fixture::{Server, broker, connect, create, name, next, post, take, text, texts, within},
    proxy::Proxy,
};

const PARTITION: PartitionIndex = PartitionIndex::new(0);

fn numbers(count: u32) -> Vec<String> {
    (0..count).map(|number| number.to_string()).collect()
}

#[tokio::test]
async fn an_idempotent_producer_is_exact_through_cut_connections() {
    for seed in 0..4 {
        let broker = broker().await;
        let server = Server::start(broker.clone()).await;
        let proxy = Proxy::cutting(server.address, 300..12_000, seed).await;
        let client = connect(proxy.address).await;
        let direct = Client::in_process(broker);
        let topic = create(&direct, "exact", 1).await;

        let work = async {
            let builder = client.producer(&topic).batch_bytes(600);
            let producer = builder.open().await.unwrap();
            let sent = numbers(3_000);
            let mut deliveries = Vec::new();
            for value in &sent {
                let record = Record::new(value.clone());
                deliveries.push(producer.enqueue(record).await.unwrap());
            }
            for (offset, delivery) in (0..).zip(deliveries) {
                let metadata = delivery.await.unwrap();
                assert_eq!(metadata.offset, Some(Offset::new(offset)), "seed {seed}");
            }
            let bounds = direct.bounds(&topic, PARTITION).await.unwrap();
            assert_eq!(bounds.log_end, Offset::new(3_000), "seed {seed}");
            let mut consumer = direct.consumer(&topic).open().await.unwrap();
            assert_eq!(
                texts(&take(&mut consumer, 3_000).await),
                sent,
                "seed {seed}"
            );
        };
        within(work).await;
    }
}

#[tokio::test]
async fn a_consumer_goes_on_where_its_connection_was_cut() {
    for seed in 0..4 {
        let broker = broker().await;
        let server = Server::start(broker.clone()).await;
        let direct = Client::in_process(broker);
        let topic = create(&direct, "resumed", 3).await;
        let producer = direct
            .producer(&topic)
            .batch_bytes(300)
            .open()
            .await
            .unwrap();
        for value in numbers(3_000) {
            post(&producer, Record::new(value)).await;
        }
        producer.flush().await.unwrap();

        let proxy = Proxy::cutting(server.address, 1_000..20_000, seed).await;
        let client = connect(proxy.address).await;
        let mut consumer = client
            .consumer(&topic)
            .buffer(100, 2_000)
            .open()
            .await
            .unwrap();
        let read = within(take(&mut consumer, 3_000)).await;
        for partition in 0..3 {
            let of_partition = read.iter().filter(|read| read.partition.get() == partition);
            let offsets: Vec<u64> = of_partition.map(|read| read.offset.get()).collect();
            let dense: Vec<u64> = (0..offsets.len() as u64).collect();
            assert_eq!(offsets, dense, "seed {seed}");
        }
    }
}

#[tokio::test]
async fn a_server_that_comes_back_is_found_again_and_told_of() {
    let broker = broker().await;
    let server = Server::start(broker.clone()).await;
    let address = server.address;
    let client = server.client().await;
    let mut events = client.events().unwrap();
    let topic = create(&client, "back", 1).await;
    let producer = client.producer(&topic).open().await.unwrap();
    let mut consumer = client.consumer(&topic).open().await.unwrap();
    producer.send(Record::new("before")).await.unwrap();
    assert_eq!(text(&next(&mut consumer).await.record), "before");

    let event = within(events.next()).await.unwrap();
    assert!(matches!(event, ClientEvent::Connected { .. }), "{event:?}");
    within(server.stop()).await;
    let event = within(events.next()).await.unwrap();
    assert!(
        matches!(event, ClientEvent::Disconnected { .. }),
        "{event:?}"
    );
    let event = within(events.next()).await.unwrap();
    assert!(
        matches!(event, ClientEvent::ConnectFailed { .. }),
        "{event:?}"
    );
    let waiting = producer.enqueue(Record::new("meanwhile")).await.unwrap();

    let server = Server::start_at(address, broker.clone()).await;
    within(waiting).await.unwrap();
    assert_eq!(text(&within(next(&mut consumer)).await.record), "meanwhile");

    server.kill().await;
    let _server = Server::start_at(address, broker).await;
    within(producer.send(Record::new("after"))).await.unwrap();
    assert_eq!(text(&within(next(&mut consumer)).await.record), "after");
    // What asks only is asked again; nobody sees the cut.
    assert_eq!(within(client.list_topics()).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_request_that_may_have_been_carried_out_is_not_repeated() {
    // The request arrives, its answer does not.
    let broker = broker().await;
    let server = Server::start(broker.clone()).await;
    let address = server.address;
    let client = server.client().await;
    let topic = create(&client, "once", 1).await;
    let sent = {
        let mut builder = ratatoskr_core::batch::BatchBuilder::default();
        let now = ratatoskr_client::Timestamp::new(0);
        builder.push(&Record::new("x"), now).unwrap();
        builder.build().unwrap()
    };
    let pending = client.produce_batch(&topic, PARTITION, &sent).unwrap();
    server.kill().await;
    let error = within(pending.wait()).await.unwrap_err();
    assert!(matches!(error, Error::ConnectionLost { .. }), "{error:?}");
    assert_eq!(error.outcome(), Outcome::Unknown);
    assert!(!error.is_retryable());
    drop(Server::start_at(address, broker).await);
}

#[tokio::test]
async fn nobody_at_the_address_is_told_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = within(Client::connect(&address.to_string()))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    assert!(error.is_retryable());
    assert_eq!(error.outcome(), Outcome::Failed);
    let error = Client::connect("http://x").await.unwrap_err();
    assert!(matches!(error, Error::InvalidAddress { .. }), "{error:?}");
}

#[tokio::test]
async fn another_kind_of_server_is_told_by_its_first_bytes() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream
            .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .await
            .unwrap();
        stream
    };
    let url = address.to_string();
    let (connected, _stream) = within(async { tokio::join!(Client::connect(&url), server) }).await;
    assert!(
        matches!(connected, Err(Error::Protocol(_))),
        "{connected:?}"
    );
}

#[tokio::test]
async fn a_server_that_falls_silent_counts_as_lost() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = listener.local_addr().unwrap().to_string();
    let server = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut hello = [0; 64];
        assert!(stream.read(&mut hello).await.unwrap() > 0);
        let welcome = Welcome {
            version: 1,
            server: "silent".into(),
            frame_bytes_max: 1 << 20,
            idle_ms: 60_000,
        };
        let mut out = BytesMut::new();
        wire::encode_response::<Hello>(0, 0, &welcome, 0, &mut out).unwrap();
        stream.write_all(&out).await.unwrap();
        stream
    };
    let options = ConnectOptions {
        keep_alive: Duration::from_millis(5),
        request_timeout: Duration::from_secs(5),
        ..ConnectOptions::default()
    };
    let connecting = Client::connect_with(&url, options);
    let (client, _stream) = within(async { tokio::join!(connecting, server) }).await;
    let client = client.unwrap();
    let mut events = client.events().unwrap();
    let reason = loop {
        let event = within(events.next()).await.unwrap();
        if let ClientEvent::Disconnected { reason, .. } = event {
            break reason;
        }
    };
    assert!(reason.contains("nothing was heard"), "{reason}");
}

#[tokio::test]
async fn a_closed_client_answers_so() {
    let server = Server::start(broker().await).await;
    let client = server.client().await;
    let topic = create(&client, "closed", 1).await;
    let producer = client.producer(&topic).open().await.unwrap();
    let mut consumer = client.consumer(&topic).open().await.unwrap();
    client.close();
    let error = client.list_topics().await.unwrap_err();
    assert!(matches!(error, Error::Closed), "{error:?}");
    let error = client.create_topic(&name("x"), NewTopic::default()).await;
    assert!(matches!(error, Err(Error::Closed)));
    let error = within(producer.send(Record::new("x"))).await.unwrap_err();
    assert!(matches!(error, Error::Closed), "{error:?}");
    let error = within(consumer.next()).await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Closed), "{error:?}");
    assert!(consumer.next().await.is_none());
    within(server.stop()).await;
}

#[tokio::test]
async fn without_a_connection_requests_fail_in_time() {
    let server = Server::start(broker().await).await;
    let options = ConnectOptions {
        request_timeout: Duration::from_millis(20),
        ..ConnectOptions::default()
    };
    let url = server.address.to_string();
    let client = Client::connect_with(&url, options).await.unwrap();
    let mut events = client.events().unwrap();
    server.kill().await;
    while !matches!(
        within(events.next()).await,
        Some(ClientEvent::ConnectFailed { .. })
    ) {}
    let error = within(client.list_topics()).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    assert!(error.is_retryable());
}

#[tokio::test]
async fn records_that_cannot_be_sent_fail_in_time() {
    let server = Server::start(broker().await).await;
    let client = server.client().await;
    let topic = create(&client, "late", 1).await;
    let timeout = Duration::from_millis(20);
    let builder = client.producer(&topic).delivery_timeout(timeout);
    let producer = builder.open().await.unwrap();
    let mut events = client.events().unwrap();
    server.kill().await;
    while !matches!(
        within(events.next()).await,
        Some(ClientEvent::ConnectFailed { .. })
    ) {}
    let error = within(producer.send(Record::new("x"))).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::Failed, "{error:?}");
    assert!(error.is_retryable(), "{error:?}");
}

#[tokio::test]
async fn a_full_buffer_is_waited_for_so_long_as_told() {
    let server = Server::start(broker().await).await;
    let client = server.client().await;
    let topic = create(&client, "full", 1).await;
    let builder = client.producer(&topic).buffer_bytes(1_000);
    let so_long = OnFull::WaitFor(Duration::from_millis(5));
    let producer = builder.on_full(so_long).open().await.unwrap();
    server.kill().await;
    // Without a server the first record keeps its room.
    let first = producer.enqueue(Record::new(vec![0; 500])).await.unwrap();
    let error = producer.enqueue(Record::new(vec![0; 500])).await;
    assert!(matches!(error, Err(Error::BufferFull { bytes_max: 1_000 })));
    drop(first);
}
