//! Rules, routes, destinations and old-record policies of a stack, and their expected effect on an item. The expectation follows
//! `docs/rules.md` and uses none of the forwarder's code.

use super::schedule::Random;
use ::backend::Profile;
use lambda_otlp_forwarder::{OldRecords, Origin, RuleSet};
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use wire::SignalKind;

/// Position of a destination in [`NAMES`].
pub(crate) type DestinationId = usize;

pub(crate) const DEFAULT: DestinationId = 0;
const AUDIT: DestinationId = 1;
const LAKE: DestinationId = 2;
pub(crate) const DESTINATIONS: usize = 3;
pub(crate) const NAMES: [&str; DESTINATIONS] = ["default", "audit", "lake"];

/// A text that redaction must find.
pub(crate) const ADDRESS: &str = "bob@example.com";

/// Prefix of lines that a rule drops.
pub(crate) const NOISE: &str = "chatter";

/// OpenObserve's `ZO_INGEST_ALLOWED_UPTO` and `ZO_INGEST_ALLOWED_IN_FUTURE`.
const PAST: Duration = Duration::from_hours(5);
const FUTURE: Duration = Duration::from_hours(24);
/// A record this close to the end of the window may count as outside.
pub(crate) const MARGIN: Duration = Duration::from_secs(15);

/// The traces of all items: their ids repeat one of these bytes.
pub(crate) const TRACES: RangeInclusive<u8> = 1..=12;

/// The trace whose items all say that it failed. The hash of its id does not keep it.
pub(crate) const FAILED_TRACE: u8 = 5;

/// The other traces that the hash keeps with a share of 0.65: it is 0.30 for the first one and 0.64 for the second.
const SAMPLED_TRACES: [u8; 7] = [1, 3, 6, 7, 9, 10, 12];

#[expect(clippy::struct_excessive_bools, reason = "independent choices")]
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) drops: bool,
    pub(crate) redacts: bool,
    pub(crate) routes: bool,
    pub(crate) old_records: OldRecords,
    /// Keeps failed traces, and a share of the others.
    pub(crate) samples: bool,
}

/// One destination of an item.
#[derive(Clone, Debug)]
pub(crate) struct Way {
    pub(crate) destination: DestinationId,
    pub(crate) stream: Option<String>,
}

/// Prefixes of a log group's last part, which routes match.
pub(crate) const GROUPS: [&str; 4] = ["fn", "pay-", "lake-", "all-"];

impl Setup {
    pub(crate) fn new(random: &mut Random) -> Self {
        Self {
            drops: random.percent(27),
            redacts: random.percent(18),
            routes: random.percent(40),
            old_records: *random.pick(&[
                OldRecords::DeadLetter,
                OldRecords::DeadLetter,
                OldRecords::Restamp,
                OldRecords::Drop,
            ]),
            samples: random.percent(25),
        }
    }

    pub(crate) fn destinations(&self) -> usize {
        if self.routes { DESTINATIONS } else { 1 }
    }

    /// Returns `true` if the rules drop the items of a trace, wherever its other items are.
    pub(crate) fn drops_trace(&self, trace: u8) -> bool {
        self.samples && trace != FAILED_TRACE && !SAMPLED_TRACES.contains(&trace)
    }

    fn text(&self) -> String {
        let parts = [
            (
                self.drops,
                "[[rule]]\nname = 'noise'\nmatch.attributes.noise = true\ndrop = true\n\
                 [[rule]]\nname = 'chatter'\nmatch.body = { contains = 'chatter' }\ndrop = true\n",
            ),
            (self.redacts, "[[rule]]\nname = 'personal'\nredact = ['email']\n"),
            (
                self.samples,
                "[[rule]]\nname = 'failed traces'\nmatch.trace.failed = true\nkeep = true\n\
                 [[rule]]\nname = 'a share'\nmatch.trace.duration = { at_least = '0s' }\nsample = 0.65\n",
            ),
            (
                self.routes,
                "[destination.audit]\nendpoint = 'http://127.0.0.1:9/api/audit'\n\
                 stream = 'audit-{function}'\n\
                 [destination.lake]\nendpoint = 'http://127.0.0.1:9/lake'\nprofile = 'otlp'\n\
                 [[route]]\nlog_group = '/aws/lambda/pay-*'\nto = ['audit', 'default']\n\
                 [[route]]\nlog_group = '/aws/lambda/lake-*'\nto = 'lake'\n\
                 stream = '{account}_{function}'\n\
                 [[route]]\nlog_group = '/aws/lambda/all-*'\nto = ['default', 'audit', 'lake']\n",
            ),
        ];
        parts.into_iter().filter(|(is_there, _)| *is_there).map(|(_, text)| text).collect()
    }

    /// The parsed rules, cached for schedules with the same rules.
    pub(crate) fn rules(&self) -> Arc<RuleSet> {
        static READ: Mutex<BTreeMap<String, Arc<RuleSet>>> = Mutex::new(BTreeMap::new());
        let mut read = READ.lock().unwrap();
        let rules = read.entry(self.text()).or_insert_with_key(|text| {
            Arc::new(RuleSet::parse(text).unwrap_or_else(|mistakes| panic!("{mistakes}\n{text}")))
        });
        Arc::clone(rules)
    }

    /// The destinations of telemetry from this place.
    pub(crate) fn ways(&self, place: &Origin) -> Vec<Way> {
        let of_function = place.log_group.strip_prefix("/aws/lambda/");
        let function = of_function.unwrap_or("unknown");
        let way = |destination, stream| Way { destination, stream };
        let default = way(DEFAULT, None);
        let audit = way(AUDIT, Some(format!("audit-{function}")));
        let group = of_function.filter(|_| self.routes);
        match GROUPS.iter().position(|group_of| group.is_some_and(|it| it.starts_with(group_of))) {
            Some(1) => vec![audit, default],
            Some(2) => vec![way(LAKE, Some(format!("{}_{function}", place.account)))],
            Some(3) => vec![default, audit, way(LAKE, None)],
            _ => vec![default],
        }
    }
}

/// Returns `true` if the record is outside the destination's ingest window at this time, or may count as outside with this margin.
pub(crate) fn is_outside(
    destination: DestinationId,
    kind: SignalKind,
    time_unix_nano: u64,
    now_unix_nano: u64,
    margin: Duration,
) -> bool {
    let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap();
    let too_old = now_unix_nano.saturating_sub(time_unix_nano) > nanos(PAST.saturating_sub(margin));
    let too_new =
        time_unix_nano.saturating_sub(now_unix_nano) > nanos(FUTURE.saturating_sub(margin));
    profile(destination) == Profile::OpenObserve
        && kind != SignalKind::Metrics
        && (too_old || too_new)
}

pub(crate) fn profile(destination: DestinationId) -> Profile {
    if destination == LAKE { Profile::Otlp } else { Profile::OpenObserve }
}
