//! The client's tests. Those of `shared_tests!` run twice: against a broker in this process, and
//! over TCP against a server on a port of the system's choice.

mod fixture;

mod batches;
mod consuming;
mod groups;
mod producing;
mod proxy;
mod queues;
mod reconnect;
mod topics;
