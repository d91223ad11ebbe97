//! Consumer groups: heartbeats, committed offsets, administration.

use ratatoskr_core::{
    Broker,
    groups::{GroupDescription, GroupOffset, GroupSummary, OffsetReset, PartitionLag},
    wire::{
        CommitOffsets, DeleteGroup, DeleteOffsets, DescribeGroup, Done, ErrorBody, FetchOffsets,
        GroupHeartbeat, GroupHeartbeatBody, GroupLag, ListGroups, ResetOffsets,
    },
};

use super::{Command, told};

impl Command for GroupHeartbeat {
    async fn run(self, broker: &Broker) -> Result<GroupHeartbeatBody, ErrorBody> {
        let answer = broker.group_heartbeat(&self.into()).await;
        answer.map(Into::into).map_err(told)
    }
}

impl Command for CommitOffsets {
    async fn run(self, broker: &Broker) -> Result<Done, ErrorBody> {
        let member = self.member.as_ref().map(|(id, epoch)| (id, *epoch));
        let committed = broker.commit_offsets(&self.group, member, &self.offsets);
        committed.await.map_err(told)?;
        Ok(Done {})
    }
}

impl Command for FetchOffsets {
    async fn run(self, broker: &Broker) -> Result<Vec<GroupOffset>, ErrorBody> {
        let fetched = broker.fetch_offsets(&self.group, self.partitions.as_deref());
        fetched.await.map_err(told)
    }
}

impl Command for DeleteOffsets {
    async fn run(self, broker: &Broker) -> Result<Done, ErrorBody> {
        let deleted = broker.delete_offsets(&self.group, &self.partitions);
        deleted.await.map_err(told)?;
        Ok(Done {})
    }
}

impl Command for ListGroups {
    async fn run(self, broker: &Broker) -> Result<Vec<GroupSummary>, ErrorBody> {
        broker.list_groups().await.map_err(told)
    }
}

impl Command for DescribeGroup {
    async fn run(self, broker: &Broker) -> Result<GroupDescription, ErrorBody> {
        broker.describe_group(&self.group).await.map_err(told)
    }
}

impl Command for DeleteGroup {
    async fn run(self, broker: &Broker) -> Result<Done, ErrorBody> {
        broker.delete_group(&self.group).await.map_err(told)?;
        Ok(Done {})
    }
}

impl Command for GroupLag {
    async fn run(self, broker: &Broker) -> Result<Vec<PartitionLag>, ErrorBody> {
        broker.group_lag(&self.group).await.map_err(told)
    }
}

impl Command for ResetOffsets {
    async fn run(self, broker: &Broker) -> Result<Vec<OffsetReset>, ErrorBody> {
        let reset = broker.reset_offsets(&self.group, &self.topics, self.to, self.dry_run);
        reset.await.map_err(told)
    }
}
