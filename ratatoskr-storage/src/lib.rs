//! Storage backends of the Ratatoskr message broker.

pub mod io;
