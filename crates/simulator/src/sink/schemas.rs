//! The columns of streams, and OpenObserve's race between requests that add the same columns.
//!
//! As read and measured on v0.92.2: a request compares its columns with the stream's schema when it arrives. If another request
//! adds all the missing ones before it does, it goes on with the schema that it saw. Its spans then lose the new columns, and its
//! metrics cannot be written. Log records were not seen to lose anything.

use std::collections::{BTreeMap, BTreeSet};

use super::ingest::columns::Columns;
use super::signal::Signal;

/// The columns that a request has in each of its streams.
pub(super) type ColumnsByStream = BTreeMap<String, Columns>;

/// The columns of all streams, each with the version of the schemas that first had it.
#[derive(Debug, Default)]
pub(super) struct Schemas {
    streams: BTreeMap<(String, Signal, String), BTreeMap<String, u64>>,
    version: u64,
}

impl Schemas {
    /// The version that a request sees which arrives now.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// Adds the columns of a request that saw the schemas at version `seen`. Returns those that its stale schema lacks, by stream.
    pub(super) fn merge(
        &mut self,
        organization: &str,
        signal: Signal,
        columns: ColumnsByStream,
        seen: u64,
    ) -> BTreeMap<String, BTreeSet<String>> {
        self.version += 1;
        let mut stale = BTreeMap::new();
        for (stream, columns) in columns {
            let key = (organization.to_owned(), signal, stream.clone());
            let known = self.streams.entry(key).or_default();
            let is_new = |column: &&String| !known.contains_key(*column);
            if columns.names().any(|column| is_new(&column)) {
                for column in columns.names() {
                    known.entry(column.clone()).or_insert(self.version);
                }
                continue;
            }
            let added_since = |column: &&String| known.get(*column).is_some_and(|at| *at > seen);
            let missing: BTreeSet<String> = columns.names().filter(added_since).cloned().collect();
            if !missing.is_empty() {
                stale.insert(stream, missing);
            }
        }
        stale
    }
}
