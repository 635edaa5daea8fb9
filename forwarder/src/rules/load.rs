//! Reloads the rules regularly, and keeps the last valid version in force.

use super::{MOST_BYTES, Mistakes, RuleSet};
use aws::FreezeAwareInstant;
use std::fmt;
use std::future::Future;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
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
}

impl fmt::Display for RulesSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Parameter(name) => write!(f, "ssm:{name}"),
        }
    }
}

/// The result of a check for new rules. A problem is reported once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refreshed {
    /// No change, or not time to check.
    Unchanged,
    Loaded,
    /// A new, invalid version. The last valid version stays in force.
    Wrong(Mistakes),
    /// The source is unreadable, with the reason. The rules stay in force.
    Unread(String),
}

/// The rules in force, and the time of the next check.
#[derive(Debug)]
pub(crate) struct LiveRules {
    source: RulesSource,
    lifetime: Duration,
    rules: Arc<RuleSet>,
    last_look: Option<FreezeAwareInstant>,
    /// A hash of the last text, valid or not.
    version: Option<u64>,
    /// `true` after a valid version.
    has_been_good: bool,
    mistakes: Option<Mistakes>,
    /// The last reported reading error.
    unread: Option<String>,
}

impl LiveRules {
    /// Reads rules from `source` every `lifetime`. Before the first check there are none.
    pub(crate) fn new(source: RulesSource, lifetime: Duration) -> Self {
        let rules = Arc::default();
        Self {
            source,
            lifetime,
            rules,
            last_look: None,
            version: None,
            has_been_good: false,
            mistakes: None,
            unread: None,
        }
    }

    pub(crate) fn rules(&self) -> &Arc<RuleSet> {
        &self.rules
    }

    /// Repeats the next check as if the last version were new, because it could not be put in force.
    pub(crate) fn look_again(&mut self) {
        self.version = None;
        self.last_look = None;
    }

    /// The reason why the last version is not in force; `None` if it is.
    pub(crate) fn problem(&self) -> Option<String> {
        let mistakes = self.mistakes.as_ref().and_then(|mistakes| {
            let mut mistakes = mistakes.iter();
            let first = mistakes.next()?;
            Some(match mistakes.count() {
                0 => first.to_string(),
                more => format!("{first} (and {more} more)"),
            })
        });
        self.unread.clone().or(mistakes)
    }

    pub(crate) fn source(&self) -> &RulesSource {
        &self.source
    }

    /// Checks for new rules if it is time. `parameter` reads a parameter of Systems Manager by name.
    pub(crate) async fn refresh<F>(
        &mut self,
        now: FreezeAwareInstant,
        parameter: impl FnOnce(String) -> F,
    ) -> Refreshed
    where
        F: Future<Output = Result<String, String>>,
    {
        if self.last_look.is_some_and(|last| !last.is_over(self.lifetime, now)) {
            return Refreshed::Unchanged;
        }
        let read = match &self.source {
            RulesSource::File(path) => read_file(path),
            RulesSource::Parameter(name) => parameter(name.clone()).await,
        };
        let refreshed = self.take(read);
        // Without a valid version the forwarder delivers nothing, so the next invocation checks again.
        self.last_look = self.has_been_good.then_some(now);
        refreshed
    }

    fn take(&mut self, read: Result<String, String>) -> Refreshed {
        let text = match read {
            Ok(text) => text,
            Err(error) => {
                if self.unread.as_ref() == Some(&error) {
                    return Refreshed::Unchanged;
                }
                self.unread = Some(error.clone());
                return Refreshed::Unread(error);
            }
        };
        self.unread = None;
        let version = Some(version(&text));
        if self.version == version {
            return Refreshed::Unchanged;
        }
        self.version = version;
        match RuleSet::parse(&text) {
            Ok(rules) => {
                self.rules = Arc::new(rules);
                (self.has_been_good, self.mistakes) = (true, None);
                Refreshed::Loaded
            }
            Err(mistakes) => {
                self.mistakes = Some(mistakes.clone());
                Refreshed::Wrong(mistakes)
            }
        }
    }
}

fn version(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// Reads one byte more than allowed, so that the parser reports the size together with other mistakes.
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

        /// Checks after this time, which may include a freeze, and returns the result and the rules in force.
        async fn look(&mut self, seconds: u64, text: Result<&str, &str>) -> (Refreshed, String) {
            self.now += Duration::from_secs(seconds);
            let text = text.map(str::to_owned).map_err(str::to_owned);
            let read = |name: String| async move {
                assert_eq!(name, "/lambda-otlp/rules");
                text
            };
            let refreshed = self.live.refresh(FreezeAwareInstant::now(self.now), read).await;
            (refreshed, self.live.rules().rule_names().collect())
        }
    }

    #[tokio::test]
    async fn the_last_valid_rules_stay_active_after_an_invalid_version() {
        let mut case = Case::new();
        assert_eq!(case.look(0, Ok(GOOD)).await, (Refreshed::Loaded, "all".into()));
        assert_eq!(case.look(59, Ok(BETTER)).await, (Refreshed::Unchanged, "all".into()));
        let (refreshed, names) = case.look(1, Ok(WRONG)).await;
        assert!(matches!(refreshed, Refreshed::Wrong(_)), "{refreshed:?}");
        assert_eq!(names, "all");
        assert_eq!(case.look(60, Ok(WRONG)).await, (Refreshed::Unchanged, "all".into()));
        assert_eq!(case.look(60, Ok(BETTER)).await, (Refreshed::Loaded, "none".into()));
    }

    #[tokio::test]
    async fn an_unreadable_source_is_reported_once_and_keeps_the_rules() {
        let mut case = Case::new();
        let denied = || Refreshed::Unread("access denied".into());
        assert_eq!(case.look(0, Err("access denied")).await, (denied(), String::new()));
        let unchanged = (Refreshed::Unchanged, String::new());
        assert_eq!(case.look(60, Err("access denied")).await, unchanged);
        assert_eq!(case.look(60, Ok(GOOD)).await, (Refreshed::Loaded, "all".into()));
        assert_eq!(case.look(60, Err("access denied")).await, (denied(), "all".into()));
        assert_eq!(case.look(60, Ok(GOOD)).await, (Refreshed::Unchanged, "all".into()));
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
        let Refreshed::Wrong(mistakes) = refreshed else { panic!("{refreshed:?}") };
        assert_eq!(mistakes.to_string(), "1:1: the file has more than 65536 bytes");
    }
}
