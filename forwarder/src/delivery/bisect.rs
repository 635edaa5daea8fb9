//! Sends a rejected request again in pieces, so that bad records do not block good ones forever.
//!
//! The backend's client halves a rejected request. If it accepts none of the first 25, the client stops, because the fault
//! may be the server's. A message with bad records throughout would stop there each time. So each attempt divides the request into
//! finer pieces, each with the client's full limits, until some records are accepted. The rest then goes into new messages.

use crate::delivery::destination::Export;
use backend::{Fate, Outcome, UndeliveredPart};
use tokio::time::Instant;
use wire::Request;

const MOST_PIECES: usize = 8;

/// If none of this many pieces is accepted, the others are not tried. A backend that rejects everything gets at most 73
/// requests for each attempt, and no record is blamed.
const FIRST_PIECES: usize = 4;

/// The other limit for useless attempts. If a backend accepts requests and writes nothing, its client halves each piece as far as
/// possible, because a piece with fewer columns might be written.
const MOST_REQUESTS_IN_VAIN: usize = 24;

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
    let is_refused =
        |part: &UndeliveredPart| part.fate == Fate::Park && part.reason.refuses_content();
    let is_whole = outcome.accepted == 0 && outcome.parts.iter().all(is_refused);
    if !is_whole {
        return outcome;
    }
    let mut all = Outcome { parts: Vec::new(), ..outcome };
    let mut sent = 0;
    let mut requests = 0;
    let mut goes_on = true;
    for part in outcome.parts {
        let UndeliveredPart { request, reason, .. } = part;
        let (pieces, between) = divide(request, refinement);
        for piece in pieces {
            let is_in_vain = sent >= FIRST_PIECES || requests >= MOST_REQUESTS_IN_VAIN;
            let is_hopeless = is_in_vain && !is_anything_accepted(&all);
            if !goes_on || is_hopeless || sent >= MOST_PIECES {
                all += Outcome::unsent(piece, reason.clone(), Fate::Park);
                continue;
            }
            let outcome = export.export(stream, piece, deadline).await;
            sent += 1;
            requests += outcome.requests_sent;
            // Stops if the backend is down or the deadline has passed.
            goes_on = outcome.parts.iter().all(|part| {
                !matches!(part.fate, Fate::Park | Fate::ParkWithAlarm) || is_refused(part)
            });
            all += outcome;
        }
        for rest in between {
            all += Outcome::unsent(rest, reason.clone(), Fate::Park);
        }
    }
    if is_anything_accepted(&all) {
        for part in &mut all.parts {
            part.fate = match part.fate {
                Fate::ParkRefused => Fate::DeadLetter,
                fate => fate,
            };
        }
    }
    all
}

fn is_anything_accepted(outcome: &Outcome) -> bool {
    let is_partial = |part: &UndeliveredPart| part.fate == Fate::DeadLetterPartial;
    outcome.accepted > 0 || outcome.parts.iter().any(is_partial)
}

/// Selects pieces from all over the request, in sending order, and returns them with the parts between them. The first ones are
/// not adjacent, and each refinement selects other places.
fn divide(request: Request, refinement: u32) -> (Vec<Request>, Vec<Request>) {
    let items = request.items();
    let all = 4_usize.pow(1 + refinement % REFINEMENTS).min(items).max(1);
    let units = items.div_ceil(all);
    let blocks = all.min(MOST_PIECES);
    let block = items.div_ceil(blocks);
    let shift = usize::try_from(refinement).unwrap_or(0) * units % (block - units + 1);
    let mut sizes = Vec::with_capacity(2 * blocks);
    let mut at = 0;
    for number in 0..blocks {
        let begin = number * block + shift;
        sizes.extend([begin - at, units]);
        at = begin + units;
    }
    let mut even = Vec::new();
    let mut odd = Vec::new();
    let mut between = Vec::new();
    for (number, part) in request.parts(&sizes).into_iter().enumerate() {
        match number % 4 {
            1 => even.push(part),
            3 => odd.push(part),
            _ => between.push(part),
        }
    }
    even.append(&mut odd);
    even.retain(|piece| piece.items() > 0);
    between.retain(|rest| rest.items() > 0);
    (even, between)
}
