//! The native door, spoken to frame by frame.

mod brokers;
mod raw;

mod drain;
mod frames;
mod groups;
mod hello;
mod limits;
mod order;
mod queues;
mod subscriptions;
