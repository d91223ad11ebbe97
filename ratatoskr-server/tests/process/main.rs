//! Tests of the real program, as a process of its own: everything that a user, a script or a crash
//! does to it from outside.

mod bench;
mod checks;
mod command;
mod disk_full;
mod examples;
mod failures;
mod groups;
#[cfg(feature = "kafka")]
mod kafka;
mod pipes;
mod queues;
mod server;
mod startup;
mod topics;
