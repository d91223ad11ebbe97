//! Groups that the broker manages (KIP-848), as their members see them.

use kafka_protocol::messages::{
    ApiKey, ApiVersionsRequest, ApiVersionsResponse, ConsumerGroupDescribeRequest,
    ConsumerGroupDescribeResponse, ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse,
    OffsetCommitRequest, OffsetCommitResponse, OffsetFetchRequest, OffsetFetchResponse,
    consumer_group_heartbeat_request::TopicPartitions, offset_commit_request as commit,
    offset_fetch_request as fetch,
};

use crate::{
    group_samples::group,
    samples::{text, topic},
    support::{Peer, Server, name},
};

const GROUP: &str = "billing";

struct Member {
    peer: Peer,
    id: &'static str,
    epoch: i32,
    topic: uuid::Uuid,
    reads: Vec<i32>,
}

impl Member {
    fn new(server: &Server, id: &'static str) -> Self {
        let descriptor = server.broker.topic_descriptor(&name("orders")).unwrap();
        Self {
            peer: server.connect(),
            id,
            epoch: 0,
            topic: uuid::Uuid::from_bytes(*descriptor.id.as_bytes()),
            reads: Vec::new(),
        }
    }

    fn request(&self) -> ConsumerGroupHeartbeatRequest {
        let mut request = ConsumerGroupHeartbeatRequest::default()
            .with_group_id(group(GROUP))
            .with_member_id(text(self.id))
            .with_member_epoch(self.epoch);
        if self.epoch == 0 {
            request.rebalance_timeout_ms = 30_000;
            request.subscribed_topic_names = Some(vec![topic("orders")]);
        }
        let owned = TopicPartitions::default()
            .with_topic_id(self.topic)
            .with_partitions(self.reads.clone());
        request.topic_partitions = Some(if self.reads.is_empty() {
            Vec::new()
        } else {
            vec![owned]
        });
        request
    }

    async fn ask(
        &mut self,
        request: &ConsumerGroupHeartbeatRequest,
    ) -> ConsumerGroupHeartbeatResponse {
        let asked = self.peer.ask(ApiKey::ConsumerGroupHeartbeat, 1, request);
        asked.await
    }

    /// Joins or goes on, and does what it is told.
    async fn beat(&mut self) -> i16 {
        let request = self.request();
        let answer = self.ask(&request).await;
        self.take(&answer);
        answer.error_code
    }

    fn take(&mut self, answer: &ConsumerGroupHeartbeatResponse) {
        if answer.error_code == 0 {
            self.epoch = answer.member_epoch;
        }
        if let Some(assignment) = &answer.assignment {
            let topics = assignment.topic_partitions.iter();
            self.reads = topics.flat_map(|topic| topic.partitions.clone()).collect();
        }
    }

    /// Asks for all offsets of the group.
    async fn fetch(&mut self, member: Option<&'static str>, epoch: i32) -> i16 {
        let group = fetch::OffsetFetchRequestGroup::default()
            .with_group_id(group(GROUP))
            .with_member_id(member.map(text))
            .with_member_epoch(epoch)
            .with_topics(None);
        let request = OffsetFetchRequest::default().with_groups(vec![group]);
        let answer: OffsetFetchResponse = self.peer.ask(ApiKey::OffsetFetch, 9, &request).await;
        answer.groups[0].error_code
    }

    async fn commit(&mut self, partition: i32, epoch: i32) -> i16 {
        let partition = commit::OffsetCommitRequestPartition::default()
            .with_partition_index(partition)
            .with_committed_offset(0);
        let topic = commit::OffsetCommitRequestTopic::default()
            .with_name(topic("orders"))
            .with_partitions(vec![partition]);
        let request = OffsetCommitRequest::default()
            .with_group_id(group(GROUP))
            .with_member_id(text(self.id))
            .with_generation_id_or_member_epoch(epoch)
            .with_topics(vec![topic]);
        let answer: OffsetCommitResponse = self.peer.ask(ApiKey::OffsetCommit, 9, &request).await;
        answer.topics[0].partitions[0].error_code
    }
}

async fn server() -> Server {
    let server = Server::new().await;
    let new = ratatoskr_core::broker::NewTopic {
        partitions: Some(2),
        ..ratatoskr_core::broker::NewTopic::default()
    };
    let created = server.broker.create_topic(&name("orders"), new).await;
    created.unwrap();
    server
}

#[tokio::test]
async fn a_partition_moves_once_it_has_been_given_up() {
    let server = server().await;
    let (mut a, mut b) = (Member::new(&server, "a"), Member::new(&server, "b"));
    assert_eq!(a.beat().await, 0);
    assert_eq!(a.reads, [0, 1]);
    assert_eq!(b.beat().await, 0);
    assert!(b.reads.is_empty());
    // Told to give up, then giving up.
    a.beat().await;
    a.beat().await;
    b.beat().await;
    assert_eq!((a.reads.len(), b.reads.len()), (1, 1));
    assert_ne!(a.reads, b.reads);
    assert_eq!(a.commit(a.reads[0], a.epoch).await, 0);
    // Somebody else's, another epoch, and nobody.
    assert_eq!(a.commit(b.reads[0], a.epoch).await, 113);
    assert_eq!(a.commit(a.reads[0], a.epoch + 1).await, 113);
    a.id = "nobody";
    assert_eq!(a.commit(0, a.epoch).await, 25);
    assert_eq!(a.beat().await, 25);
    b.epoch += 5;
    assert_eq!(b.beat().await, 110);
}

/// What it would begin with is not its own any more.
#[tokio::test]
async fn a_member_that_is_gone_is_told_when_it_asks_for_offsets() {
    let server = server().await;
    let mut a = Member::new(&server, "a");
    a.beat().await;
    let epoch = a.epoch;
    assert_eq!(a.fetch(Some("a"), epoch).await, 0);
    assert_eq!(a.fetch(Some("a"), epoch + 1).await, 113);
    assert_eq!(a.fetch(Some("b"), epoch).await, 25);
    // A tool, by null and by an empty name.
    assert_eq!(a.fetch(None, -1).await, 0);
    assert_eq!(a.fetch(Some(""), -1).await, 0);
}

#[tokio::test]
async fn tools_see_members_with_what_they_read() {
    let server = server().await;
    let mut a = Member::new(&server, "a");
    a.beat().await;
    let request =
        ConsumerGroupDescribeRequest::default().with_group_ids(vec![group(GROUP), group("x")]);
    let mut tool = server.connect();
    let asked = tool.ask(ApiKey::ConsumerGroupDescribe, 1, &request);
    let answer: ConsumerGroupDescribeResponse = asked.await;
    let described = &answer.groups[0];
    assert_eq!(described.group_state.as_str(), "Stable");
    let reads = &described.members[0].assignment.topic_partitions[0];
    assert_eq!(
        (reads.topic_name.0.as_str(), &reads.partitions[..]),
        ("orders", &[0, 1][..])
    );
    assert_eq!(answer.groups[1].error_code, 69);
}

/// A member wants names, a pattern or both; what it does not mention stays.
#[tokio::test]
async fn a_member_reads_what_its_pattern_matches() {
    let server = server().await;
    let mut a = Member::new(&server, "a");
    let pattern = |a: &Member, pattern| {
        let request = a.request().with_subscribed_topic_names(Some(Vec::new()));
        request.with_subscribed_topic_regex(Some(text(pattern)))
    };
    let request = pattern(&a, "^ord.*");
    let answer = a.ask(&request).await;
    a.take(&answer);
    assert_eq!((answer.error_code, &a.reads[..]), (0, &[0, 1][..]));
    a.beat().await;
    assert_eq!(a.reads, [0, 1]);
    let request = ConsumerGroupDescribeRequest::default().with_group_ids(vec![group(GROUP)]);
    let mut tool = server.connect();
    let asked = tool.ask(ApiKey::ConsumerGroupDescribe, 1, &request);
    let answer: ConsumerGroupDescribeResponse = asked.await;
    let member = &answer.groups[0].members[0];
    assert_eq!(member.subscribed_topic_regex, Some(text("^ord.*")));
    assert!(member.subscribed_topic_names.is_empty());

    // Another pattern, and then none: nothing is left to read.
    let request = pattern(&a, "^other$");
    let answer = a.ask(&request).await;
    a.take(&answer);
    assert!(a.reads.is_empty());
    let request = pattern(&a, "");
    assert_eq!(a.ask(&request).await.error_code, 0);
}

#[tokio::test]
async fn what_is_not_taken_is_said() {
    let server = server().await;
    let mut a = Member::new(&server, "a");
    let pattern = a.request().with_subscribed_topic_regex(Some(text("o(")));
    let refused = a.ask(&pattern).await;
    assert_eq!(refused.error_code, 128);
    let message = refused.error_message.unwrap();
    assert!(message.contains("o("), "{message}");
    let assignor = a.request().with_server_assignor(Some(text("range")));
    assert_eq!(a.ask(&assignor).await.error_code, 112);
    let nothing = a.request().with_subscribed_topic_names(None);
    assert_eq!(a.ask(&nothing).await.error_code, 42);
}

#[tokio::test]
async fn the_feature_is_finalized() {
    let server = Server::new().await;
    let mut peer = server.connect();
    let mut request = ApiVersionsRequest::default();
    request.client_software_name = text("test");
    request.client_software_version = text("1");
    let answer: ApiVersionsResponse = peer.ask(ApiKey::ApiVersions, 4, &request).await;
    let feature = &answer.finalized_features[0];
    assert_eq!(
        (feature.name.as_str(), feature.max_version_level),
        ("group.version", 1)
    );
    assert_eq!(answer.supported_features[0].max_version, 1);
    assert_eq!(answer.finalized_features_epoch, 0);
}
