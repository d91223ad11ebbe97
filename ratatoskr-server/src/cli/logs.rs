//! Where log lines go: stderr, as text on a terminal and as JSON otherwise.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::EnvFilter;

use crate::{
    cli::exit::{Failure, Outcome},
    config::{LogFormat, Settings},
};

/// Whether the settings and stderr ask for text.
pub(crate) fn are_text(settings: &Settings) -> bool {
    match settings.log_format {
        LogFormat::Text => true,
        LogFormat::Json => false,
        LogFormat::Auto => io::stderr().is_terminal(),
    }
}

/// Sends the log of this process to stderr from now on.
///
/// # Errors
/// The level is not one, or logging was started before.
pub(crate) fn start(settings: &Settings) -> Outcome {
    let wrong =
        |error: &dyn std::fmt::Display| Failure::usage(format!("cannot start the log: {error}"));
    let filter = EnvFilter::try_new(&settings.log_level).map_err(|error| wrong(&error))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    let started = if are_text(settings) {
        let colour = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        builder.with_ansi(colour).with_target(false).try_init()
    } else {
        builder.json().flatten_event(true).try_init()
    };
    started.map_err(|error| wrong(&error))
}
