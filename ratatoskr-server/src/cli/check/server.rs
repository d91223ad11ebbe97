//! `ratatoskr check server`: does the broker answer, and is anything of it down? Fit for a
//! container's health check.

use tokio::time::Instant;

use super::Finding;
use crate::cli::{connection, exit::Outcome};

/// # Errors
/// Nobody answers.
pub(super) async fn check(at: &connection::Options) -> Outcome<Vec<Finding>> {
    let start = Instant::now();
    let client = at.connect().await?;
    let stats = at.ask(client.stats()).await?;
    let answered = format!(
        "{} answered within {:.1} ms",
        at.server(),
        start.elapsed().as_secs_f64() * 1e3
    );
    let mut findings = vec![Finding::good("server".to_owned(), answered)];
    findings.extend(
        stats
            .problems
            .into_iter()
            .map(|problem| Finding::bad(problem.subject, problem.reason)),
    );
    Ok(findings)
}
