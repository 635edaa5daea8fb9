//! Typed variables from one table: parse, mask, document.
//!
//! A binary has a [`Setting`] for each variable, whose rows form one [`Table`]. A [`Reader`] reads values from a [`Source`] and
//! collects all mistakes instead of stopping at the first. The same table provides the warning about a misspelt name, and the
//! documentation.
//!
//! ```
//! # use lambda_otlp_settings as settings;
//! use settings::{Reader, Setting, SettingWithDefault, Table};
//! use std::{collections::HashMap, time::Duration};
//!
//! const INGEST_WINDOW: SettingWithDefault<Duration> =
//!     Setting::duration("LAMBDA_OTLP_INGEST_WINDOW", "Maximum age of a record.").with_default("5h");
//! const TABLE: Table = Table::new(&[&[INGEST_WINDOW.row()]]);
//!
//! let source = HashMap::from([("LAMBDA_OTLP_INGEST_WINDOW".to_owned(), "90m".to_owned())]);
//! let mut reader = Reader::new(&source, TABLE);
//! assert_eq!(reader.read(INGEST_WINDOW), Duration::from_secs(90 * 60));
//! assert!(reader.finish().is_empty());
//! ```
//!
//! The row of a choice has its words. The program that reads it gives them meanings:
//!
//! ```
//! # use lambda_otlp_settings as settings;
//! use settings::{Reader, Setting, SettingWithDefault, Table, Word};
//!
//! const LINE: SettingWithDefault<Word> =
//!     Setting::choice("LAMBDA_OTLP_LINE", &["standard", "compact"], "Format of OTLP lines.")
//!         .with_default("standard");
//! const TABLE: Table = Table::new(&[&[LINE.row()]]);
//!
//! #[derive(Clone, Debug, PartialEq)]
//! enum Line {
//!     Standard,
//!     Compact,
//! }
//! let meanings = [("standard", Line::Standard), ("compact", Line::Compact)];
//!
//! let source = [("LAMBDA_OTLP_LINE", "Compact")];
//! let mut reader = Reader::new(&source, TABLE);
//! assert_eq!(reader.choice(LINE, &meanings, Line::Standard), Line::Compact);
//! ```
//!
//! # Modules
//!
//! - `setting` has a constructor for each kind of value, `parse` its parser, `table` the rows. `reader` reads values from a
//!   `source` and collects mistakes (`error`).
//! - `shared` has the variables of several programs. `secret` and `headers` mask values. `proxy` decides which requests take a
//!   proxy.
//! - `pattern` matches names with `*`, in rules and selections. `backoff` is the formula of all retry schedules. `check` is one
//!   result, as `doctor` prints it.

mod backoff;
mod check;
mod error;
mod headers;
mod parse;
mod pattern;
#[cfg(feature = "url")]
mod proxy;
mod reader;
mod secret;
mod setting;
pub mod shared;
mod source;
mod table;

pub use backoff::{Backoff, Jitter};
pub use check::{Check, Verdict};
pub use error::{Expected, InvalidSettings, InvalidValue, Remark, quoted};
pub use headers::{Headers, is_token_byte, percent_decoded};
pub use parse::duration as parse_duration;
pub use pattern::Pattern;
#[cfg(feature = "url")]
pub use proxy::{PROXY, Proxy, is_local};
pub use reader::Reader;
pub use secret::{Secret, SecretReference, SecretStore};
pub use setting::{Readable, Setting, SettingWithDefault, Word};
pub use source::{Env, Source};
pub use table::{Kind, Rows, Table, Variable, markdown};
