//! One node of Apache Kafka: broker and controller in one process, its topics not replicated.

use std::{fs, path::Path};

use anyhow::{Result, bail};

use super::Jars;
use crate::{
    program::printed,
    server::{Server, free_port},
};

/// Any will do: nobody else joins.
const CLUSTER: &str = "AAAAAAAAAAAAAAAAAAAAAA";

impl Jars {
    /// Starts a node with its data in this directory.
    ///
    /// # Errors
    /// Kafka has no such durability, or does not come up.
    pub(crate) async fn start(&self, data: &Path, durability: &str) -> Result<Server> {
        let flush = flush(durability)?;
        let (port, controller) = (free_port()?, free_port()?);
        let file = data.join("server.properties");
        fs::write(
            &file,
            configuration(port, controller, &data.join("log"), flush),
        )?;
        let mut format = self.java("kafka.tools.StorageTool");
        format.args(["format", "--cluster-id", CLUSTER, "--config"]);
        printed(format.arg(&file)).await?;
        let mut broker = self.java("kafka.Kafka");
        broker.arg(&file);
        Server::other(broker, port).await
    }
}

/// When the log is synced. By default Kafka leaves that to the operating system; with an interval of
/// one record it syncs within each append, before the batch is acknowledged.
fn flush(durability: &str) -> Result<&'static str> {
    match durability {
        "os" => Ok(""),
        "fsync" => Ok("log.flush.interval.messages=1\n"),
        other => bail!("Apache Kafka is not measured with durability {other}"),
    }
}

/// What differs from Kafka's defaults: addresses, no replicas, and a group that starts to read as soon
/// as its first member is there, as in the configuration that Kafka's archive comes with.
fn configuration(port: u16, controller: u16, log: &Path, flush: &str) -> String {
    format!(
        "process.roles=broker,controller\n\
         node.id=1\n\
         listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:{port}\n\
         controller.listener.names=CONTROLLER\n\
         controller.quorum.voters=1@127.0.0.1:{controller}\n\
         log.dirs={}\n\
         offsets.topic.replication.factor=1\n\
         transaction.state.log.replication.factor=1\n\
         transaction.state.log.min.isr=1\n\
         group.initial.rebalance.delay.ms=0\n\
         {flush}",
        log.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durability_means_the_same_on_both_sides() {
        let configured = |durability| {
            let flush = flush(durability).unwrap();
            configuration(1, 2, Path::new("/data"), flush)
        };
        assert!(!configured("os").contains("log.flush"));
        assert!(configured("fsync").ends_with("\nlog.flush.interval.messages=1\n"));
        assert!(flush("memory").is_err() && flush("interval").is_err());
    }
}
