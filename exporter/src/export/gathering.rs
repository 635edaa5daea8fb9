//! Holds the requests of a flush until all of its signals are encoded, so that they can share a compact line.

use std::cell::RefCell;
use wire::Request;

/// A request and the service name of its resource.
pub(super) struct Gathered {
    pub(super) source: String,
    pub(super) request: Request,
}

thread_local! {
    /// The requests of this thread's flush, and the address of the exporter that writes them.
    static GATHERED: RefCell<Option<(usize, Vec<Gathered>)>> = const { RefCell::new(None) };
}

/// Collects the requests of one exporter on this thread, until it is dropped. Other threads write their requests at once.
pub(crate) struct Gathering {
    exporter: usize,
    /// `false` if the application flushes within a flush.
    is_outermost: bool,
}

impl Gathering {
    pub(super) fn begin(exporter: usize) -> Self {
        GATHERED.with_borrow_mut(|gathered| {
            let is_outermost = gathered.is_none();
            gathered.get_or_insert_with(|| (exporter, Vec::new()));
            Self { exporter, is_outermost }
        })
    }

    /// Ends the collection and returns its requests in the order in which they were encoded.
    pub(super) fn end(self) -> Vec<Gathered> {
        GATHERED.with_borrow_mut(|gathered| match gathered {
            Some((own, requests)) if *own == self.exporter => std::mem::take(requests),
            _ => Vec::new(),
        })
    }
}

impl Drop for Gathering {
    fn drop(&mut self) {
        if self.is_outermost {
            GATHERED.set(None);
        }
    }
}

/// Takes a request of this exporter, or returns it if this thread gathers none for the exporter.
pub(super) fn gather(exporter: usize, source: &str, request: Request) -> Option<Request> {
    GATHERED.with_borrow_mut(|gathered| match gathered {
        Some((own, requests)) if *own == exporter => {
            requests.push(Gathered { source: source.to_owned(), request });
            None
        }
        _ => Some(request),
    })
}
