//! The broker as its users see it, over a backend and a committer that do as a test tells them.

mod admin;
mod fetch;
mod produce;
mod publish;
mod stream;
mod subscribe;
#[expect(dead_code, reason = "further tests use the rest")]
mod support;
