//! Any request, to a broker of its own.

#![no_main]

#[path = "../entry.rs"]
mod entry;

libfuzzer_sys::fuzz_target!(|request: &[u8]| entry::request(request));
