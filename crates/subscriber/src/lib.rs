//! Leads the log groups of an account and region to the forwarder, and takes away again what it made itself.
//!
//! ```text
//! config       the variables -> Selection, and the filter that is to be
//! selection    which log groups: names, tags, exclusions
//! decision     pure: what there is and what is wanted -> put, update, keep, remove, leave with its reason
//! sweep        lists log groups, asks what the decision needs, and acts on it
//! replay       what a new log group took before it was subscribed -> the retry queue
//! lambda       what the function is invoked with: CloudFormation's custom resource, CreateLogGroup events, the schedule
//! ```
//!
//! `lambda-otlp subscribe` and `unsubscribe` do the same from a terminal.

mod config;
mod decision;
mod delivery;
mod lambda;
mod log;
mod replay;
mod report;
mod selection;
mod sweep;

pub use config::{Collect, Config, DESTINATION, TABLE};
pub use decision::{Action, Decision, KinesisStream, OurFilter, Reason, State, Wish, decide};
pub use delivery::{LoggedLine, delivery};
pub use lambda::{Failed, Service};
pub use log::init as init_log;
pub use report::{Entry, Fate, Report};
pub use selection::{Selection, TagCondition, Unselected, parse_patterns, parse_tags};
pub use sweep::{Sweep, Task};
