//! Settings as `NAME=VALUE` on the command line.

use ratatoskr_core::config::InvalidConfig;

use super::exit::{Failure, Outcome};

/// Hands each setting to `set`, in their order; the last word counts where a name stands twice.
///
/// # Errors
/// [`Exit::Usage`](super::exit::Exit::Usage) for an unknown name, with the nearest of the `known`
/// ones, or for a value that cannot be.
pub(crate) fn each(
    settings: &[String],
    known: &[&'static str],
    mut set: impl FnMut(&str, &str) -> Result<(), InvalidConfig>,
) -> Outcome {
    for setting in settings {
        let (name, value) = setting
            .split_once('=')
            .ok_or_else(|| Failure::usage(format!("{setting:?}: expected NAME=VALUE")))?;
        set(name, value).map_err(|error| {
            let nearest = known
                .iter()
                .map(|known| (strsim::jaro_winkler(known, name), known))
                .max_by(|a, b| a.0.total_cmp(&b.0))
                .filter(|_| !known.contains(&name));
            let failure = Failure::usage(error.to_string());
            match nearest {
                Some((_, known)) => failure.next(format!("did you mean `{known}`?")),
                None => failure,
            }
        })?;
    }
    Ok(())
}
