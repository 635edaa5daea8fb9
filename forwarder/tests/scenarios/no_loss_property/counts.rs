//! Sums over schedules.

/// Sums over schedules, which show that they reach all cases.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) schedules: usize,
    pub(crate) invocations: usize,
    pub(crate) killed: usize,
    pub(crate) failed: usize,
    pub(crate) requests: usize,
    pub(crate) marks: usize,
    pub(crate) accepted: usize,
    pub(crate) parked: usize,
    pub(crate) dead_lettered: usize,
    pub(crate) returned: usize,
    pub(crate) dropped: usize,
    pub(crate) dropped_by_rules: usize,
    pub(crate) ambiguous: usize,
    pub(crate) duplicates: usize,
    /// Marks that ended in the backend, and elsewhere.
    pub(crate) stored: usize,
    pub(crate) kept: usize,
    pub(crate) virtual_seconds: u64,
}

impl Counts {
    pub(crate) fn add(&mut self, other: Self) {
        // Named one by one, so that the compiler reports a missing field.
        let Self {
            schedules,
            invocations,
            killed,
            failed,
            requests,
            marks,
            accepted,
            parked,
            dead_lettered,
            returned,
            dropped,
            dropped_by_rules,
            ambiguous,
            duplicates,
            stored,
            kept,
            virtual_seconds,
        } = other;
        self.schedules += schedules;
        self.invocations += invocations;
        self.killed += killed;
        self.failed += failed;
        self.requests += requests;
        self.marks += marks;
        self.accepted += accepted;
        self.parked += parked;
        self.dead_lettered += dead_lettered;
        self.returned += returned;
        self.dropped += dropped;
        self.dropped_by_rules += dropped_by_rules;
        self.ambiguous += ambiguous;
        self.duplicates += duplicates;
        self.stored += stored;
        self.kept += kept;
        self.virtual_seconds += virtual_seconds;
    }

    /// Checks that each kind of ending was reached often.
    pub(crate) fn check_variety(&self) {
        let Self { schedules, killed, failed, parked, dead_lettered, returned, .. } = *self;
        let Self { dropped, ambiguous, duplicates, kept, stored, .. } = *self;
        for ends in [
            killed,
            failed,
            parked,
            dead_lettered,
            returned,
            dropped,
            ambiguous,
            duplicates,
            kept,
            stored,
        ] {
            assert!(ends * 50 > schedules, "too rare: {self:?}");
        }
    }
}
