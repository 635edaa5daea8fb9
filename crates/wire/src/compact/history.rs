//! Earlier values of a line, to which later ones refer. Writer and reader keep the same history.

use crate::ids::{id_of_number, number_of_id};

/// 2027-01-01: the first time of a line is written as the difference to it.
const FIRST_TIME: u64 = 1_798_761_600_000_000_000;
/// Numbers of ids are near if they differ by less.
const NEAR: u64 = 1 << 15;

/// Earlier ids and times of a line.
pub(super) struct History {
    /// Ids of 8 bytes, of spans.
    pub(super) short: RecentValues<u64>,
    /// Ids of 16 bytes, of traces and invocations.
    pub(super) long: RecentValues<u128>,
    /// The latest time, in units.
    time: u64,
    /// The latest difference of times, in nanoseconds.
    elapsed: u64,
    /// The latest number in a hole of its own.
    pub(super) number: u64,
    /// The nanoseconds of the unit.
    unit: u64,
    /// The number of the newest id of 8 bytes, if SplitMix64 made it.
    newest: u64,
}

impl History {
    pub(super) fn new(unit: Unit) -> Self {
        Self {
            short: RecentValues::default(),
            long: RecentValues::default(),
            time: FIRST_TIME / unit.nanos(),
            elapsed: 0,
            number: 0,
            unit: unit.nanos(),
            newest: 0,
        }
    }

    /// Notes a time. Returns its difference to the previous one in units; `None` if it is no multiple of the unit.
    pub(super) fn note_time(&mut self, nanos: u64) -> Option<i64> {
        if !nanos.is_multiple_of(self.unit) {
            return None;
        }
        let time = nanos / self.unit;
        let difference = time.wrapping_sub(self.time).cast_signed();
        self.time = time;
        self.elapsed = difference.cast_unsigned().wrapping_mul(self.unit);
        Some(difference)
    }

    /// Returns the time with this difference to the previous one, in nanoseconds, and notes it.
    pub(super) fn next_time(&mut self, difference: i64) -> u64 {
        self.time = self.time.wrapping_add_signed(difference);
        self.elapsed = difference.cast_unsigned().wrapping_mul(self.unit);
        self.time.wrapping_mul(self.unit)
    }

    /// The expected number after the latest one, if both are parts of the time that elapsed: `busy_ns` and `idle_ns` of a span.
    pub(super) fn rest(&self) -> u64 {
        self.elapsed.wrapping_sub(self.number)
    }

    /// Notes an id. Returns how many ids SplitMix64 made from the newest id to this one, if these are few.
    pub(super) fn note_id(&mut self, id: u64) -> Option<i64> {
        let number = number_of_id(id);
        let difference = number.wrapping_sub(self.newest).cast_signed();
        self.newest = number;
        self.short.push(id);
        (difference.unsigned_abs() < NEAR).then_some(difference)
    }

    /// Returns the id that SplitMix64 made this many ids after the newest one, and notes it.
    pub(super) fn next_id(&mut self, difference: i64) -> u64 {
        self.newest = self.newest.wrapping_add_signed(difference);
        let id = u64::from_be_bytes(id_of_number(self.newest));
        self.short.push(id);
        id
    }

    pub(super) fn note_new_id(&mut self, id: u64) {
        self.newest = number_of_id(id);
        self.short.push(id);
    }
}

/// The unit of a line's times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Nanos,
    Micros,
    Millis,
}

impl Unit {
    /// The largest unit of which a time is a multiple.
    pub(super) fn of(nanos: u64) -> Self {
        if nanos.is_multiple_of(1_000_000) {
            Self::Millis
        } else if nanos.is_multiple_of(1000) {
            Self::Micros
        } else {
            Self::Nanos
        }
    }

    const fn nanos(self) -> u64 {
        match self {
            Self::Nanos => 1,
            Self::Micros => 1000,
            Self::Millis => 1_000_000,
        }
    }
}

const RECENT: usize = 16;

/// The 16 most recently used of some values, the last one first. The rank of a value is its place among them, from 0.
#[derive(Default)]
pub(super) struct RecentValues<T> {
    values: [T; RECENT],
    count: usize,
}

impl<T: Copy> RecentValues<T> {
    /// Moves the value that is equal to the front, and returns its rank before.
    pub(super) fn use_equal(&mut self, is_equal: impl Fn(T) -> bool) -> Option<u8> {
        let recent = self.values.iter().take(self.count);
        let position = recent.copied().position(is_equal)?;
        let rank = u8::try_from(position).ok()?;
        self.use_rank(rank);
        Some(rank)
    }

    /// Moves the value of a rank to the front, and returns it.
    pub(super) fn use_rank(&mut self, rank: u8) -> Option<T> {
        let until = self.values.get_mut(..self.count)?.get_mut(..=usize::from(rank))?;
        until.rotate_right(1);
        until.first().copied()
    }

    pub(super) fn push(&mut self, value: T) {
        self.values.rotate_right(1);
        if let Some(first) = self.values.first_mut() {
            *first = value;
        }
        self.count = RECENT.min(self.count + 1);
    }
}
