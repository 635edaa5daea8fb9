//! `--health-check`: whether the settings are right and lead to a backend that takes telemetry, said for a person.

use crate::config::Config;
use crate::direct;
use settings::Check;

/// Every check of the settings, and of the backend where telemetry is sent directly. It is asked before the extension is given to
/// a function, with the function's variables.
pub async fn health_check(config: &Config) -> Vec<Check> {
    let warnings =
        config.warnings.iter().map(|warning| Check::warning("settings", warning.to_string()));
    let mistakes =
        config.mistakes.iter().map(|mistake| Check::failed("settings", mistake.to_string()));
    let mut checks: Vec<Check> = warnings.chain(mistakes).collect();
    if config.mistakes.is_empty() {
        checks.push(Check::ok("settings", "every variable can be read"));
    }
    checks.extend(direct::health_check(config).await);
    checks
}
