//! Reloads the rules regularly, and keeps the last valid version in force.

use super::{MOST_BYTES, Mistakes, RuleSet};
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
    ) -> Result<String, String>
    where
        F: Future<Output = Result<String, String>>,
    {
        match self {
            Self::File(path) => read_file(path),
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

/// Why a new version of the rules is not in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RulesProblem {
    Invalid(Mistakes),
    /// The source is unreadable, with the reason.
    Unread(String),
}

impl fmt::Display for RulesProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unread(reason) => f.write_str(reason),
            Self::Invalid(mistakes) => match (mistakes.iter().next(), mistakes.iter().len()) {
                (Some(first), 2..) => write!(f, "{first} (and {} more)", mistakes.iter().len() - 1),
                _ => write!(f, "{mistakes}"),
            },
        }
    }
}

/// Reads the rules again and again.
#[derive(Debug)]
pub(crate) struct LiveRules {
    source: RulesSource,
    lifetime: Duration,
    last_look: Option<FreezeAwareInstant>,
    /// A hash of the last text, valid or not.
    version: Option<u64>,
    /// `true` after a valid version.
    has_been_good: bool,
    /// Why the last version is not in force.
    problem: Option<RulesProblem>,
}

impl LiveRules {
    /// Reads rules from `source` every `lifetime`.
    pub(crate) fn new(source: RulesSource, lifetime: Duration) -> Self {
        Self {
            source,
            lifetime,
            last_look: None,
            version: None,
            has_been_good: false,
            problem: None,
        }
    }

    /// Repeats the next check as if the last version were new, because it could not be put in force.
    pub(crate) fn look_again(&mut self) {
        self.version = None;
        self.last_look = None;
    }

    /// The reason why the last version is not in force; `None` if it is.
    pub(crate) fn problem(&self) -> Option<&RulesProblem> {
        self.problem.as_ref()
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
    ) -> Option<Result<RuleSet, RulesProblem>>
    where
        F: Future<Output = Result<String, String>>,
    {
        if self.last_look.is_some_and(|last| !last.is_over(self.lifetime, now)) {
            return None;
        }
        let read = self.source.read(parameter).await;
        let refreshed = self.take(read);
        // Without a valid version the forwarder delivers nothing, so the next invocation checks again.
        self.last_look = self.has_been_good.then_some(now);
        refreshed
    }

    fn take(&mut self, read: Result<String, String>) -> Option<Result<RuleSet, RulesProblem>> {
        let was_unread = matches!(self.problem, Some(RulesProblem::Unread(_)));
        let rules = match read {
            Ok(text) => {
                let version = Some(version(&text));
                // After an unreadable source, the same version counts as new.
                if self.version == version && !was_unread {
                    return None;
                }
                self.version = version;
                RuleSet::parse(&text).map_err(RulesProblem::Invalid)
            }
            Err(reason) => Err(RulesProblem::Unread(reason)),
        };
        let problem = rules.as_ref().err().cloned();
        if problem.is_some() && problem == self.problem {
            return None;
        }
        self.has_been_good |= problem.is_none();
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
fn read_file(path: &Path) -> Result<String, String> {
    let mut text = String::new();
    let limit = u64::try_from(MOST_BYTES).unwrap_or(u64::MAX) + 1;
    let read =
        std::fs::File::open(path).and_then(|file| file.take(limit).read_to_string(&mut text));
    match read {
        Ok(_) => Ok(text),
        Err(error) => Err(format!("cannot read {}: {error}", path.display())),
    }
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
            let text = text.map(str::to_owned).map_err(str::to_owned);
            let read = |name: String| async move {
                assert_eq!(name, "/lambda-otlp/rules");
                text
            };
            let refreshed = self.live.refresh(FreezeAwareInstant::now(self.now), read).await;
            refreshed.map(|refreshed| match refreshed {
                Ok(rules) => rules.rule_names().collect(),
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

    #[tokio::test]
    async fn a_rules_file_above_the_size_limit_is_rejected() {
        let path = std::env::temp_dir().join(format!("lambda-otlp-rules-{}", std::process::id()));
        std::fs::write(&path, "#".repeat(MOST_BYTES + 7)).unwrap();
        let mut live = LiveRules::new(RulesSource::File(path.clone()), Duration::from_mins(1));
        let no_parameter = |_| std::future::ready(Err("not a parameter".to_owned()));
        let refreshed = live.refresh(FreezeAwareInstant::now(UNIX_EPOCH), no_parameter).await;
        std::fs::remove_file(&path).unwrap();
        let problem = refreshed.unwrap().unwrap_err().to_string();
        assert_eq!(problem, "1:1: the file has more than 65536 bytes");
    }
}
