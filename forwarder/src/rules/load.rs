//! Reloads the rules regularly, and keeps the last valid version in force.

use super::{MOST_BYTES, Mistakes, RuleSet};
use crate::invocation::InvocationError;
use aws::FreezeAwareInstant;
use std::fmt;
use std::future::Future;
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
    pub(crate) async fn read<F>(
        &self,
        parameter: impl FnOnce(String) -> F,
    ) -> Result<String, RulesError>
    where
        F: Future<Output = Result<String, RulesError>>,
    {
        match self {
            Self::File(path) => {
                let problem =
                    |error| RulesError::Unusable(format!("cannot read the file: {error}"));
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

/// Why rules are not in force.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RulesError {
    #[error("{0}")]
    Invalid(Mistakes),
    /// The rules are unreadable, or no client can be created for one of their destinations.
    #[error("{0}")]
    Unusable(String),
}

/// Reads the rules again and again.
#[derive(Debug)]
pub(crate) struct LiveRules {
    source: RulesSource,
    lifetime: Duration,
    last_look: Option<FreezeAwareInstant>,
    /// A hash of the last text, valid or not.
    version: Option<u64>,
    /// `true` if a version is in force.
    is_in_force: bool,
    /// Why the last version is not in force.
    problem: Option<RulesError>,
}

impl LiveRules {
    /// Reads rules from `source` every `lifetime`.
    pub(crate) fn new(source: RulesSource, lifetime: Duration) -> Self {
        Self { source, lifetime, last_look: None, version: None, is_in_force: false, problem: None }
    }

    /// Notes that the version read at this time is in force.
    pub(crate) fn put_in_force(&mut self, now: FreezeAwareInstant) {
        self.is_in_force = true;
        self.last_look = Some(now);
    }

    /// Repeats the next check as if the last version were new, because this prevented that it was put in force.
    pub(crate) fn look_again(&mut self, problem: RulesError) {
        self.version = None;
        self.last_look = None;
        self.problem = Some(problem);
    }

    /// Why no version is in force.
    pub(crate) fn missing(&self) -> Option<InvocationError> {
        if self.is_in_force {
            return None;
        }
        let error = match &self.problem {
            // The log has all of them, once.
            Some(RulesError::Invalid(mistakes)) => mistakes.brief(),
            Some(problem) => problem.to_string(),
            None => "a panic prevented that they were put in force".to_owned(),
        };
        Some(InvocationError::Rules { place: self.source.to_string(), error })
    }

    pub(crate) fn source(&self) -> &RulesSource {
        &self.source
    }

    /// Checks for new rules if it is time, and returns them or a new problem. `parameter` reads a parameter of Systems Manager by
    /// name.
    pub(crate) async fn refresh<F>(
        &mut self,
        now: FreezeAwareInstant,
        parameter: impl FnOnce(String) -> F,
    ) -> Option<Result<RuleSet, RulesError>>
    where
        F: Future<Output = Result<String, RulesError>>,
    {
        if self.last_look.is_some_and(|last| !last.is_over(self.lifetime, now)) {
            return None;
        }
        let read = self.source.read(parameter).await;
        // Without a valid version the forwarder delivers nothing, so the next invocation checks again.
        self.last_look = self.is_in_force.then_some(now);
        let rules = match read {
            Ok(text) => {
                let version = Some(version(&text));
                // After an unreadable source, the same version counts as new.
                let was_read = match self.problem {
                    None => self.is_in_force,
                    Some(RulesError::Invalid(_)) => true,
                    Some(_) => false,
                };
                if self.version == version && was_read {
                    return None;
                }
                let rules = RuleSet::parse(&text).map_err(RulesError::Invalid);
                self.version = version;
                rules
            }
            Err(error) => Err(error),
        };
        let problem = rules.as_ref().err().cloned();
        if problem.is_some() && problem == self.problem {
            return None;
        }
        self.problem = problem;
        Some(rules)
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
    let limit = u64::try_from(MOST_BYTES).unwrap_or(u64::MAX) + 1;
    std::fs::File::open(path)?.take(limit).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{SystemTime, UNIX_EPOCH};

    const GOOD: &str = "[[rule]]\nname = \"all\"\ndrop = true\n";
    const BETTER: &str = "[[rule]]\nname = \"none\"\nkeep = true\n";
    const WRONG: &str = "[[rule]]\nname = \"all\"\ndorp = true\n";

    struct Case {
        live: LiveRules,
        now: SystemTime,
    }

    impl Case {
        fn new() -> Self {
            let source = RulesSource::parse("ssm:/lambda-otlp/rules", None);
            Self { live: LiveRules::new(source, Duration::from_mins(1)), now: UNIX_EPOCH }
        }

        /// Checks after this time, which may include a freeze, and returns the names of new rules, or the problem.
        async fn look(&mut self, seconds: u64, text: Result<&str, &str>) -> Option<String> {
            self.now += Duration::from_secs(seconds);
            let text = text.map(str::to_owned).map_err(|why| RulesError::Unusable(why.to_owned()));
            let read = |name: String| async move {
                assert_eq!(name, "/lambda-otlp/rules");
                text
            };
            let now = FreezeAwareInstant::now(self.now);
            let refreshed = self.live.refresh(now, read).await;
            refreshed.map(|refreshed| match refreshed {
                Ok(rules) => {
                    self.live.put_in_force(now);
                    rules.rule_names().collect()
                }
                Err(problem) => problem.to_string(),
            })
        }
    }

    #[tokio::test]
    async fn each_new_version_and_each_new_problem_is_returned_once() {
        let (mut case, denied) = (Case::new(), Err("access denied"));
        let mut check = async |seconds, text, expected: &str| {
            let found = case.look(seconds, text).await.unwrap_or_default();
            assert!(
                found.starts_with(expected) && found.is_empty() == expected.is_empty(),
                "{found}"
            );
        };
        // Before a valid version, each invocation looks.
        check(0, denied, "access denied").await;
        check(0, denied, "").await;
        check(0, Ok(WRONG), "3:1: rule: unknown field `dorp`").await;
        check(0, Ok(GOOD), "all").await;
        check(59, Ok(BETTER), "").await;
        check(1, Ok(WRONG), "3:1: rule: unknown field `dorp`").await;
        check(60, Ok(WRONG), "").await;
        check(60, Ok(BETTER), "none").await;
        check(60, denied, "access denied").await;
        check(60, Ok(BETTER), "none").await;
        check(60, Ok(BETTER), "").await;
    }

    #[tokio::test]
    async fn rules_that_a_panic_kept_from_being_put_in_force_are_missing_and_read_again() {
        let mut live = Case::new().live;
        for _ in 0..2 {
            let now = FreezeAwareInstant::now(UNIX_EPOCH);
            let refreshed = live.refresh(now, |_| async { Ok(GOOD.to_owned()) }).await;
            assert!(matches!(refreshed, Some(Ok(_))), "{refreshed:?}");
            assert!(live.missing().is_some());
        }
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
