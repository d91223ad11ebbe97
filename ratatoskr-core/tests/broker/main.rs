//! The broker as its users see it, over a backend and a committer that do as a test tells them.

mod admin;
mod batch_reader;
mod cancel;
mod commit;
mod compaction;
mod dry_run;
mod fan_out;
mod fetch;
mod flush;
mod groups;
mod idempotence;
mod leader_epoch;
mod model;
mod offsets;
mod produce;
mod publish;
mod publisher;
mod queues;
mod retention;
mod run;
mod shutdown;
mod snapshot;
mod stream;
mod subscribe;
mod supervision;
mod support;
