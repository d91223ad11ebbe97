//! How this node introduces itself to Kafka clients.

use std::net::SocketAddr;

/// What clients are told of this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The node's number among the brokers.
    pub id: i32,
    /// Names the cluster; the same as long as its data is.
    pub cluster_id: String,
    /// Host and port under which clients reach this node; `None` for the address that each client has
    /// connected to.
    pub advertised: Option<(String, u16)>,
    /// What the data is kept in, as tools show it.
    pub log_dir: String,
}

impl Node {
    /// The only node of a cluster.
    pub fn new(cluster_id: impl Into<String>) -> Self {
        Self {
            id: 1,
            cluster_id: cluster_id.into(),
            advertised: None,
            log_dir: "ratatoskr".to_owned(),
        }
    }

    /// The name of a cluster whose only node was born with these bytes: written as Kafka writes ids.
    pub fn cluster_id_of(bytes: &[u8; 16]) -> String {
        const DIGITS: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let mut bits = u128::from_be_bytes(*bytes);
        // 22 digits of six bits; the last one carries two.
        let mut text = vec![DIGITS[((bits & 0b11) << 4) as usize & 63]];
        bits >>= 2;
        for _ in 0..21 {
            text.push(DIGITS[(bits & 63) as usize]);
            bits >>= 6;
        }
        text.iter().rev().map(|&digit| char::from(digit)).collect()
    }

    /// Where a client is told to connect to, given the address that it has connected to.
    pub(crate) fn address(&self, here: SocketAddr) -> (String, u16) {
        match &self.advertised {
            Some(advertised) => advertised.clone(),
            None => (here.ip().to_canonical().to_string(), here.port()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_written_as_kafka_writes_them() {
        assert_eq!(Node::cluster_id_of(&[0; 16]), "A".repeat(22));
        let bytes = std::array::from_fn(|at| u8::try_from(at).unwrap());
        assert_eq!(Node::cluster_id_of(&bytes), "AAECAwQFBgcICQoLDA0ODw");
        assert_eq!(Node::cluster_id_of(&[255; 16]), "_____________________w");
    }

    #[test]
    fn a_client_is_told_the_address_it_came_to_unless_another_is_set() {
        let mut node = Node::new("c");
        let mapped = "[::ffff:127.0.0.1]:9092".parse().unwrap();
        assert_eq!(node.address(mapped), ("127.0.0.1".into(), 9092));
        node.advertised = Some(("broker.example".into(), 1));
        assert_eq!(node.address(mapped), ("broker.example".into(), 1));
    }
}
