//! `ratatoskr check config`.

use super::Finding;
use crate::{
    cli::{exit::Outcome, node},
    config::{Origin, keys},
};

/// # Errors
/// The first value or name that is wrong.
pub(super) fn check(node: &node::Options) -> Outcome<Vec<Finding>> {
    let loaded = node.load()?;
    let rows = keys().zip(&loaded.values);
    Ok(rows
        .map(|(key, (value, origin))| {
            let detail = match origin {
                Origin::BuiltIn => value.clone(),
                origin => format!("{value} ({origin})"),
            };
            Finding::good(key.name.to_owned(), detail)
        })
        .collect())
}
