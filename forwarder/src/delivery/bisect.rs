//! Sends a rejected request again in pieces, so that bad records do not block good ones forever.
//!
//! The backend's client halves a rejected request. If it accepts none of the first 25, the client stops, because the fault
//! may be the server's. A message with bad records throughout would stop there each time. So each attempt divides the request into
//! finer pieces, each with the client's full limits, until some records are accepted. The rest then goes into new messages.

use crate::delivery::destination::Export;
use backend::{Fate, Outcome, UndeliveredPart};
use tokio::time::Instant;
use wire::Request;

const MAX_PIECES: usize = 8;

/// If none of this many pieces is accepted, the others are not tried. A backend that rejects everything gets at most 73
/// requests for each attempt, and no record is blamed.
const FIRST_PIECES: usize = 4;

/// After this many requests without an accepted item, the other pieces are not tried either. If a backend accepts requests and
/// writes nothing, its client halves each piece as far as possible, because a piece with fewer columns might be written.
const MAX_REFUSED_REQUESTS: usize = 24;

/// Number of refinements, each to a quarter. After 4,096 pieces they start again.
const REFINEMENTS: u32 = 6;

/// Sends a request in pieces if its outcome as a whole is that the content was rejected. Each `refinement` has finer pieces.
pub(crate) async fn bisect_refused<E: Export>(
    export: &E,
    stream: Option<&str>,
    outcome: Outcome,
    refinement: u32,
    deadline: Instant,
) -> Outcome {
    let is_refused_whole = outcome.accepted == 0 && outcome.parts.iter().all(is_refused_request);
    if !is_refused_whole {
        return outcome;
    }
    let mut result = Outcome { parts: Vec::new(), ..outcome };
    let mut attempts = PieceAttempts::default();
    for UndeliveredPart { request, reason, .. } in outcome.parts {
        let Bisection { pieces, others } = Bisection::of(request, refinement);
        for piece in pieces {
            if attempts.are_over(has_accepted_any(&result)) {
                result += Outcome::unsent(piece, reason.clone(), Fate::Park);
                continue;
            }
            let of_piece = export.export(stream, piece, deadline).await;
            attempts.note(&of_piece);
            result += of_piece;
        }
        for other in others {
            result += Outcome::unsent(other, reason.clone(), Fate::Park);
        }
    }
    if has_accepted_any(&result) {
        blame_refused_records(&mut result.parts);
    }
    result
}

/// Returns `true` for a request whose content was refused, and that may be divided: not for a single refused record.
fn is_refused_request(part: &UndeliveredPart) -> bool {
    part.fate == Fate::Park && part.reason.refuses_content()
}

fn has_accepted_any(outcome: &Outcome) -> bool {
    let is_partial = |part: &UndeliveredPart| part.fate == Fate::DeadLetterPartial;
    outcome.accepted > 0 || outcome.parts.iter().any(is_partial)
}

/// Dead-letters the single records that the backend refused, because it accepts others.
fn blame_refused_records(parts: &mut [UndeliveredPart]) {
    for part in parts {
        if part.fate == Fate::ParkRefused {
            part.fate = Fate::DeadLetter;
        }
    }
}

/// The attempts of one bisection.
#[derive(Default)]
struct PieceAttempts {
    pieces: usize,
    requests: usize,
    /// `true` if the backend is down or the deadline has passed.
    has_failed: bool,
}

impl PieceAttempts {
    /// Returns `true` if no further piece is sent.
    fn are_over(&self, has_accepted_any: bool) -> bool {
        let is_in_vain = self.pieces >= FIRST_PIECES || self.requests >= MAX_REFUSED_REQUESTS;
        self.has_failed || self.pieces >= MAX_PIECES || (is_in_vain && !has_accepted_any)
    }

    fn note(&mut self, outcome: &Outcome) {
        self.pieces += 1;
        self.requests += outcome.requests_sent;
        self.has_failed |= outcome.parts.iter().any(|part| {
            matches!(part.fate, Fate::Park | Fate::ParkWithAlarm) && !is_refused_request(part)
        });
    }
}

/// Pieces from all over a request.
struct Bisection {
    /// In sending order. The first ones are not neighbours.
    pieces: Vec<Request>,
    /// The parts between the pieces.
    others: Vec<Request>,
}

impl Bisection {
    /// Selects one piece of each block of neighbours. Each refinement has smaller pieces, and selects other places of the blocks.
    fn of(request: Request, refinement: u32) -> Self {
        let items = request.items();
        let all_pieces = 4_usize.pow(1 + refinement % REFINEMENTS).min(items).max(1);
        let piece_items = items.div_ceil(all_pieces);
        let blocks = all_pieces.min(MAX_PIECES);
        let block_items = items.div_ceil(blocks);
        let offsets = block_items - piece_items + 1;
        let offset = usize::try_from(refinement).unwrap_or(0) * piece_items % offsets;
        // The part before the first piece, the piece, the part before the second piece, and so on.
        let mut sizes = Vec::with_capacity(2 * blocks);
        let mut end = 0;
        for block in 0..blocks {
            let begin = block * block_items + offset;
            sizes.push(begin - end);
            sizes.push(piece_items);
            end = begin + piece_items;
        }
        let mut of_even_blocks = Vec::new();
        let mut of_odd_blocks = Vec::new();
        let mut others = Vec::new();
        let mut parts = request.parts(&sizes).into_iter();
        for block in 0..blocks {
            others.extend(parts.next());
            let of_block = if block % 2 == 0 { &mut of_even_blocks } else { &mut of_odd_blocks };
            of_block.extend(parts.next());
        }
        // The part after the last piece.
        others.extend(parts);
        let mut pieces = of_even_blocks;
        pieces.append(&mut of_odd_blocks);
        pieces.retain(|piece| piece.items() > 0);
        others.retain(|other| other.items() > 0);
        Self { pieces, others }
    }
}
