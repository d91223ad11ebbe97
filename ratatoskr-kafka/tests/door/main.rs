//! The Kafka door as its clients see it, over a pipe instead of a socket.

mod corpus;
mod data;
mod group_samples;
mod groups;
mod hostile;
mod hostile_members;
mod limits;
mod managed_groups;
mod offsets;
mod samples;
mod support;
mod versions;

/// Knows how much was in use at most.
#[global_allocator]
static ALLOCATOR: peak_alloc::PeakAlloc = peak_alloc::PeakAlloc;
