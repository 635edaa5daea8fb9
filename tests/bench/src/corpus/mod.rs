//! Telemetry of services that are described by templates: for the compact line's bench.
//!
//! A template file describes a kind of function. `resource`, `span KIND NAME`, `log SEVERITY BODY` and `metric FORM UNIT NAME`
//! begin a block; its lines are attributes, `key=value`. `scope NAME VERSION` stands before the blocks of an instrumentation. Values with `#` are integers. `{…}` stands for a value of the service or
//! the invocation, see `Values::of`.

mod request;
mod template;
mod values;

pub use request::{logs, metrics, traces};
pub use template::{Scope, Template};
pub use values::Values;

use crate::random::Random;
use crate::workload::Span;
use template::Block;

pub struct Function<'t> {
    template: &'t Template,
    pub values: Values,
    calls: Vec<&'t Block>,
}

impl<'t> Function<'t> {
    #[must_use]
    pub fn new(template: &'t Template, number: u64) -> Self {
        let mut random = Random::new(number ^ 0x5eed);
        let values = Values::new(number, &mut random);
        let mut calls: Vec<_> = template.calls.iter().collect();
        // A function makes few kinds of calls.
        while calls.len() > 4 {
            let at = usize::try_from(random.below(calls.len() as u64)).unwrap_or(0);
            calls.remove(at);
        }
        Self { template, values, calls }
    }

    #[must_use]
    pub fn spans(&mut self, invocation: u64, spans: u64) -> Vec<(Scope, Span)> {
        let mut random = self.begin(invocation);
        let (trace_id, root_id) = (random.next_u128(), random.next_u64());
        let start = 1_792_000_000_000_000_000 + random.below(20_000_000_000_000_000);
        let mut now = start + 100_000 + random.below(900_000);
        let mut ended = Vec::new();
        for number in 1..spans {
            let at = usize::try_from(number).unwrap_or(0) % self.calls.len().max(1);
            let call_start = now;
            now += 800_000 + random.below(30_000_000);
            if let Some(call) = self.calls.get(at) {
                let mut span = call.span(&mut self.values, &mut random, call_start, now);
                (span.trace_id, span.span_id, span.parent_span_id) =
                    (trace_id, random.next_u64(), root_id);
                ended.push((call.scope, span));
            }
            now += random.below(700_000);
        }
        let end = now + random.below(1_000_000);
        let mut root = self.template.root.span(&mut self.values, &mut random, start, end);
        (root.trace_id, root.span_id) = (trace_id, root_id);
        ended.push((self.template.root.scope, root));
        let unit = self.template.nanos_of_times;
        for (_, span) in &mut ended {
            span.start_unix_nanos -= span.start_unix_nanos % unit;
            span.end_unix_nanos -= span.end_unix_nanos % unit;
        }
        ended
    }

    fn begin(&mut self, invocation: u64) -> Random {
        let mut random = Random::new(self.values.number << 32 | invocation);
        self.values.begin_invocation(&mut random);
        random
    }
}
