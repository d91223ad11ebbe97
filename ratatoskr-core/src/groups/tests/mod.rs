//! The state machine of groups: scenarios as text, and random histories against what must hold.

mod assignments;
mod classic;
mod classic_properties;
mod classic_scenarios;
mod patterns;
mod properties;
mod scenario;
mod scenarios;
mod world;
