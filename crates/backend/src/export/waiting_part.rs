//! A part of a request, and what its attempts have shown so far.

use wire::Request;

/// A piece of the request that waits to be sent.
#[derive(Debug)]
pub(super) struct WaitingPart {
    pub(super) request: Request,
    /// `true` if its items are already counted in `ambiguous_items`.
    pub(super) ambiguous: bool,
    /// `true` if the backend answered once that it wrote nothing.
    pub(super) nothing_written: bool,
    /// Number of requests with its items, in a row, on which the backend crashed.
    pub(super) crashes: u32,
    /// New columns of the stream, as hashes; `None` before the search for them.
    pub(super) new_columns: Option<Vec<u64>>,
    /// `true` if these few items are sent before the others because of their new columns.
    pub(super) is_ahead: bool,
}

impl WaitingPart {
    /// Returns a part to send, or `None` if it is empty: receivers need no empty requests (OTLP 1.x).
    pub(super) fn new(request: Request) -> Option<Self> {
        let part = Self {
            request,
            ambiguous: false,
            nothing_written: false,
            crashes: 0,
            new_columns: None,
            is_ahead: false,
        };
        (part.request.items() > 0).then_some(part)
    }

    /// Returns a piece of this part, with its history.
    pub(super) fn piece(&self, request: Request) -> Option<Self> {
        let &Self { ambiguous, nothing_written, crashes, ref new_columns, .. } = self;
        // Pieces of a part that was searched are not searched again.
        let new_columns = new_columns.as_ref().map(|_| Vec::new());
        Some(Self { ambiguous, nothing_written, crashes, new_columns, ..Self::new(request)? })
    }
}
