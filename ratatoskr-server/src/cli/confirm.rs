//! Asking before something is destroyed.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use crate::cli::exit::{Exit, Failure, Outcome};

/// Lets the user type `name` before `what` is done, unless `yes` says it already.
///
/// # Errors
/// [`Exit::Usage`] where nobody is there to ask, [`Exit::Interrupted`] where the answer is another.
pub(crate) fn confirm(yes: bool, what: &str, name: &str) -> Outcome {
    if yes {
        return Ok(());
    }
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        return Err(Failure::usage(format!(
            "{what} cannot be undone, and nobody is there to ask"
        ))
        .next("the same command with -y"));
    }
    eprint!("{what} cannot be undone. Type {name} to go on: ");
    let mut answer = String::new();
    io::stderr().flush()?;
    stdin.lock().read_line(&mut answer)?;
    if answer.trim_end_matches(['\r', '\n']) == name {
        Ok(())
    } else {
        Err(Failure::new(Exit::Interrupted, "nothing was changed"))
    }
}
