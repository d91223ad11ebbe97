//! How client verbs reach a broker, and what is told when they do not.

use std::{future::Future, time::Duration};

use ratatoskr_client::{Client, ConnectOptions, Error};
use ratatoskr_core::wire::ErrorCode;

use crate::cli::exit::{Exit, Failure, Outcome};

/// Which broker, and how long to wait for it.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub(crate) struct Options {
    /// Address of the broker
    #[arg(
        long,
        value_name = "HOST:PORT",
        env = "RATATOSKR_SERVER",
        default_value = "127.0.0.1:7660",
        hide_env_values = true,
        global = true
    )]
    server: String,
    /// Give up on an answer after this many seconds
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 10,
        global = true,
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    timeout: u32,
}

impl Options {
    /// Where the broker is.
    pub(crate) fn server(&self) -> &str {
        &self.server
    }

    /// The same for another broker.
    pub(crate) fn to(&self, server: &str) -> Self {
        Self {
            server: server.to_owned(),
            ..self.clone()
        }
    }

    /// How long to wait for an answer.
    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout.into())
    }

    /// Connects.
    ///
    /// # Errors
    /// [`Exit::Unreachable`] where no broker answers there in time.
    pub(crate) async fn connect(&self) -> Outcome<Client> {
        let options = ConnectOptions {
            name: concat!("ratatoskr ", env!("CARGO_PKG_VERSION")).to_owned(),
            connect_timeout: self.timeout(),
            request_timeout: self.timeout(),
            ..ConnectOptions::default()
        };
        let address = format!("ratatoskr://{}", self.server);
        self.ask(Client::connect_with(&address, options)).await
    }

    /// Waits for an answer of the broker; the client gives up when the time is over.
    ///
    /// # Errors
    /// What the client answers, for the one who typed the command.
    pub(crate) async fn ask<T>(
        &self,
        answer: impl Future<Output = Result<T, Error>>,
    ) -> Outcome<T> {
        answer.await.map_err(|error| self.failed(&error))
    }

    /// What an error of the client means to the one who typed the command.
    pub(crate) fn failed(&self, error: &Error) -> Failure {
        match error {
            Error::Broker(error) => Failure::of(error),
            Error::Remote(error) => Failure::of_server(error),
            Error::InvalidAddress { .. } => {
                Failure::usage(format!("--server {}: expected HOST:PORT", self.server))
            }
            Error::Unreachable { reason, .. } => self.unreachable(reason),
            Error::TimedOut { .. } | Error::ConnectionLost { .. } => self.unreachable(error),
            Error::RecordTooLarge { .. } => Failure::new(Exit::Failure, error.to_string())
                .coded(Some(ErrorCode::BatchTooLarge.name()))
                .next("ratatoskr topic alter TOPIC batch_bytes_max=BYTES"),
            Error::Protocol(_) => {
                Failure::new(Exit::Failure, format!("{} is no broker", self.server)).because(error)
            }
            error => Failure::new(Exit::Failure, error.to_string()),
        }
    }

    fn unreachable(&self, why: impl std::fmt::Display) -> Failure {
        Failure::new(
            Exit::Unreachable,
            format!("cannot reach a broker at {}", self.server),
        )
        .because(why)
        .next("ratatoskr serve, or --server HOST:PORT of the one that runs")
    }
}
