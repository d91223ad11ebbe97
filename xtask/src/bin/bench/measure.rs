//! One point: prepared, warmed, measured as often as asked, its floors and peers right beside it.

use std::{
    cell::Cell,
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    kafka::{self, Jars},
    peer::{Installed, Peer},
    program::{Programs, number},
    row::{FloorTerm, Restart, Series, Values},
    server::{Doors, Server},
    warm,
};

/// How long a floor is measured beside each repetition.
const FLOOR_TIME: Duration = Duration::from_millis(800);
const FLOOR_TIME_QUICK: Duration = Duration::from_millis(300);
/// What the common client calls this broker.
const US: &str = "ratatoskr";

/// What it takes to measure.
#[derive(Debug)]
pub(crate) struct Bench {
    /// What does the work.
    pub(crate) programs: Programs,
    /// Where servers keep their data.
    pub(crate) directory: PathBuf,
    /// Who is measured beside.
    pub(crate) peers: Vec<Installed>,
    /// Whether little time is to be spent.
    pub(crate) quick: bool,
    /// How long each load runs.
    pub(crate) seconds: u32,
    /// How often each point is measured.
    pub(crate) repetitions: usize,
}

/// What one repetition of a point brought.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sample {
    /// The answer of the load, with what was seen of the server.
    pub(crate) ours: Value,
    /// The floor of each figure of the series, where it has one.
    pub(crate) floors: Vec<Option<f64>>,
    /// What the common client, or Kafka's tools, said of this broker; `None` without peers.
    pub(crate) ours_by_peer_client: Option<Value>,
    /// What it said of them.
    pub(crate) peers: BTreeMap<Peer, Value>,
}

impl Bench {
    /// Whether what the series needs is there.
    pub(crate) fn can(&self, series: &Series) -> bool {
        series.kafka_tools.is_none() || self.kafka().is_some()
    }

    /// Apache Kafka, with its tools.
    pub(crate) fn kafka(&self) -> Option<(&Installed, &Jars)> {
        let mut peers = self.peers.iter();
        peers.find_map(|installed| Some((installed, installed.kafka()?)))
    }

    /// Measures a point.
    ///
    /// # Errors
    /// A server or a program fails, or a record is lost.
    pub(crate) async fn point(&self, series: &Series, x: u32) -> Result<Vec<Sample>> {
        let values = Values {
            x,
            seconds: self.seconds,
            highest: 0,
        };
        warm::memory();
        let mut samples = Vec::new();
        for _ in 0..self.repetitions {
            samples.push(self.sample(series, values).await?);
        }
        Ok(samples)
    }

    async fn sample(&self, series: &Series, values: Values) -> Result<Sample> {
        if let Some(line) = &series.kafka_tools {
            return kafka::sample(self, series, line, values).await;
        }
        let mut sample = Sample::default();
        for figure in &series.figures {
            let floor = self.floor(&figure.floor, values).await?;
            sample.floors.push(floor);
        }
        warm::page_cache(&self.directory, self.quick)?;
        let program = self.programs.path("ratatoskr");
        sample.ours = self.ours(series, values, &program).await?;
        let common = |installed: &&Installed| installed.peer().has_common_client();
        let peers: Vec<_> = self.peers.iter().filter(common).collect();
        let Some(line) = series.peer.as_ref().filter(|_| !peers.is_empty()) else {
            return Ok(sample);
        };
        let words = |durability: &str| {
            let mut words = values.words(line);
            words.extend(["--durability".to_owned(), durability.to_owned()]);
            words
        };
        let data = self.data()?;
        warm::page_cache(&self.directory, self.quick)?;
        let server =
            Server::ratatoskr(&program, data.path(), &series.settings, Doors::Native).await?;
        let answer = self
            .programs
            .peer(US, &words(&series.durability), &server.address)
            .await?;
        sample.ours_by_peer_client = Some(answer);
        drop(server);
        for installed in peers {
            let peer = installed.peer();
            let own = series.peer_durability.get(&peer);
            let durability = own.unwrap_or(&series.durability);
            let data = self.data()?;
            warm::page_cache(&self.directory, self.quick)?;
            let server = installed.start(data.path(), durability).await?;
            let (target, words) = (peer.word(), words(durability));
            let answer = self.programs.peer(target, &words, &server.address).await;
            let answer = answer.with_context(|| format!("peer {peer}"))?;
            sample.peers.insert(peer, answer);
            server.kill().await?;
        }
        Ok(sample)
    }

    /// The sum of floors; `None` of none.
    async fn floor(&self, terms: &[FloorTerm], values: Values) -> Result<Option<f64>> {
        let time = if self.quick {
            FLOOR_TIME_QUICK
        } else {
            FLOOR_TIME
        };
        let mut sum = None;
        for term in terms {
            let words = values.words(&term.run);
            let row = self.programs.floor(&words, &self.directory, time).await?;
            let figure = &row["figures"][&term.figure]["median"];
            let figure = figure
                .as_f64()
                .with_context(|| format!("`{}` has no {}", term.run, term.figure))?;
            sum = Some(sum.unwrap_or(0.0) + figure);
        }
        Ok(sum)
    }

    /// The load against a server of this program, or in process.
    ///
    /// # Errors
    /// See [`Self::point`].
    pub(crate) async fn ours(
        &self,
        series: &Series,
        values: Values,
        program: &Path,
    ) -> Result<Value> {
        if !series.serve {
            let load = series.load.as_ref().context("nothing to run")?;
            return self.programs.ratatoskr(&values.words(load), None).await;
        }
        let data = self.data()?;
        let start = || Server::ratatoskr(program, data.path(), &series.settings, Doors::Native);
        let mut server = start().await?;
        let mut values = values;
        let mut prepared_bytes = 0.0;
        for line in &series.prepare {
            let answer = self.ask(line, values, &server).await?;
            prepared_bytes += number(&answer, "bytes").unwrap_or(0.0);
        }
        if let Some(probe) = &series.probe {
            let rate = number(
                &self.ask(probe, values, &server).await?,
                "records_per_second",
            );
            values.highest = whole(rate.context("the probe has no rate")?)?;
        }
        if let Some(restart) = series.restart {
            match restart {
                Restart::Stop => server.stop().await?,
                Restart::Kill => server.kill().await?,
            }
            warm::drop_cached(data.path())?;
            server = start().await?;
        }
        let alone = match &series.beside {
            Some(beside) => self.ask(beside, values, &server).await?,
            None => Value::Null,
        };
        let before = server.resident_bytes()?;
        let (mut answer, beside) = self.load(series, values, &server).await?;
        let first_acknowledgement = server.started.elapsed();
        let resident = server.resident_bytes()?;
        if !answer.is_object() {
            answer = json!({});
        }
        answer["server"] = json!({
            "ready_ms": server.ready_after.as_secs_f64() * 1e3,
            "prepared_bytes_per_second": prepared_bytes / server.ready_after.as_secs_f64(),
            "first_acknowledgement_ms": first_acknowledgement.as_secs_f64() * 1e3,
            "resident_before_bytes": before,
            "resident_bytes": resident,
            "grown_bytes_per_x": (resident - before) / f64::from(values.x),
        });
        if let Some(mut beside) = beside {
            let p99 = |answer: &Value| number(answer, "latency_us.p99");
            beside["p99_ratio"] = json!(p99(&beside).zip(p99(&alone)).map(|(b, a)| b / a));
            answer["beside"] = beside;
            answer["alone"] = alone;
        }
        Ok(answer)
    }

    /// The load, and what ran beside it. As long as that runs, the load is repeated; the answer is
    /// that of its first run.
    async fn load(
        &self,
        series: &Series,
        values: Values,
        server: &Server,
    ) -> Result<(Value, Option<Value>)> {
        let Some(load) = &series.load else {
            return Ok((json!({}), None));
        };
        let Some(beside) = &series.beside else {
            return Ok((self.ask(load, values, server).await?, None));
        };
        let words = values.words(load);
        let load = || async {
            let (programs, server) = (&self.programs, Some(server.address.as_str()));
            if series.load_elsewhere {
                programs.ratatoskr_elsewhere(&words, server).await
            } else {
                programs.ratatoskr(&words, server).await
            }
        };
        let over = Cell::new(false);
        let beside = async {
            let answer = self.ask(beside, values, server).await;
            over.set(true);
            answer
        };
        let loads = async {
            let first = load().await?;
            while !over.get() {
                load().await?;
            }
            Ok(first)
        };
        let (answer, beside) = tokio::try_join!(loads, beside)?;
        Ok((answer, Some(beside)))
    }

    async fn ask(&self, line: &str, values: Values, server: &Server) -> Result<Value> {
        let words = values.words(line);
        self.programs.ratatoskr(&words, Some(&server.address)).await
    }

    /// A directory for the data of a server, gone with what is returned.
    ///
    /// # Errors
    /// It cannot be made.
    pub(crate) fn data(&self) -> Result<TempDir> {
        tempfile::Builder::new()
            .prefix("data-")
            .tempdir_in(&self.directory)
            .context("a directory for data")
    }
}

/// A rate in whole records a second.
fn whole(rate: f64) -> Result<u32> {
    ensure!(rate >= 2.0, "a rate of {rate} cannot be halved");
    // Rates have no more digits than this, and no broker is this fast.
    let text = format!("{:.0}", rate.min(f64::from(u32::MAX)).floor());
    text.parse().context("a rate is a number")
}

#[cfg(test)]
mod tests {
    use super::whole;

    #[test]
    fn a_rate_is_a_number_of_records() {
        assert_eq!(whole(101_000.6).unwrap(), 101_000);
        assert_eq!(whole(1e12).unwrap(), u32::MAX);
        assert!(whole(0.0).is_err() && whole(f64::NAN).is_err());
    }
}
