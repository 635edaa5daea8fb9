//! Whole invocations in process: the traced handler is called like the runtime calls it, and `wire` reads its lines.

#[cfg(feature = "aws-sdk")]
mod aws_sdk;
mod compact;
mod cut_off;
mod driver;
mod ends;
mod events;
mod handlers;
mod init;
mod layers;
mod messages;
mod modes;
mod panics;
mod parents;
mod signals;
mod standard_variables;
mod triggers;
