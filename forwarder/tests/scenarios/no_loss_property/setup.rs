//! Rules, routes, destinations and old-record policies of a stack, and their expected effect on an item. The expectation follows
//! `docs/rules.md` and uses none of the forwarder's code.

use super::schedule::Random;
use ::backend::Profile;
use lambda_otlp_forwarder::{OldRecords, RuleSet};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};
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
const MARGIN: Duration = Duration::from_secs(15);

#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "a rules file has each of these parts or not")]
pub(crate) struct Setup {
    /// Fatal records are kept.
    pub(crate) keeps: bool,
    pub(crate) drops: bool,
    /// Half of the traces are kept.
    pub(crate) samples: bool,
    pub(crate) redacts: bool,
    pub(crate) adds: bool,
    pub(crate) renames: bool,
    /// Log groups have their own service names.
    pub(crate) names_services: bool,
    pub(crate) routes: bool,
    /// The stream of the default destination is a template.
    pub(crate) streams: bool,
    pub(crate) old_records: OldRecords,
}

/// One destination of an item.
#[derive(Clone, Debug)]
pub(crate) struct Way {
    pub(crate) destination: DestinationId,
    pub(crate) stream: Option<String>,
}

#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) account: &'static str,
    pub(crate) log_group: String,
    pub(crate) log_stream: String,
    /// `unknown` in templates if missing.
    pub(crate) function: Option<String>,
}

/// Prefixes of a log group's last part, which routes match.
pub(crate) const GROUPS: [&str; 4] = ["fn", "pay-", "lake-", "all-"];

impl Setup {
    pub(crate) fn new(random: &mut Random) -> Self {
        let has_rules = random.percent(45);
        let mut has = |percent| random.percent(percent) && has_rules;
        Self {
            keeps: has(30),
            drops: has(60),
            samples: has(40),
            redacts: has(40),
            adds: has(50),
            renames: has(50),
            names_services: has(40),
            routes: random.percent(40),
            streams: random.percent(25),
            old_records: *random.pick(&[
                OldRecords::Keep,
                OldRecords::Keep,
                OldRecords::Restamp,
                OldRecords::Drop,
            ]),
        }
    }

    pub(crate) fn destinations(&self) -> usize {
        if self.routes { DESTINATIONS } else { 1 }
    }

    fn text(&self) -> String {
        let parts = [
            (self.keeps, "[[rule]]\nname = 'fatal'\nmatch.attributes.fatal = true\nkeep = true\n"),
            (self.drops, "[[rule]]\nname = 'noise'\nmatch.attributes.noise = true\ndrop = true\n"),
            (
                self.drops,
                "[[rule]]\nname = 'chatter'\nmatch.body = { contains = 'chatter' }\ndrop = true\n",
            ),
            (self.samples, "[[rule]]\nname = 'half'\nsample = 0.5\n"),
            (self.redacts, "[[rule]]\nname = 'personal'\nredact = ['email']\n"),
            (self.adds, "[[rule]]\nname = 'stage'\nadd = { stage = 'prod' }\n"),
            (self.renames, "[[rule]]\nname = 'old names'\nrename = { note = 'remark' }\n"),
            (
                self.names_services,
                "[[service]]\nlog_group = '/aws/lambda/*'\nname = 'svc-{function}'\n",
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
        static READ: OnceLock<Mutex<HashMap<String, Arc<RuleSet>>>> = OnceLock::new();
        let mut read = READ.get_or_init(Mutex::default).lock().unwrap();
        let text = self.text();
        let rules = read.entry(text).or_insert_with_key(|text| {
            Arc::new(RuleSet::parse(text).unwrap_or_else(|mistakes| panic!("{mistakes}\n{text}")))
        });
        Arc::clone(rules)
    }

    /// The destinations of telemetry from this place.
    pub(crate) fn ways(&self, place: &Place) -> Vec<Way> {
        let function = place.function.as_deref().unwrap_or("unknown");
        let way = |destination, stream| Way { destination, stream };
        let default = way(DEFAULT, self.streams.then(|| function.to_owned()));
        let audit = way(AUDIT, Some(format!("audit-{function}")));
        let group = place.log_group.strip_prefix("/aws/lambda/").filter(|_| self.routes);
        match GROUPS.iter().position(|group_of| group.is_some_and(|it| it.starts_with(group_of))) {
            Some(1) => vec![audit, default],
            Some(2) => vec![way(LAKE, Some(format!("{}_{function}", place.account)))],
            Some(3) => vec![default, audit, way(LAKE, None)],
            _ => vec![default],
        }
    }

    /// The service name of log records from this place, if a rule sets one.
    pub(crate) fn service(&self, place: &Place) -> Option<String> {
        let function = place.function.as_deref().unwrap_or("unknown");
        (self.names_services && place.log_group.starts_with("/aws/lambda/"))
            .then(|| format!("svc-{function}"))
    }

    /// The rule that drops the item, if any. `key` is the sampling key.
    pub(crate) fn dropped_by(
        &self,
        kind: SignalKind,
        key: Option<&[u8]>,
        is_noise: bool,
        is_fatal: bool,
    ) -> Option<&'static str> {
        if self.keeps && is_fatal {
            return None;
        }
        if self.drops && is_noise {
            return Some("rule: dropped");
        }
        let is_sampled_out = self.samples
            && kind != SignalKind::Metrics
            && key.is_some_and(|key| !is_in_first_half(key));
        is_sampled_out.then_some("rule: sampled out")
    }

    /// Returns `true` if the record is outside the destination's ingest window at this time.
    pub(crate) fn is_outside(
        destination: DestinationId,
        kind: SignalKind,
        time_unix_nano: u64,
        now_unix_nano: u64,
    ) -> bool {
        Self::misses(destination, kind, time_unix_nano, now_unix_nano, Duration::ZERO)
    }

    /// Returns `true` if the forwarder may treat the record as outside the window.
    pub(crate) fn may_be_outside(
        destination: DestinationId,
        kind: SignalKind,
        time_unix_nano: u64,
        now_unix_nano: u64,
    ) -> bool {
        Self::misses(destination, kind, time_unix_nano, now_unix_nano, MARGIN)
    }

    fn misses(
        destination: DestinationId,
        kind: SignalKind,
        time_unix_nano: u64,
        now_unix_nano: u64,
        margin: Duration,
    ) -> bool {
        let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap();
        let too_old =
            now_unix_nano.saturating_sub(time_unix_nano) > nanos(PAST.saturating_sub(margin));
        let too_new =
            time_unix_nano.saturating_sub(now_unix_nano) > nanos(FUTURE.saturating_sub(margin));
        profile(destination) == Profile::OpenObserve
            && kind != SignalKind::Metrics
            && (too_old || too_new)
    }
}

pub(crate) fn profile(destination: DestinationId) -> Profile {
    if destination == LAKE { Profile::Otlp } else { Profile::OpenObserve }
}

/// Returns `true` if the key belongs to the first half. The hash is a promise to users: FNV-1a with the finalizer of MurmurHash3.
fn is_in_first_half(key: &[u8]) -> bool {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in key {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    for factor in [0xff51_afd7_ed55_8ccd_u64, 0xc4ce_b9fe_1a85_ec53] {
        hash = (hash ^ (hash >> 33)).wrapping_mul(factor);
    }
    (hash ^ (hash >> 33)) >> 63 == 0
}
