//! Members of a group that send what they like: who is known to the broker gets further than a stranger.

use kafka_protocol::messages::{
    ApiKey, HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest,
    OffsetCommitRequest, SyncGroupRequest, join_group_request::JoinGroupRequestProtocol,
    leave_group_request::MemberIdentity, offset_commit_request as commit,
    sync_group_request::SyncGroupRequestAssignment,
};
use ratatoskr_core::bytes::{Bytes, BytesMut};

use crate::{
    group_samples::group,
    hostile::{changed, cut, survives},
    samples::{text, topic},
    support::{Server, encoded, frame},
};

/// What Kafka's consumers write for one another, which the broker reads for people.
const WANTS: &[u8] = b"\0\0\0\0\0\x01\0\x06orders\xff\xff\xff\xff";
const READS: &[u8] = b"\0\0\0\0\0\x01\0\x06orders\0\0\0\x01\0\0\0\0\xff\xff\xff\xff";

/// The requests of a member, in the newest version, the first of the join left out.
const REQUESTS: [(ApiKey, i16); 5] = [
    (ApiKey::JoinGroup, 9),
    (ApiKey::SyncGroup, 5),
    (ApiKey::Heartbeat, 4),
    (ApiKey::OffsetCommit, 9),
    (ApiKey::LeaveGroup, 5),
];

/// A member that leads its group, and has it for itself.
struct Member {
    group: String,
    id: String,
    generation: i32,
}

impl Member {
    async fn join(server: &Server, group: String) -> Self {
        let mut member = Self {
            group,
            id: String::new(),
            generation: -1,
        };
        let mut peer = server.connect();
        // The last version in which one request is enough.
        let request = member.join_request();
        let joined: JoinGroupResponse = peer.ask(ApiKey::JoinGroup, 3, &request).await;
        assert_eq!(joined.error_code, 0);
        member.id = joined.member_id.to_string();
        member.generation = joined.generation_id;
        member
    }

    fn join_request(&self) -> JoinGroupRequest {
        let protocol = JoinGroupRequestProtocol::default()
            .with_name(text("range"))
            .with_metadata(Bytes::from_static(WANTS));
        JoinGroupRequest::default()
            .with_group_id(group(&self.group))
            .with_session_timeout_ms(30_000)
            .with_rebalance_timeout_ms(30_000)
            .with_member_id(text(&self.id))
            .with_protocol_type(text("consumer"))
            .with_protocols(vec![protocol])
    }

    fn request(&self, key: ApiKey, version: i16) -> BytesMut {
        let body = match key {
            ApiKey::JoinGroup => encoded(&self.join_request(), version),
            ApiKey::SyncGroup => {
                let assignment = SyncGroupRequestAssignment::default()
                    .with_member_id(text(&self.id))
                    .with_assignment(Bytes::from_static(READS));
                let request = SyncGroupRequest::default()
                    .with_group_id(group(&self.group))
                    .with_generation_id(self.generation)
                    .with_member_id(text(&self.id))
                    .with_assignments(vec![assignment]);
                encoded(&request, version)
            }
            ApiKey::Heartbeat => {
                let request = HeartbeatRequest::default()
                    .with_group_id(group(&self.group))
                    .with_generation_id(self.generation)
                    .with_member_id(text(&self.id));
                encoded(&request, version)
            }
            ApiKey::OffsetCommit => {
                let partition = commit::OffsetCommitRequestPartition::default();
                let topic = commit::OffsetCommitRequestTopic::default()
                    .with_name(topic("orders"))
                    .with_partitions(vec![partition]);
                let request = OffsetCommitRequest::default()
                    .with_group_id(group(&self.group))
                    .with_generation_id_or_member_epoch(self.generation)
                    .with_member_id(text(&self.id))
                    .with_topics(vec![topic]);
                encoded(&request, version)
            }
            _ => {
                let member = MemberIdentity::default().with_member_id(text(&self.id));
                let request = LeaveGroupRequest::default()
                    .with_group_id(group(&self.group))
                    .with_members(vec![member]);
                encoded(&request, version)
            }
        };
        frame(key, version, 7, &body).split_off(4)
    }
}

/// Each request of a member, as `change` has it. A group is shown to people after each, whatever the
/// member has made of it, and a member of another group is served as before.
async fn members_are_survived(change: impl Fn(&BytesMut) -> Vec<BytesMut>) {
    for (key, version) in REQUESTS {
        let server = Server::with_topic("orders", &[]).await;
        let sample = Member::join(&server, "sample".to_owned()).await;
        // Ids differ, and are all of one length.
        let count = change(&sample.request(key, version)).len();
        for number in 0..count {
            let member = Member::join(&server, format!("{number:06}")).await;
            let requests = change(&member.request(key, version));
            survives(&server, requests.into_iter().skip(number).take(1)).await;
            let id = member.group.parse().unwrap();
            // Errors are for the one who asks.
            let _ = server.broker.describe_group(&id).await;
            let _ = server.broker.group_lag(&id).await;
            // Tidies up behind a member that is still there.
            let gone = member.request(ApiKey::LeaveGroup, 5);
            survives(&server, std::iter::once(gone)).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn requests_of_members_that_end_anywhere_are_survived() {
    members_are_survived(|whole| cut(whole).collect()).await;
}

#[tokio::test(start_paused = true)]
async fn requests_of_members_with_numbers_that_cannot_be_are_survived() {
    members_are_survived(|whole| changed(whole).collect()).await;
}
