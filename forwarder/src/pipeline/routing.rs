//! Decides where converted telemetry goes: to which destinations, to which streams, and what it is on the way.

use crate::deliver::Outgoing;
use crate::destination::{Export, Outlet};
use crate::ledger::{Account, Ledger};
use crate::parking::{Origin, Queue};
use crate::pipeline::Forwarder;
use crate::rules::{Effect, Place};
use crate::source::LogBatch;
use backend::{DropReason, sanitize};
use std::sync::Arc;
use wire::Request;

/// What all telemetry of one batch has in common.
pub(crate) struct Course {
    pub(crate) origin: Arc<Origin>,
    /// In place of the service name that log group and stream suggest, where a rule gives one.
    pub(crate) service_name: Option<String>,
    place: Place,
    ways: Vec<Way>,
}

impl Course {
    /// To how many destinations it goes.
    pub(crate) fn ways(&self) -> usize {
        self.ways.len()
    }
}

/// The requests of a batch on their ways, and what became of their items so far.
#[derive(Default)]
pub(crate) struct Prepared {
    pub(crate) account: Account,
    pub(crate) outgoing: Vec<Outgoing>,
    pub(crate) dropped: Vec<(DropReason, usize)>,
    pub(crate) rules: Vec<Effect>,
    pub(crate) unreadable: usize,
}

/// One destination of telemetry.
pub(crate) struct Way {
    /// Position of the destination.
    outlet: usize,
    /// OpenObserve's stream, where one was chosen.
    stream: Option<Arc<str>>,
}

impl<E: Export, Q: Queue> Forwarder<E, Q> {
    /// Where the telemetry of a batch goes, and what it is on the way.
    pub(crate) fn course(&self, batch: &LogBatch) -> Course {
        let region = self.options.convert.region.as_deref();
        let place = Place::of(&batch.envelope, region);
        let mut ways: Vec<Way> = Vec::new();
        for route in self.rules.routes(&place) {
            let named = |outlet: &Arc<Outlet<E>>| outlet.name() == route.destination;
            if let Some(outlet) = self.outlets.iter().position(named) {
                ways.push(Way { outlet, stream: route.stream.map(Arc::from) });
            }
        }
        if ways.is_empty() {
            ways.push(Way { outlet: 0, stream: None });
        }
        for way in &mut ways {
            if way.stream.is_none()
                && let Some(outlet) = self.outlets.get(way.outlet)
            {
                way.stream = outlet.stream(&place).map(Arc::from);
            }
        }
        let LogBatch { envelope, events } = batch;
        let origin = Origin::of(envelope, region, events.first(), events.last());
        let service_name = self.rules.service_name(&place);
        Course { origin: Arc::new(origin), place, ways, service_name }
    }

    /// Applies the rules to the requests of a batch, and puts them on their ways.
    pub(crate) fn prepare(
        &self,
        requests: Vec<Request>,
        service_name: &str,
        course: &Course,
    ) -> Prepared {
        let mut prepared = Prepared::default();
        let mut counted = Ledger::default();
        for request in &requests {
            counted += Ledger::of_items(request.kind(), request.items());
        }
        let mut requests = requests;
        if !self.rules.is_empty() {
            let applied = self.rules.apply_all(&course.place, requests);
            counted.dropped = applied.dropped();
            prepared.rules = applied.effects;
            prepared.unreadable = applied.unreadable;
            requests = applied.requests;
        }
        let Some((last, others)) = course.ways.split_last() else { return prepared };
        for way in &course.ways {
            // A destination of that position is there: ways are made of the same list.
            if let Some(outlet) = self.outlets.get(way.outlet) {
                prepared.account.add(outlet.name(), counted);
            }
        }
        for request in requests {
            for way in others {
                self.put_on_way(way, request.clone(), service_name, course, &mut prepared);
            }
            self.put_on_way(last, request, service_name, course, &mut prepared);
        }
        prepared
    }

    /// Puts a request on one way, as its destination asks for it.
    fn put_on_way(
        &self,
        way: &Way,
        request: Request,
        service_name: &str,
        course: &Course,
        prepared: &mut Prepared,
    ) {
        let Some(outlet) = self.outlets.get(way.outlet) else { return };
        let mut dropped = Ledger::default();
        let sanitized = sanitize(outlet.profile(), request, service_name);
        for (reason, items) in sanitized.dropped {
            dropped.dropped += items;
            prepared.dropped.push((reason, items));
        }
        prepared.account.add(outlet.name(), dropped);
        let survey = sanitized.survey;
        prepared.outgoing.extend(sanitized.request.map(|request| Outgoing {
            outlet: way.outlet,
            stream: way.stream.clone(),
            request,
            survey,
            origin: Arc::clone(&course.origin),
        }));
    }
}
