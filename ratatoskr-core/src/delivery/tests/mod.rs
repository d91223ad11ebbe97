//! The state machine by scenarios, against a model, and on the scales.

mod bench;
mod memory;
mod model;
mod scenarios;
mod script;
