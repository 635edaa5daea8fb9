//! Traces that were drawn, for telemetry that arrives later.

use super::Held;
use console::waterfall::{PLATFORM_SCOPE, has_failed};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use wire::ids::to_hex;

/// Maximum number of remembered items. The oldest traces are forgotten first.
const MOST_ITEMS: usize = 20_000;

#[derive(Default)]
pub(super) struct DrawnTraces {
    traces: VecDeque<DrawnTrace>,
    items: usize,
}

struct DrawnTrace {
    trace_id: Vec<u8>,
    telemetry: Held,
}

/// The number of new spans of the traces that are drawn again, by their ids in hex.
pub(super) type Redrawn = BTreeMap<String, usize>;

impl DrawnTraces {
    /// Adds the remembered items of these traces, so that they are drawn again whole. The extension writes Lambda's span of an
    /// invocation with the next one: alone, it is no reason to draw its trace again, and is taken out.
    pub(super) fn add_to(&mut self, held: &mut Held) -> Redrawn {
        let mut redrawn = Redrawn::new();
        let traces: BTreeSet<Vec<u8>> =
            held.spans.iter().map(|own| own.item.trace_id.clone()).collect();
        for trace_id in traces {
            let Some(mut known) = self.take(&trace_id) else { continue };
            let mut new: Held = held.take_trace(&trace_id);
            let has_failed = |all: &Held| all.spans.iter().any(|own| has_failed(&own.item));
            let is_lambdas = new.spans.iter().all(|own| own.scope == PLATFORM_SCOPE);
            let is_news = !is_lambdas || has_failed(&new) && !has_failed(&known.telemetry);
            let count = new.spans.len();
            known.telemetry.spans.append(&mut new.spans);
            held.records.append(&mut new.records);
            if is_news {
                redrawn.insert(to_hex(&trace_id), count);
                held.spans.append(&mut known.telemetry.spans);
                held.records.append(&mut known.telemetry.records);
            } else {
                self.put(known);
            }
        }
        redrawn
    }

    fn take(&mut self, trace_id: &[u8]) -> Option<DrawnTrace> {
        let index = self.traces.iter().position(|known| known.trace_id == trace_id)?;
        let known = self.traces.remove(index)?;
        self.items -= known.telemetry.items();
        Some(known)
    }

    fn put(&mut self, known: DrawnTrace) {
        self.items += known.telemetry.items();
        self.traces.push_back(known);
        while self.items > MOST_ITEMS {
            let Some(oldest) = self.traces.pop_front() else { return };
            self.items -= oldest.telemetry.items();
        }
    }

    /// Remembers the traces with spans here, which are drawn next.
    pub(super) fn remember(&mut self, held: &Held) {
        let mut traces: BTreeMap<&[u8], Held> = BTreeMap::new();
        for own in &held.spans {
            traces.entry(&own.item.trace_id).or_default().spans.push(own.clone());
        }
        for own in &held.records {
            if let Some(trace) = traces.get_mut(own.item.trace_id.as_slice()) {
                trace.records.push(own.clone());
            }
        }
        for (trace_id, telemetry) in traces {
            self.put(DrawnTrace { trace_id: trace_id.to_vec(), telemetry });
        }
    }
}
