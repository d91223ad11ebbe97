//! The main job on real input: log files go in line by line and come out byte for byte, in order,
//! through every door, over every backend, with every compression, and after a restart.
//!
//! A door is told how to send and how to read; [`check::check`] does the rest, the same for all.

mod backend;
mod check;
mod client;
mod command_line;
mod corpus;
mod door;
mod in_process;
mod kept;
