//! `--health-check`: checks the settings, and in direct mode the backend.

use crate::config::Config;
use crate::sink;
use settings::Check;

/// Checks the settings and, in direct mode, the backend. It is meant to run with a function's variables before the deployment.
pub async fn health_check(config: &Config) -> Vec<Check> {
    let warnings =
        config.warnings.iter().map(|warning| Check::warning("settings", warning.to_string()));
    let mistakes =
        config.mistakes.iter().map(|mistake| Check::failed("settings", mistake.to_string()));
    let mut checks: Vec<Check> = warnings.chain(mistakes).collect();
    if config.mistakes.is_empty() {
        checks.push(Check::ok("settings", "all variables are valid"));
    }
    checks.extend(sink::health_check(config).await);
    checks
}
