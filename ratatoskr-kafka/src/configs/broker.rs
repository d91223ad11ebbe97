//! The node's configuration under Kafka's names. None of it can be changed while it runs.

use ratatoskr_core::config::TopicConfig;

use super::{Entry, Kind, Source, topic};
use crate::session::Session;

/// Every entry.
pub(crate) fn entries(session: &Session) -> Vec<Entry> {
    let config = session.broker().config();
    let node = session.node();
    let (host, port) = node.address(session.here);
    let listener = format!("PLAINTEXT://{host}:{port}");
    let here = |name, kind, value: &dyn ToString, about| Entry {
        name,
        value: value.to_string(),
        kind,
        source: Source::Node,
        is_fixed: true,
        synonyms: vec![(name, value.to_string(), Source::Node)],
        about,
    };
    #[rustfmt::skip]
    let mut entries = vec![
        here("advertised.listeners", Kind::String, &listener, "Where clients are told to connect."),
        here("auto.create.topics.enable", Kind::Boolean, &config.auto_create_topics, "Whether a topic is created when it is first named."),
        here("broker.id", Kind::Int, &node.id, "The node's number."),
        here("default.replication.factor", Kind::Int, &1, "There is one replica."),
        here("delete.topic.enable", Kind::Boolean, &true, "Whether topics can be deleted."),
        here("listeners", Kind::String, &format!("PLAINTEXT://{}", session.here), "Where the node listens."),
        here("log.dirs", Kind::String, &node.log_dir, "Where the data is kept."),
        here("node.id", Kind::Int, &node.id, "The node's number."),
        here("num.partitions", Kind::Int, &config.partitions_default, "Partitions of a topic for which nobody said how many."),
        here("transaction.max.timeout.ms", Kind::Int, &900_000, "Transactions are not there yet."),
    ];
    // What topics have by default goes by other names here.
    let default = session.topic_default();
    entries.extend(topic_defaults(&default));
    entries.sort_by_key(|entry| entry.name);
    entries
}

fn topic_defaults(default: &TopicConfig) -> impl Iterator<Item = Entry> {
    let entries = topic::entries(default, default).into_iter();
    entries.filter_map(|entry| {
        let (name, value, source) = entry.synonyms.into_iter().last()?;
        (source == Source::Default).then(|| Entry {
            name,
            synonyms: vec![(name, value.clone(), source)],
            value,
            source,
            is_fixed: true,
            ..entry
        })
    })
}
