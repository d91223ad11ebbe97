//! A request of every API, in every version, built by another implementation of the protocol.

use kafka_protocol::{
    messages::{
        AlterConfigsRequest, ApiKey, ApiVersionsRequest, BrokerId, CreatePartitionsRequest,
        CreateTopicsRequest, DeleteRecordsRequest, DeleteTopicsRequest, DescribeClusterRequest,
        DescribeConfigsRequest, DescribeLogDirsRequest, FetchRequest,
        IncrementalAlterConfigsRequest, InitProducerIdRequest, ListOffsetsRequest, MetadataRequest,
        OffsetForLeaderEpochRequest, ProduceRequest, TopicName, alter_configs_request as alter,
        create_partitions_request as grow, create_topics_request as create,
        delete_records_request as trim, delete_topics_request as delete,
        describe_configs_request as describe, describe_log_dirs_request as dirs,
        fetch_request as fetch, incremental_alter_configs_request as change,
        list_offsets_request as list, metadata_request as metadata,
        offset_for_leader_epoch_request as epoch, produce_request as produce,
    },
    protocol::StrBytes,
};
use ratatoskr_core::bytes::{Bytes, BytesMut};

use crate::{group_samples, support::encoded};

/// The APIs that this crate is to speak, by the ranges that it advertises.
pub(crate) const SPOKEN: &[(ApiKey, i16, i16)] = &[
    (ApiKey::Produce, 0, 13),
    (ApiKey::Fetch, 4, 18),
    (ApiKey::ListOffsets, 1, 10),
    (ApiKey::Metadata, 0, 13),
    (ApiKey::OffsetCommit, 2, 10),
    (ApiKey::OffsetFetch, 1, 10),
    (ApiKey::FindCoordinator, 0, 6),
    (ApiKey::JoinGroup, 0, 9),
    (ApiKey::Heartbeat, 0, 4),
    (ApiKey::LeaveGroup, 0, 5),
    (ApiKey::SyncGroup, 0, 5),
    (ApiKey::DescribeGroups, 0, 6),
    (ApiKey::ListGroups, 0, 5),
    (ApiKey::ApiVersions, 0, 4),
    (ApiKey::CreateTopics, 2, 7),
    (ApiKey::DeleteTopics, 1, 6),
    (ApiKey::DeleteRecords, 0, 2),
    (ApiKey::InitProducerId, 0, 5),
    (ApiKey::OffsetForLeaderEpoch, 2, 4),
    (ApiKey::DescribeConfigs, 1, 4),
    (ApiKey::AlterConfigs, 0, 2),
    (ApiKey::DescribeLogDirs, 1, 4),
    (ApiKey::CreatePartitions, 0, 3),
    (ApiKey::DeleteGroups, 0, 2),
    (ApiKey::IncrementalAlterConfigs, 0, 1),
    (ApiKey::OffsetDelete, 0, 0),
    (ApiKey::DescribeCluster, 0, 2),
    (ApiKey::ConsumerGroupHeartbeat, 0, 1),
    (ApiKey::ConsumerGroupDescribe, 0, 1),
];

/// Every API with each of its versions, produce from the first one that is taken.
pub(crate) fn all() -> impl Iterator<Item = (ApiKey, i16)> {
    SPOKEN.iter().flat_map(|&(key, min, max)| {
        let min = if key == ApiKey::Produce { 3 } else { min };
        (min..=max).map(move |version| (key, version))
    })
}

pub(crate) fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

pub(crate) fn topic(name: &str) -> TopicName {
    TopicName(text(name))
}

/// The topic that the requests are about.
pub(crate) struct About<'a> {
    pub(crate) topic: &'a str,
    pub(crate) id: [u8; 16],
    /// A batch for it.
    pub(crate) batch: Bytes,
}

impl About<'_> {
    /// The body of a request that is carried out without an error.
    pub(crate) fn request(&self, key: ApiKey, version: i16) -> BytesMut {
        match key {
            ApiKey::Produce => self.produce(version),
            ApiKey::Fetch => self.fetch(version),
            ApiKey::ListOffsets => self.list_offsets(version),
            ApiKey::Metadata => self.metadata(version),
            ApiKey::ApiVersions => {
                let mut request = ApiVersionsRequest::default();
                if version >= 3 {
                    request.client_software_name = text("test");
                    request.client_software_version = text("1");
                }
                encoded(&request, version)
            }
            ApiKey::CreateTopics => self.create_topics(version),
            ApiKey::DeleteTopics => self.delete_topics(version),
            ApiKey::DeleteRecords => {
                let partition = trim::DeleteRecordsPartition::default().with_offset(0);
                let topic = trim::DeleteRecordsTopic::default()
                    .with_name(topic(self.topic))
                    .with_partitions(vec![partition]);
                encoded(
                    &DeleteRecordsRequest::default().with_topics(vec![topic]),
                    version,
                )
            }
            ApiKey::InitProducerId => {
                let request = InitProducerIdRequest::default().with_transactional_id(None);
                encoded(&request, version)
            }
            ApiKey::OffsetForLeaderEpoch => {
                let partition = epoch::OffsetForLeaderPartition::default().with_leader_epoch(0);
                let topic = epoch::OffsetForLeaderTopic::default()
                    .with_topic(topic(self.topic))
                    .with_partitions(vec![partition]);
                let request = OffsetForLeaderEpochRequest::default().with_topics(vec![topic]);
                encoded(&request, version)
            }
            ApiKey::DescribeConfigs => {
                let resource = describe::DescribeConfigsResource::default()
                    .with_resource_type(2)
                    .with_resource_name(text(self.topic))
                    .with_configuration_keys(Some(vec![text("retention.ms")]));
                let request = DescribeConfigsRequest::default()
                    .with_resources(vec![resource])
                    .with_include_synonyms(true)
                    .with_include_documentation(version >= 3);
                encoded(&request, version)
            }
            ApiKey::AlterConfigs => {
                let entry = alter::AlterableConfig::default()
                    .with_name(text("retention.ms"))
                    .with_value(Some(text("-1")));
                let resource = alter::AlterConfigsResource::default()
                    .with_resource_type(2)
                    .with_resource_name(text(self.topic))
                    .with_configs(vec![entry]);
                encoded(
                    &AlterConfigsRequest::default().with_resources(vec![resource]),
                    version,
                )
            }
            ApiKey::IncrementalAlterConfigs => {
                let entry = change::AlterableConfig::default()
                    .with_name(text("retention.ms"))
                    .with_value(Some(text("-1")));
                let resource = change::AlterConfigsResource::default()
                    .with_resource_type(2)
                    .with_resource_name(text(self.topic))
                    .with_configs(vec![entry]);
                let request =
                    IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
                encoded(&request, version)
            }
            ApiKey::DescribeLogDirs => {
                let topic = dirs::DescribableLogDirTopic::default()
                    .with_topic(topic(self.topic))
                    .with_partitions(vec![0]);
                encoded(
                    &DescribeLogDirsRequest::default().with_topics(Some(vec![topic])),
                    version,
                )
            }
            ApiKey::CreatePartitions => self.create_partitions(version),
            ApiKey::DescribeCluster => encoded(&DescribeClusterRequest::default(), version),
            other => group_samples::request(self, other, version),
        }
    }

    fn produce(&self, version: i16) -> BytesMut {
        let partition =
            produce::PartitionProduceData::default().with_records(Some(self.batch.clone()));
        let mut data = produce::TopicProduceData::default().with_partition_data(vec![partition]);
        if version >= 13 {
            data.topic_id = uuid::Uuid::from_bytes(self.id);
        } else {
            data.name = topic(self.topic);
        }
        let request = ProduceRequest::default()
            .with_transactional_id(None)
            .with_acks(-1)
            .with_timeout_ms(1_000)
            .with_topic_data(vec![data]);
        encoded(&request, version)
    }

    fn fetch(&self, version: i16) -> BytesMut {
        let partition = fetch::FetchPartition::default()
            .with_fetch_offset(0)
            .with_partition_max_bytes(1 << 20);
        let mut wanted = fetch::FetchTopic::default().with_partitions(vec![partition]);
        if version >= 13 {
            wanted.topic_id = uuid::Uuid::from_bytes(self.id);
        } else {
            wanted.topic = topic(self.topic);
        }
        let mut request = FetchRequest::default()
            .with_max_wait_ms(0)
            .with_min_bytes(1)
            .with_max_bytes(1 << 20)
            .with_topics(vec![wanted]);
        if version >= 7 {
            let mut forgotten = fetch::ForgottenTopic::default().with_partitions(vec![3]);
            if version >= 13 {
                forgotten.topic_id = uuid::Uuid::from_bytes(self.id);
            } else {
                forgotten.topic = topic(self.topic);
            }
            request.forgotten_topics_data = vec![forgotten];
            request.session_epoch = -1;
        }
        if version >= 11 {
            request.rack_id = text("rack");
        }
        encoded(&request, version)
    }

    fn list_offsets(&self, version: i16) -> BytesMut {
        let partition = list::ListOffsetsPartition::default().with_timestamp(-1);
        let topic = list::ListOffsetsTopic::default()
            .with_name(topic(self.topic))
            .with_partitions(vec![partition]);
        let request = ListOffsetsRequest::default()
            .with_replica_id(BrokerId(-1))
            .with_topics(vec![topic]);
        encoded(&request, version)
    }

    fn metadata(&self, version: i16) -> BytesMut {
        let wanted = metadata::MetadataRequestTopic::default().with_name(Some(topic(self.topic)));
        let mut request = MetadataRequest::default().with_topics(Some(vec![wanted]));
        request.allow_auto_topic_creation = true;
        request.include_topic_authorized_operations = version >= 8;
        request.include_cluster_authorized_operations = (8..=10).contains(&version);
        encoded(&request, version)
    }

    fn create_topics(&self, version: i16) -> BytesMut {
        let entry = create::CreatableTopicConfig::default()
            .with_name(text("retention.ms"))
            .with_value(Some(text("60000")));
        let new = create::CreatableTopic::default()
            .with_name(topic(&format!("{}-created-{version}", self.topic)))
            .with_num_partitions(2)
            .with_replication_factor(1)
            .with_configs(vec![entry]);
        encoded(
            &CreateTopicsRequest::default().with_topics(vec![new]),
            version,
        )
    }

    fn delete_topics(&self, version: i16) -> BytesMut {
        let doomed = topic(&format!("{}-doomed-{version}", self.topic));
        let request = if version >= 6 {
            let state = delete::DeleteTopicState::default().with_name(Some(doomed));
            DeleteTopicsRequest::default().with_topics(vec![state])
        } else {
            DeleteTopicsRequest::default().with_topic_names(vec![doomed])
        };
        encoded(&request, version)
    }

    fn create_partitions(&self, version: i16) -> BytesMut {
        let assignment =
            grow::CreatePartitionsAssignment::default().with_broker_ids(vec![BrokerId(1)]);
        let growth = grow::CreatePartitionsTopic::default()
            .with_name(topic(self.topic))
            .with_count(2)
            .with_assignments(Some(vec![assignment]));
        let request = CreatePartitionsRequest::default()
            .with_topics(vec![growth])
            .with_validate_only(true);
        encoded(&request, version)
    }
}
