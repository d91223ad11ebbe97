//! Groups whose members assign partitions among themselves, as their members and as tools see them.

use std::time::Duration;

use kafka_protocol::messages::{
    ApiKey, DeleteGroupsRequest, DeleteGroupsResponse, DescribeGroupsRequest,
    DescribeGroupsResponse, HeartbeatRequest, HeartbeatResponse, JoinGroupRequest,
    JoinGroupResponse, LeaveGroupRequest, LeaveGroupResponse, ListGroupsRequest,
    ListGroupsResponse, OffsetCommitRequest, OffsetCommitResponse, SyncGroupRequest,
    SyncGroupResponse, join_group_request::JoinGroupRequestProtocol,
    leave_group_request::MemberIdentity, offset_commit_request as commit,
    sync_group_request::SyncGroupRequestAssignment,
};
use ratatoskr_core::{
    bytes::{BufMut, Bytes, BytesMut},
    groups::{GroupError, GroupHeartbeat, MemberEpoch, MemberId},
};

use crate::{
    group_samples::group,
    samples::{text, topic},
    support::{Peer, Server, name},
};

const GROUP: &str = "billing";

/// A member on a connection of its own, which speaks these versions.
struct Member {
    peer: Peer,
    id: String,
    instance: Option<&'static str>,
    generation: i32,
    join: i16,
    sync: i16,
    heartbeat: i16,
    leave: i16,
}

impl Member {
    fn new(server: &Server, join: i16) -> Self {
        Self {
            peer: server.connect(),
            id: String::new(),
            instance: None,
            generation: -1,
            join,
            sync: join.min(5),
            heartbeat: join.min(4),
            leave: join.min(5),
        }
    }

    fn named(server: &Server, instance: &'static str) -> Self {
        Self {
            instance: Some(instance),
            ..Self::new(server, 9)
        }
    }

    fn join_request(&self) -> JoinGroupRequest {
        // As a consumer that wants the topic.
        let mut metadata = BytesMut::new();
        metadata.put_slice(b"\0\0\0\0\0\x01\0\x06orders\xff\xff\xff\xff");
        let protocol = JoinGroupRequestProtocol::default()
            .with_name(text("range"))
            .with_metadata(metadata.freeze());
        let mut request = JoinGroupRequest::default()
            .with_group_id(group(GROUP))
            .with_session_timeout_ms(30_000)
            .with_member_id(text(&self.id))
            .with_protocol_type(text("consumer"))
            .with_protocols(vec![protocol]);
        if self.join >= 1 {
            request.rebalance_timeout_ms = 30_000;
        }
        request.group_instance_id = self.instance.map(text);
        request
    }

    async fn send_join(&mut self) {
        let request = self.join_request();
        self.peer
            .send(ApiKey::JoinGroup, self.join, 7, &request)
            .await;
    }

    async fn joined(&mut self) -> JoinGroupResponse {
        let answer: JoinGroupResponse = self.peer.answer(ApiKey::JoinGroup, self.join, 7).await;
        self.id = answer.member_id.to_string();
        self.generation = answer.generation_id;
        answer
    }

    /// Joins, in two rounds where the version has it so.
    async fn join(&mut self) -> JoinGroupResponse {
        self.send_join().await;
        let answer = self.joined().await;
        if answer.error_code != 79 {
            return answer;
        }
        self.send_join().await;
        self.joined().await
    }

    /// The id that a dynamic member joins with.
    async fn ask_for_id(&mut self) {
        self.send_join().await;
        assert_eq!(self.joined().await.error_code, 79);
    }

    async fn sync(&mut self, assignments: &[(&str, &[u8])]) -> SyncGroupResponse {
        let assignments = assignments.iter().map(|(id, assignment)| {
            SyncGroupRequestAssignment::default()
                .with_member_id(text(id))
                .with_assignment(Bytes::copy_from_slice(assignment))
        });
        let mut request = SyncGroupRequest::default()
            .with_group_id(group(GROUP))
            .with_member_id(text(&self.id))
            .with_generation_id(self.generation)
            .with_assignments(assignments.collect());
        if self.sync >= 5 {
            request.protocol_type = Some(text("consumer"));
            request.protocol_name = Some(text("range"));
        }
        request.group_instance_id = self.instance.map(text);
        self.peer.ask(ApiKey::SyncGroup, self.sync, &request).await
    }

    async fn beat(&mut self) -> i16 {
        let mut request = HeartbeatRequest::default()
            .with_group_id(group(GROUP))
            .with_member_id(text(&self.id))
            .with_generation_id(self.generation);
        request.group_instance_id = self.instance.map(text);
        let asked = self.peer.ask(ApiKey::Heartbeat, self.heartbeat, &request);
        let answer: HeartbeatResponse = asked.await;
        answer.error_code
    }

    async fn leave(&mut self) -> i16 {
        let mut request = LeaveGroupRequest::default().with_group_id(group(GROUP));
        if self.leave >= 3 {
            let member = MemberIdentity::default().with_member_id(text(&self.id));
            request.members = vec![member];
        } else {
            request.member_id = text(&self.id);
        }
        let asked = self.peer.ask(ApiKey::LeaveGroup, self.leave, &request);
        let answer: LeaveGroupResponse = asked.await;
        let member = answer.members.first();
        member.map_or(answer.error_code, |member| member.error_code)
    }

    async fn commit(&mut self, generation: i32) -> i16 {
        let partition = commit::OffsetCommitRequestPartition::default().with_committed_offset(0);
        let topic = commit::OffsetCommitRequestTopic::default()
            .with_name(topic("orders"))
            .with_partitions(vec![partition]);
        let mut request = OffsetCommitRequest::default()
            .with_group_id(group(GROUP))
            .with_member_id(text(&self.id))
            .with_generation_id_or_member_epoch(generation)
            .with_topics(vec![topic]);
        request.group_instance_id = self.instance.map(text);
        let answer: OffsetCommitResponse = self.peer.ask(ApiKey::OffsetCommit, 9, &request).await;
        answer.topics[0].partitions[0].error_code
    }
}

/// What a leader that knows Kafka's consumers writes: partition 0 of the topic.
const ASSIGNMENT: &[u8] = b"\0\0\0\0\0\x01\0\x06orders\0\0\0\x01\0\0\0\0\xff\xff\xff\xff";

#[tokio::test]
async fn a_member_of_every_version_joins_reads_and_leaves() {
    let server = Server::with_topic("orders", &[]).await;
    for version in 0..=9 {
        let mut member = Member::new(&server, version);
        let joined = member.join().await;
        assert_eq!(joined.error_code, 0, "version {version}");
        assert_eq!(joined.leader.as_str(), member.id, "version {version}");
        assert_eq!(joined.protocol_name, Some(text("range")));
        assert_eq!(joined.members[0].member_id.as_str(), member.id);
        let id = member.id.clone();
        let synced = member.sync(&[(&id, ASSIGNMENT)]).await;
        assert_eq!((synced.error_code, &synced.assignment[..]), (0, ASSIGNMENT));
        assert_eq!(member.beat().await, 0);
        assert_eq!(member.commit(member.generation).await, 0);
        assert_eq!(member.leave().await, 0, "version {version}");
        assert_eq!(member.beat().await, 25);
    }
}

#[tokio::test]
async fn members_wait_for_one_another() {
    let server = Server::with_topic("orders", &[]).await;
    let mut a = Member::new(&server, 9);
    let mut b = Member::new(&server, 5);
    a.join().await;
    let id = a.id.clone();
    a.sync(&[(&id, b"all")]).await;
    b.ask_for_id().await;
    b.send_join().await;
    // Until a hears of it.
    while a.beat().await != 27 {
        tokio::task::yield_now().await;
    }
    let joined = a.join().await;
    assert_eq!((joined.error_code, joined.members.len()), (0, 2));
    let followed = b.joined().await;
    assert_eq!(followed.leader.as_str(), a.id);
    assert_eq!(followed.generation_id, joined.generation_id);
    // Joined, and not told yet what it reads.
    assert_eq!(b.commit(b.generation).await, 27);
    let ids = (a.id.clone(), b.id.clone());
    let assignments: [(&str, &[u8]); 2] = [(&ids.0, b"one"), (&ids.1, b"other")];
    let (of_a, of_b) = tokio::join!(a.sync(&assignments), b.sync(&[]));
    assert_eq!(&of_a.assignment[..], b"one");
    assert_eq!(&of_b.assignment[..], b"other");
    assert_eq!(b.commit(b.generation).await, 0);
    assert_eq!(b.commit(b.generation - 1).await, 22);
    assert_eq!(b.commit(-1).await, 22);
    // Who is no member may not, and neither may a member of a group that is not there.
    b.id = String::new();
    assert_eq!(b.commit(-1).await, 25);
}

#[tokio::test]
async fn a_static_member_comes_back_without_a_rebalance_and_fences_its_earlier_life() {
    let server = Server::with_topic("orders", &[]).await;
    let mut first = Member::named(&server, "rack-1");
    let joined = first.join().await;
    assert_eq!(joined.error_code, 0);
    let id = first.id.clone();
    first.sync(&[(&id, b"all")]).await;
    let mut second = Member::named(&server, "rack-1");
    let joined = second.join().await;
    assert_eq!(
        (joined.error_code, joined.generation_id),
        (0, first.generation)
    );
    assert!(joined.skip_assignment);
    assert_eq!(&second.sync(&[]).await.assignment[..], b"all");
    assert_eq!(first.beat().await, 82);
    assert_eq!(first.commit(first.generation).await, 82);
    assert_eq!(second.beat().await, 0);
    // An administrator removes it by its instance.
    let member = MemberIdentity::default().with_group_instance_id(Some(text("rack-1")));
    let request = LeaveGroupRequest::default()
        .with_group_id(group(GROUP))
        .with_members(vec![member.clone(), member]);
    let mut admin = server.connect();
    let answer: LeaveGroupResponse = admin.ask(ApiKey::LeaveGroup, 4, &request).await;
    let codes: Vec<_> = answer
        .members
        .iter()
        .map(|member| member.error_code)
        .collect();
    assert_eq!(codes, [0, 25]);
}

#[tokio::test]
async fn tools_see_groups_and_delete_those_without_members() {
    let server = Server::with_topic("orders", &[]).await;
    let mut member = Member::new(&server, 9);
    member.join().await;
    let id = member.id.clone();
    member.sync(&[(&id, ASSIGNMENT)]).await;
    let mut tool = server.connect();
    let listed: ListGroupsResponse = tool
        .ask(ApiKey::ListGroups, 5, &ListGroupsRequest::default())
        .await;
    let listed = &listed.groups[0];
    assert_eq!(
        (
            listed.group_state.as_str(),
            listed.group_type.as_str(),
            listed.protocol_type.as_str()
        ),
        ("Stable", "classic", "consumer")
    );
    let none = ListGroupsRequest::default().with_states_filter(vec![text("Dead")]);
    let none: ListGroupsResponse = tool.ask(ApiKey::ListGroups, 4, &none).await;
    assert!(none.groups.is_empty());
    let request =
        DescribeGroupsRequest::default().with_groups(vec![group(GROUP), group("x"), group("x")]);
    let described: DescribeGroupsResponse = tool.ask(ApiKey::DescribeGroups, 6, &request).await;
    assert_eq!(described.groups.len(), 2);
    let known = &described.groups[0];
    assert_eq!(known.protocol_data.as_str(), "range");
    assert_eq!(known.members[0].client_host.as_str(), "/127.0.0.1");
    assert_eq!(&known.members[0].member_assignment[..], ASSIGNMENT);
    assert_eq!(described.groups[1].error_code, 69);
    let described: DescribeGroupsResponse = tool.ask(ApiKey::DescribeGroups, 5, &request).await;
    let unknown = &described.groups[1];
    assert_eq!(
        (unknown.error_code, unknown.group_state.as_str()),
        (0, "Dead")
    );
    // The other door sees the same, with what the consumer reads.
    let native = server
        .broker
        .describe_group(&GROUP.parse().unwrap())
        .await
        .unwrap();
    assert_eq!(native.members[0].topics, [name("orders")]);
    assert_eq!(native.members[0].assigned[0].topic, name("orders"));
    assert_eq!(native.protocol, "range");
    let lag = server
        .broker
        .group_lag(&GROUP.parse().unwrap())
        .await
        .unwrap();
    assert_eq!(lag[0].member.as_ref().unwrap().as_str(), member.id);

    let request = DeleteGroupsRequest::default().with_groups_names(vec![group(GROUP)]);
    let deleted: DeleteGroupsResponse = tool.ask(ApiKey::DeleteGroups, 2, &request).await;
    assert_eq!(deleted.results[0].error_code, 68);
    member.leave().await;
    let deleted: DeleteGroupsResponse = tool.ask(ApiKey::DeleteGroups, 2, &request).await;
    assert_eq!(deleted.results[0].error_code, 0);
}

#[tokio::test]
async fn a_group_of_the_other_protocol_is_told_apart() {
    let server = Server::with_topic("orders", &[]).await;
    let mut native = GroupHeartbeat {
        group: GROUP.parse().unwrap(),
        member: MemberId::random(),
        epoch: MemberEpoch::JOIN,
        instance: None,
        client: String::new(),
        topics: Some(vec![name("orders")]),
        assignor: None,
        rebalance_timeout: Duration::from_secs(30),
        owned: None,
        pattern: None,
    };
    server.broker.group_heartbeat(&native).await.unwrap();
    let mut member = Member::new(&server, 3);
    assert_eq!(member.join().await.error_code, 23);
    let request = DescribeGroupsRequest::default().with_groups(vec![group(GROUP)]);
    let mut tool = server.connect();
    let described: DescribeGroupsResponse = tool.ask(ApiKey::DescribeGroups, 6, &request).await;
    assert_eq!(described.groups[0].error_code, 69);
    // Once it is empty it may be of the other kind.
    native.epoch = MemberEpoch::LEAVE;
    server.broker.group_heartbeat(&native).await.unwrap();
    member.id = String::new();
    assert_eq!(member.join().await.error_code, 0);
    native.epoch = MemberEpoch::JOIN;
    let refused = server.broker.group_heartbeat(&native).await;
    assert!(matches!(
        refused,
        Err(ratatoskr_core::Error::Group(
            GroupError::InconsistentProtocol(_)
        ))
    ));
}

#[tokio::test]
async fn a_server_that_shuts_down_lets_go_of_who_waits() {
    let server = Server::with_topic("orders", &[]).await;
    let mut a = Member::new(&server, 3);
    a.join().await;
    let mut b = Member::new(&server, 3);
    b.join_while(&server).await;
}

impl Member {
    /// Joins a group that waits for somebody else, while the server shuts down.
    async fn join_while(&mut self, server: &Server) {
        self.send_join().await;
        let group = GROUP.parse().unwrap();
        loop {
            let described = server.broker.describe_group(&group).await.unwrap();
            if described.members.len() == 2 {
                break;
            }
            tokio::task::yield_now().await;
        }
        server.switch.begin();
        assert_eq!(self.joined().await.error_code, 16);
        self.peer.assert_closed().await;
    }
}
