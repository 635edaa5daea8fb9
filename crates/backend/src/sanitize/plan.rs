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
pub(super) struct Plan<'a> {
    /// The attributes to write; `None` if all stay.
    pub(super) attributes: Option<Vec<Planned<'a>>>,
    /// The body of a log record to write; `None` if it stays.
    pub(super) body: Option<Planned<'a>>,
    /// The places of a resource's attributes that get another name, in order; none for items.
    pub(super) renamed_places: Vec<usize>,
    /// Number of keys that are renamed because another key has their column.
    pub(super) renamed: usize,
    /// The keys that an item has then.
    pub(super) keys: KeySketch,
}

/// An item whose shape has no plan yet.
pub(super) struct NewItem<'a> {
    pub(super) attributes: Vec<ReadAttribute<'a>>,
    /// The encoded body of a log record.
    pub(super) body: Option<&'a [u8]>,
    /// What OpenObserve would do with the attributes of a span.
    pub(super) gen_ai: Option<GenAi>,
}

impl<'a> Plan<'a> {
    pub(super) fn make_for_item(item: &NewItem<'a>, taken: &TakenColumns<'_>) -> Self {
        let mut planned = Planned::read_all(&item.attributes, taken);
        let mut claims = ColumnClaims::default();
        let body = item.body.map(|value| plan_body(value, &mut claims));
        // The text that the rule about severities adds is the first attribute.
        let is_original = |attribute: &ReadAttribute<'_>| attribute.is_added(severity::ORIGINAL);
        if item.attributes.first().is_some_and(is_original) {
            let others = planned.iter_mut().skip(1);
            others.filter(|it| it.key == severity::ORIGINAL).for_each(Planned::make_room);
        }
        let loses = |attribute: &Planned<'_>| {
            item.gen_ai.as_ref().is_some_and(|gen_ai| gen_ai.loses(attribute))
        };
        plan_texts(&mut planned);
        let numbers = taken.has_types().then(|| separate_types(&mut planned));
        claims.separate(&mut planned, |attribute| taken.collides(attribute) || loses(attribute));
        if let Some(numbers) = numbers {
            numbers.add_to(&mut planned, |attribute| taken.collides(attribute));
        }
        let mut plan = Self::new(planned, item.attributes.len(), &claims, KeyHash::of_item);
        plan.keys.has_maps |= body.as_ref().is_some_and(Planned::is_map);
        plan.body = body.filter(|body| !body.is_unchanged());
        plan
    }

    pub(super) fn make_for_resource(
        attributes: &[ReadAttribute<'a>],
        signal: &SignalColumns,
    ) -> Self {
        let mut planned = Planned::read_all_alone(attributes);
        let collides = |it: &Planned<'_>| signal.is_reserved_in_resources(it.key.as_bytes());
        let mut claims = ColumnClaims::default();
        plan_texts(&mut planned);
        let numbers = signal.has_types.then(|| separate_types(&mut planned));
        claims.separate(&mut planned, collides);
        if let Some(numbers) = numbers {
            numbers.add_to(&mut planned, collides);
        }
        let renamed = planned.iter().take(attributes.len()).filter(|it| it.is_renamed);
        let renamed_places = renamed.map(|attribute| attribute.source).collect();
        let plan = Self::new(planned, attributes.len(), &claims, KeyHash::of_resource);
        Self { renamed_places, ..plan }
    }

    fn new(
        planned: Vec<Planned<'a>>,
        read: usize,
        claims: &ColumnClaims,
        hash: fn(&[u8]) -> KeyHash,
    ) -> Self {
        let mut keys = KeySketch::default();
        for attribute in &planned {
            keys.add_key(hash(attribute.key.as_bytes()));
            if let Some(added) = attribute.added_number() {
                keys.add_key(hash(added.key.as_bytes()));
            }
            keys.has_maps |= attribute.is_map();
        }
        let stays = planned.len() == read && are_unchanged(&planned);
        let attributes = (!stays).then_some(planned);
        let renamed = claims.renamed();
        Self { attributes, body: None, renamed_places: Vec::new(), renamed, keys }
    }

    fn count(&self) -> usize {
        self.attributes.iter().flatten().chain(&self.body).map(Planned::count).sum()
    }

    fn into_owned(self) -> Plan<'static> {
        let Self { attributes, body, renamed_places, renamed, keys } = self;
        let own =
            |planned: Vec<Planned<'a>>| planned.into_iter().map(Planned::into_owned).collect();
        let attributes = attributes.map(own);
        Plan { attributes, body: body.map(Planned::into_owned), renamed_places, renamed, keys }
    }

    pub(super) fn is_as_read(&self) -> bool {
        self.attributes.is_none() && self.body.is_none()
    }
}

fn plan_body<'a>(value: &'a [u8], claims: &mut ColumnClaims) -> Planned<'a> {
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
    /// Number of attributes and entries in all plans since the table was empty.
    kept: usize,
}

struct KnownPlan {
    shape: u64,
    plan: Rc<Plan<'static>>,
}

/// More than the shapes of most functions, so that few share a slot.
const SLOTS: usize = 1 << 11;

/// Limit on the attributes and entries of all kept plans, which have about 150 bytes each. Above it, all are forgotten.
const MAX_KEPT: usize = 1 << 16;

/// Limit on those of one plan that is kept.
const MAX_OF_ONE: usize = 1 << 12;

thread_local! {
    static PLANS: RefCell<Plans> =
        RefCell::new(Plans { slots: std::iter::repeat_with(|| None).take(SLOTS).collect(), kept: 0 });
}

impl Plans {
    /// Calls `with` with the plans of this thread.
    pub(super) fn with<R>(with: impl FnOnce(&mut Self) -> R) -> R {
        PLANS.with_borrow_mut(with)
    }

    #[inline]
    pub(super) fn find(&self, shape: u64) -> Option<Rc<Plan<'static>>> {
        let known = self.slots.get(slot(shape))?.as_ref()?;
        (known.shape == shape).then(|| Rc::clone(&known.plan))
    }

    #[cold]
    pub(super) fn add<'a>(&mut self, shape: u64, plan: Plan<'a>) -> Rc<Plan<'a>> {
        let count = plan.count();
        if count > MAX_OF_ONE {
            return Rc::new(plan);
        }
        if self.kept + count > MAX_KEPT {
            self.slots.fill_with(|| None);
            self.kept = 0;
        }
        self.kept += count;
        let plan = Rc::new(plan.into_owned());
        if let Some(slot) = self.slots.get_mut(slot(shape)) {
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
