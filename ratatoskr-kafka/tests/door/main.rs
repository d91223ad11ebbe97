//! The Kafka door as its clients see it, over a pipe instead of a socket.

mod data;
mod hostile;
mod limits;
mod samples;
mod support;
mod versions;
