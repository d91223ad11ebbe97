//! Apache Kafka: its broker as a peer, and its own perf tools, which measure both sides.
//!
//! ```text
//! mod      jars, fetched by Maven; one repetition of a point: the tools against us, then against Kafka
//! ├ broker  one node of Kafka, with the durability of the row
//! └ tools   ProducerPerformance and ConsumerPerformance: their words, and what they print
//! ```

mod broker;
mod tools;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::{
    measure::{Bench, Sample},
    peer::{Peer, run},
    program::printed,
    row::{Series, Values},
    server::{Doors, Server},
    warm,
};

pub(crate) use tools::Load;

/// What is to be fetched.
const NEEDED: &str = include_str!("../../../../peers/kafka/pom.xml");
/// What Kafka's start scripts tell the virtual machine, and a heap that leaves memory to the page
/// cache. The tools print numbers as the language has them.
const MACHINE: [&str; 8] = [
    "-Xmx512m",
    "-server",
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    "-XX:InitiatingHeapOccupancyPercent=35",
    "-XX:+ExplicitGCInvokesConcurrent",
    "-Djava.awt.headless=true",
    "-Duser.language=en",
];

/// The jars of Apache Kafka: broker, administration and perf tools of one version.
#[derive(Clone, Debug)]
pub(crate) struct Jars {
    directory: PathBuf,
}

impl Jars {
    /// Has Maven fetch the jars into this directory, unless it did so before for the same list.
    ///
    /// # Errors
    /// There is no Maven here, or it cannot fetch them.
    pub(crate) async fn install(directory: &Path) -> Result<Self> {
        let jars = Self {
            directory: directory.join("lib"),
        };
        let done = directory.join("installed");
        if fs::read_to_string(&done).is_ok_and(|installed| installed == NEEDED) {
            return Ok(jars);
        }
        // A jar of another version must not stay on the class path.
        if directory.exists() {
            fs::remove_dir_all(directory).context("what was installed before")?;
        }
        fs::create_dir_all(directory)?;
        fs::write(directory.join("pom.xml"), NEEDED)?;
        let mut maven = Command::new("mvn");
        maven
            .current_dir(directory)
            .args(["-Dstyle.color=never", "--quiet", "--batch-mode"])
            .args(["dependency:copy-dependencies", "-DoutputDirectory=lib"]);
        let fetched = run(&mut maven).await;
        fetched.context("Maven (`mvn` on the path) is needed to fetch Apache Kafka")?;
        fs::write(done, NEEDED)?;
        Ok(jars)
    }

    /// What Kafka says of its version, which shows that there is a Java that runs it.
    ///
    /// # Errors
    /// There is none, or it is too old.
    pub(crate) async fn version(&self) -> Result<String> {
        let said = printed(self.java("kafka.Kafka").arg("--version")).await;
        let said =
            said.context("Java 17 or later (`java` on the path) is needed to run Apache Kafka")?;
        Ok(said.trim().to_owned())
    }

    /// A process of this class.
    fn java(&self, class: &str) -> Command {
        let mut command = Command::new("java");
        command
            .args(MACHINE)
            .arg("-cp")
            .arg(self.directory.join("*"))
            .arg(class);
        command
    }
}

/// One repetition of a point by Kafka's tools: against this broker, and right after it against Kafka.
///
/// # Errors
/// A server or a tool fails, or what was read is not as much as was sent.
pub(crate) async fn sample(
    bench: &Bench,
    series: &Series,
    line: &str,
    values: Values,
) -> Result<Sample> {
    let load = Load::parse(&values.words(line))?;
    let (kafka, jars) = bench.kafka().context("Apache Kafka is not there")?;
    let data = bench.data()?;
    warm::page_cache(&bench.directory, bench.quick)?;
    let program = bench.programs.path("ratatoskr");
    let doors = Doors::NativeAndKafka;
    let server = Server::ratatoskr(&program, data.path(), &series.settings, doors).await?;
    // Kafka's administration refuses a setting that Kafka does not have.
    let created = load.our_topic(&series.durability);
    bench
        .programs
        .ratatoskr(&created, Some(&server.address))
        .await?;
    let address = server.kafka.clone();
    let address = address.context("the broker serves Kafka's clients")?;
    let ours = measured(jars, &load, server, &address).await?;
    // Its disk space is for the other one.
    drop(data);
    let data = bench.data()?;
    warm::page_cache(&bench.directory, bench.quick)?;
    let server = kafka.start(data.path(), &series.durability).await?;
    let address = server.address.clone();
    let theirs = async {
        jars.create_topic(&load, &address).await?;
        measured(jars, &load, server, &address).await
    };
    let theirs = theirs.await.context("peer Kafka")?;
    Ok(Sample {
        ours_by_peer_client: Some(ours.clone()),
        ours,
        peers: [(Peer::Kafka, theirs)].into(),
        ..Sample::default()
    })
}

/// What the tools say of a server, and what it took meanwhile. On a machine with few processors the
/// tools take most of them, and rates say less of a broker than its own processor time does.
async fn measured(jars: &Jars, load: &Load, server: Server, address: &str) -> Result<Value> {
    let before = server.processor_seconds()?;
    let mut answer = jars.run(load, address).await?;
    let used = server.processor_seconds()? - before;
    answer["server"] = json!({
        "resident_bytes": server.resident_bytes()?,
        "processor_ms": used * 1e3,
    });
    server.kill().await?;
    Ok(answer)
}
