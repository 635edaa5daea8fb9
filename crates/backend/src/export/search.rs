//! The search for the records that a backend refuses: how far a refused request is halved, and who is to blame.

/// Maximum number of refused requests while the backend accepts none: enough to reach single records in two places, and few
/// enough to spare a backend that refuses everything.
const MAX_REFUSED: usize = 24;

/// Once the backend has accepted records, one more piece for this number of items: enough to isolate bad records that are 1 % of
/// a thousand.
const ITEMS_PER_PIECE: usize = 4;

const MAX_PIECES_FOR_ITEMS: usize = 512;

/// The search in one delivery.
#[derive(Debug)]
pub(super) struct Search {
    /// Number of items of the whole request.
    items: usize,
    /// Number of pieces so far.
    pieces: usize,
    found: Found,
}

/// What the backend has accepted of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    Nothing {
        /// Number of requests whose content it refused.
        refused: usize,
    },
    GoodRecords,
}

/// What follows the refusal of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AfterRefusal {
    Halve,
    /// It is a single record.
    BlameRecord,
    /// The request has enough pieces. This one waits for a later delivery.
    KeepTogether,
    /// The backend refuses too much to blame any record.
    BlameBackend,
}

impl Search {
    pub(super) fn of(items: usize) -> Self {
        Self { items, pieces: 0, found: Found::Nothing { refused: 0 } }
    }

    pub(super) fn items(&self) -> usize {
        self.items
    }

    /// Notes that the backend accepts records of the request.
    pub(super) fn note_good(&mut self) {
        self.found = Found::GoodRecords;
    }

    pub(super) fn has_found_good(&self) -> bool {
        self.found == Found::GoodRecords
    }

    /// Decides what follows the refusal of a part with this number of items.
    pub(super) fn follow_refusal(&mut self, items: usize) -> AfterRefusal {
        if let Found::Nothing { refused } = &mut self.found {
            *refused += 1;
            if *refused > MAX_REFUSED {
                return AfterRefusal::BlameBackend;
            }
        }
        if items <= 1 {
            return AfterRefusal::BlameRecord;
        }
        // Each refused request has two halves.
        let for_items = (self.items / ITEMS_PER_PIECE).min(MAX_PIECES_FOR_ITEMS);
        if self.has_found_good() && self.pieces + 2 > 2 * MAX_REFUSED + for_items {
            return AfterRefusal::KeepTogether;
        }
        self.pieces += 2;
        AfterRefusal::Halve
    }
}
