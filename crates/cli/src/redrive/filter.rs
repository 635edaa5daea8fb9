//! Selects the messages to send again.

use super::letter::Letter;
use console::time_arguments;
use regex::Regex;
use std::time::Duration;

/// Selection of messages and records.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct Filters {
    /// Only messages whose reason matches this regular expression: `503`, `answered (429|503)`.
    #[arg(long, value_name = "REGEX")]
    reason: Option<Regex>,
    /// Only requests for this destination.
    #[arg(long, value_name = "NAME")]
    destination: Option<String>,
    /// Only requests of this signal.
    #[arg(long, value_parser = ["traces", "metrics", "logs"])]
    signal: Option<String>,
    /// Only messages from this log group, or from all with a prefix: `/aws/lambda/shop-*`. May be repeated.
    #[arg(long, value_name = "GROUP")]
    log_group: Vec<String>,
    /// Only messages that the forwarder first received longer ago than this: 2h, 14d.
    #[arg(long, value_name = "AGE", value_parser = time_arguments::parse_duration)]
    older_than: Option<Duration>,
    /// Only messages that the forwarder first received within this time: 2h, 14d.
    #[arg(long, value_name = "AGE", value_parser = time_arguments::parse_duration)]
    newer_than: Option<Duration>,
    /// Also requests of which the backend accepted an unknown part. That part will be stored twice.
    #[arg(long)]
    partial: bool,
}

/// The reason why a letter stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Skip {
    Reason,
    Destination,
    Signal,
    LogGroup,
    Age,
    Partial,
}

impl Skip {
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Reason => "another reason",
            Self::Destination => "another destination, or none",
            Self::Signal => "another signal, or none",
            Self::LogGroup => "another log group, or none",
            Self::Age => "another age",
            Self::Partial => "the backend has a part of it (--partial sends all of it)",
        }
    }
}

impl Filters {
    /// Returns the reason why the letter stays; `None` if it is to be sent.
    pub(crate) fn skip(&self, letter: &Letter, now_unix_nano: u64) -> Option<Skip> {
        let Self { reason, destination, signal, log_group, older_than, newer_than, partial } = self;
        let age = Duration::from_nanos(now_unix_nano.saturating_sub(letter.first_seen_unix_nano));
        let is_of = |wanted: &Option<String>, found: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| found == Some(wanted))
        };
        let checks = [
            (Skip::Reason, reason.as_ref().is_none_or(|regex| regex.is_match(&letter.reason))),
            (Skip::Destination, is_of(destination, letter.destination())),
            (Skip::Signal, is_of(signal, letter.signal().map(wire::SignalKind::as_str))),
            (
                Skip::Age,
                older_than.is_none_or(|least| age >= least)
                    && newer_than.is_none_or(|most| age <= most),
            ),
            (Skip::Partial, *partial || !letter.is_partial()),
        ];
        if let Some((skip, _)) = checks.iter().find(|(_, passes)| !passes) {
            return Some(*skip);
        }
        // Last, because it may decompress the event.
        let in_group = log_group.is_empty()
            || letter.log_group().is_some_and(|group| log_group.iter().any(|p| covers(p, &group)));
        (!in_group).then_some(Skip::LogGroup)
    }
}

fn covers(pattern: &str, group: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => group.starts_with(prefix),
        None => group == pattern,
    }
}
