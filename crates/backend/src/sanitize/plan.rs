//! Plans: what the rules about keys and types change in the items of one shape, computed once.

use super::gen_ai::GenAi;
use super::hash::KeyHash;
use super::planned::{Planned, ReadAttribute, are_unchanged};
use super::request_facts::KeySketch;
use super::same_column::ColumnClaims;
use super::severity;
use super::taken_columns::{SignalColumns, TakenColumns};
use super::text_values::plan_texts;
use super::typed_columns::{separate_body, separate_types};
use std::cell::RefCell;
use std::rc::Rc;

/// What changes in the items of one shape.
pub(super) struct Plan {
    /// The attributes to write; `None` if all stay.
    pub(super) attributes: Option<Vec<Planned>>,
    /// The body of a log record to write; `None` if it stays.
    pub(super) body: Option<Planned>,
    /// Number of keys that are renamed because another key has their column.
    pub(super) renamed: usize,
    /// The keys that an item has then.
    pub(super) keys: KeySketch,
}

/// The item of a new shape.
pub(super) struct NewShape<'a> {
    pub(super) attributes: Vec<ReadAttribute<'a>>,
    /// The encoded body of a log record.
    pub(super) body: Option<&'a [u8]>,
    /// What OpenObserve would do with the attributes of a span.
    pub(super) gen_ai: Option<GenAi>,
}

impl Plan {
    pub(super) fn of_item(shape: &NewShape<'_>, taken: &TakenColumns<'_>) -> Self {
        let mut planned = Planned::read_all(&shape.attributes, taken);
        let mut claims = ColumnClaims::default();
        let body = shape.body.map(|value| plan_body(value, &mut claims));
        // The text that the rule about severities adds is the first attribute.
        let is_original = |attribute: &ReadAttribute<'_>| attribute.is_added(severity::ORIGINAL);
        if shape.attributes.first().is_some_and(is_original) {
            let others = planned.iter_mut().skip(1);
            others.filter(|it| it.key == severity::ORIGINAL).for_each(Planned::make_room);
        }
        let loses = |attribute: &Planned| {
            shape.gen_ai.as_ref().is_some_and(|gen_ai| gen_ai.loses(attribute))
        };
        plan_texts(&mut planned);
        let numbers = taken.has_types().then(|| separate_types(&mut planned));
        claims.separate(&mut planned, |attribute| taken.collides(attribute) || loses(attribute));
        if let Some(numbers) = numbers {
            numbers.add_to(&mut planned, |attribute| taken.collides(attribute));
        }
        let mut plan = Self::new(planned, shape.attributes.len(), &claims, KeyHash::of_item);
        plan.keys.has_maps |= body.as_ref().is_some_and(Planned::is_map);
        plan.body = body.filter(|body| !body.is_unchanged());
        plan
    }

    pub(super) fn of_resource(attributes: &[ReadAttribute<'_>], signal: &SignalColumns) -> Self {
        let mut planned = Planned::read_all_alone(attributes);
        let collides = |it: &Planned| signal.is_reserved_in_resources(it.key.as_bytes());
        let mut claims = ColumnClaims::default();
        plan_texts(&mut planned);
        let numbers = signal.has_types.then(|| separate_types(&mut planned));
        claims.separate(&mut planned, collides);
        if let Some(numbers) = numbers {
            numbers.add_to(&mut planned, collides);
        }
        Self::new(planned, attributes.len(), &claims, KeyHash::of_resource)
    }

    fn new(
        planned: Vec<Planned>,
        read: usize,
        claims: &ColumnClaims,
        hash: fn(&[u8]) -> KeyHash,
    ) -> Self {
        let mut keys = KeySketch::default();
        for attribute in &planned {
            keys.add_key(hash(attribute.key.as_bytes()));
            keys.has_maps |= attribute.is_map();
        }
        let stays = planned.len() == read && are_unchanged(&planned);
        let attributes = (!stays).then_some(planned);
        Self { attributes, body: None, renamed: claims.renamed(), keys }
    }

    pub(super) fn is_as_read(&self) -> bool {
        self.attributes.is_none() && self.body.is_none()
    }
}

fn plan_body(value: &[u8], claims: &mut ColumnClaims) -> Planned {
    let mut body = Planned::read_alone(0, b"body", value);
    plan_texts(std::slice::from_mut(&mut body));
    if body.is_map() {
        separate_body(&mut body.entries);
        claims.separate_body(&mut body.entries);
    }
    body
}

/// The plans of the shapes that this thread has seen. A plan follows from its shape, so that a forgotten one only costs time.
pub(super) struct Plans {
    slots: Vec<Option<KnownPlan>>,
}

struct KnownPlan {
    shape: u64,
    plan: Rc<Plan>,
}

/// More than the shapes of most functions, so that few share a slot.
const SLOTS: usize = 1 << 11;

/// A plan with more attributes and entries isn't kept, so that all kept ones together have less than 32 MiB.
const MAX_KEPT_ATTRIBUTES: usize = 64;

thread_local! {
    static PLANS: RefCell<Plans> =
        RefCell::new(Plans { slots: std::iter::repeat_with(|| None).take(SLOTS).collect() });
}

impl Plans {
    /// Calls `with` with the plans of this thread.
    pub(super) fn with<R>(with: impl FnOnce(&mut Self) -> R) -> R {
        PLANS.with_borrow_mut(with)
    }

    #[inline]
    pub(super) fn find(&self, shape: u64) -> Option<Rc<Plan>> {
        let known = self.slots.get(slot(shape))?.as_ref()?;
        (known.shape == shape).then(|| Rc::clone(&known.plan))
    }

    #[cold]
    pub(super) fn add(&mut self, shape: u64, plan: Plan) -> Rc<Plan> {
        let plan = Rc::new(plan);
        let planned = plan.attributes.iter().flatten().chain(&plan.body);
        if planned.map(Planned::count).sum::<usize>() <= MAX_KEPT_ATTRIBUTES
            && let Some(slot) = self.slots.get_mut(slot(shape))
        {
            *slot = Some(KnownPlan { shape, plan: Rc::clone(&plan) });
        }
        plan
    }
}

#[inline]
fn slot(shape: u64) -> usize {
    #[expect(clippy::cast_possible_truncation, reason = "the highest bits of a hash")]
    let slot = (shape >> (u64::BITS - SLOTS.ilog2())) as usize;
    slot
}
