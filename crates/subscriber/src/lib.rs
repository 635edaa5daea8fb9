//! Subscribes the log groups of an account and region to the forwarder, and removes its own filters again.
//!
//! ```text
//! config       the variables -> Selection, and the wanted filter
//! selection    selects log groups: names, tags, exclusions
//! decision     current and wanted filters -> add, update, keep, remove, or skip with a reason
//! sweep        lists log groups, asks for the data of a decision, and performs it
//! replay       sends lines from before the subscription of a new log group to the retry queue
//! program      the binary's main: settings, log, and the loop of Lambda's runtime
//! lambda       events: CloudFormation's custom resource, CreateLogGroup, the schedule
//! ```
//!
//! `config` has the choice of lines (`Collect`) with its filter pattern. `selection` and `decision` also serve `lambda-otlp
//! subscribe` and `unsubscribe`, which do the same from a terminal. `sweep` collects the facts of all groups, asks `decision` and
//! carries it out; `report` has the results. `lambda/event` recognizes the function's events, which a rule of `template.yaml`
//! sends.

mod config;
mod decision;
mod lambda;
mod program;
mod replay;
mod report;
mod selection;
mod sweep;

pub use aws::FilteredLogEvent;
pub use config::{Collect, Config, DESTINATION, TABLE};
pub use decision::{Action, DecisionReason, KinesisStream, OurFilter, WantedFilter};
pub use lambda::{AnswerUrls, Subscriber, SubscriberError};
pub use program::run;
pub use replay::delivery;
pub use report::{LogGroupEntry, LogGroupFate, SweepReport};
pub use selection::{
    InvalidSelection, Selection, TagCondition, Unselected, is_regional_copy, parse_patterns,
    parse_tags,
};
pub use sweep::{Sweep, SweepProgress, Task};
