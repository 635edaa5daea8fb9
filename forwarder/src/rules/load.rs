//! Reloads the rules regularly, and keeps the last valid version in force.

use super::mistake::Mistakes;
use super::{MAX_BYTES, RuleSet};
use aws::FreezeAwareInstant;
use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RulesSource {
    File(PathBuf),
    Parameter(String),
}

impl RulesSource {
    /// Parses `ssm:NAME`, or a path relative to `package` (`LAMBDA_TASK_ROOT`, else the current folder).
    pub fn parse(text: &str, package: Option<&str>) -> Self {
        match text.trim().strip_prefix("ssm:") {
            Some(name) => Self::Parameter(name.to_owned()),
            None => Self::File(Path::new(package.unwrap_or("")).join(text.trim())),
        }
    }

    /// Reads the text. `parameter` reads a parameter of Systems Manager by name.
    pub(crate) async fn read(
        &self,
        parameter: impl AsyncFnOnce(String) -> Result<String, RulesError>,
    ) -> Result<String, RulesError> {
        match self {
            Self::File(path) => {
                let problem = |error| RulesError(format!("cannot read the file: {error}"));
                read_file(path).map_err(problem)
            }
            Self::Parameter(name) => parameter(name.clone()).await,
        }
    }
}

impl fmt::Display for RulesSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Parameter(name) => write!(f, "ssm:{name}"),
        }
    }
}

/// Why rules are not in force: they are unreadable or invalid, or no client can be created for one of their destinations.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct RulesError(pub(crate) String);

impl From<Mistakes> for RulesError {
    fn from(mistakes: Mistakes) -> Self {
        Self(mistakes.to_string())
    }
}

const LIFETIME: Duration = Duration::from_mins(1);

/// Rules that are not in force yet.
#[derive(Debug)]
pub(crate) struct NewRules {
    pub(crate) rules: RuleSet,
    /// A hash of their text.
    pub(crate) version: u64,
}

/// Reads the rules again after their lifetime.
#[derive(Debug)]
pub(crate) struct LiveRules {
    pub(crate) source: RulesSource,
    /// The time of the last check. Without rules in force each invocation checks, because the forwarder delivers nothing.
    checked_at: Option<FreezeAwareInstant>,
    /// A hash of the text in force.
    version: Option<u64>,
}

impl LiveRules {
    pub(crate) fn new(source: RulesSource) -> Self {
        Self { source, checked_at: None, version: None }
    }

    /// Returns `true` if any rules are in force.
    pub(crate) fn are_in_force(&self) -> bool {
        self.version.is_some()
    }

    /// Notes that the rules of this version are in force.
    pub(crate) fn note_in_force(&mut self, version: u64, now: FreezeAwareInstant) {
        self.version = Some(version);
        self.checked_at = Some(now);
    }

    /// Reads the rules if it is time. Returns `None` if they have not changed. `parameter` reads a parameter of Systems Manager by
    /// name.
    pub(crate) async fn read_new(
        &mut self,
        now: FreezeAwareInstant,
        parameter: impl AsyncFnOnce(String) -> Result<String, RulesError>,
    ) -> Result<Option<NewRules>, RulesError> {
        if self.checked_at.is_some_and(|checked_at| !checked_at.is_over(LIFETIME, now)) {
            return Ok(None);
        }
        self.checked_at = self.version.map(|_| now);
        let text = self.source.read(parameter).await?;
        let version = version(&text);
        if self.version == Some(version) {
            return Ok(None);
        }
        Ok(Some(NewRules { rules: RuleSet::parse(&text)?, version }))
    }
}

fn version(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// Reads one byte more than allowed, so that the parser reports the size.
fn read_file(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    let limit = u64::try_from(MAX_BYTES).unwrap_or(u64::MAX) + 1;
    std::fs::File::open(path)?.take(limit).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::UNIX_EPOCH;

    const GOOD: &str = "[[rule]]\nname = \"all\"\ndrop = true\n";
    const BETTER: &str = "[[rule]]\nname = \"none\"\nkeep = true\n";
    const WRONG: &str = "[[rule]]\nname = \"all\"\ndorp = true\n";

    #[tokio::test]
    async fn a_new_version_is_returned_once_and_a_problem_at_each_check() {
        let mut live = LiveRules::new(RulesSource::parse("ssm:/lambda-otlp/rules", None));
        let mut now = UNIX_EPOCH;
        let denied = Err("access denied");
        // Checks after this time, which may include a freeze, and expects the names of new rules, or the problem.
        let mut check = async |seconds, text: Result<&str, &str>, expected: &str| {
            now += Duration::from_secs(seconds);
            let at = FreezeAwareInstant::now(now);
            let read = async |name: String| {
                assert_eq!(name, "/lambda-otlp/rules");
                text.map(str::to_owned).map_err(|why| RulesError(why.to_owned()))
            };
            let found = match live.read_new(at, read).await {
                Ok(Some(new)) => {
                    live.note_in_force(new.version, at);
                    new.rules.rule_names().collect()
                }
                Ok(None) => String::new(),
                Err(problem) => problem.to_string(),
            };
            assert!(
                found.starts_with(expected) && found.is_empty() == expected.is_empty(),
                "{found}"
            );
        };
        // Before a valid version, each invocation looks.
        check(0, denied, "access denied").await;
        check(0, denied, "access denied").await;
        check(0, Ok(WRONG), "3:1: rule: unknown field `dorp`").await;
        check(0, Ok(GOOD), "all").await;
        check(59, Ok(BETTER), "").await;
        check(1, Ok(WRONG), "3:1: rule: unknown field `dorp`").await;
        check(59, Ok(BETTER), "").await;
        check(1, Ok(BETTER), "none").await;
        check(60, denied, "access denied").await;
        check(60, Ok(BETTER), "").await;
    }

    #[test]
    fn a_rules_source_is_a_file_path_or_an_ssm_parameter() {
        let check = |text: &str, package: Option<&str>, expected: &str| {
            assert_eq!(RulesSource::parse(text, package).to_string(), expected, "{text}");
        };
        check("rules.toml", None, "rules.toml");
        check("rules.toml", Some("/var/task"), "/var/task/rules.toml");
        check("/opt/rules.toml", None, "/opt/rules.toml");
        check("ssm:/lambda-otlp/rules", None, "ssm:/lambda-otlp/rules");
    }
}
