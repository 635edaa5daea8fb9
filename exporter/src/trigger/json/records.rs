//! Messages and changed documents as plain JSON.

use crate::trigger::description::{
    self, BodyPlace, DescribedSource, DestinationPlace, Excerpt, at, text_at,
};
use crate::trigger::documents::{DocumentChange, describe_changes, object_name};
use crate::trigger::messages::{
    Body, HeaderLookup, IncomingMessage, describe_batch, describe_message, describe_notifications,
};
use crate::trigger::sender::header_in;
use crate::trigger::span_attributes::SpanAttributes;
use crate::trigger::times::{rfc3339, unix_ms_at};
use serde_json::{Map, Value};

/// The records of an event.
pub(super) struct EventRecords<'a> {
    source: &'static DescribedSource,
    places: &'static description::RecordPlaces,
    event: &'a Value,
    lists: Lists<'a>,
    /// Whether the event is one of the records that otherwise come in a list.
    is_alone: bool,
}

enum Lists<'a> {
    One(&'a [Value]),
    /// A list for each queue or partition.
    ByKey(&'a Map<String, Value>),
}

#[derive(Clone, Copy)]
struct Record<'a> {
    value: &'a Value,
    key: Option<&'a str>,
}

impl<'a> EventRecords<'a> {
    /// The records of an event of this source, whose list is known. `None` without any.
    pub(super) fn of(
        source: &'static DescribedSource,
        event: &'a Value,
        list: Option<&'a Vec<Value>>,
    ) -> Option<Self> {
        let places = source.records?;
        let lists = match places.at.and_then(|pointer| at(event, pointer.as_str())) {
            Some(Value::Object(lists)) => Some(Lists::ByKey(lists)),
            Some(Value::Array(list)) => Some(Lists::One(list)),
            _ => list.map(|list| Lists::One(list)),
        };
        let is_alone = lists.is_none() && !places.is_event;
        let lists = lists.unwrap_or_else(|| Lists::One(std::slice::from_ref(event)));
        let records = Self { source, places, event, lists, is_alone };
        records.each().next()?;
        Some(records)
    }

    fn each(&self) -> Box<dyn Iterator<Item = Record<'a>> + 'a> {
        match self.lists {
            Lists::One(list) => Box::new(list.iter().map(|value| Record { value, key: None })),
            Lists::ByKey(lists) => Box::new(lists.iter().flat_map(|(key, list)| {
                let list = list.as_array().into_iter().flatten();
                list.map(move |value| Record { value, key: Some(key) })
            })),
        }
    }

    pub(super) fn describe(&self, described: &mut SpanAttributes) {
        if let Some(document) = self.places.document {
            described.attributes.extend(self.changes(document));
        }
        let Some(system) = self.places.system else { return };
        let system = system.as_str();
        let records = self.each().map(|record| self.message(record));
        let of_messages = if self.is_alone {
            let alone = Record { value: self.event, key: None };
            describe_message(system, self.message(alone))
        } else if self.places.sender_is_parent {
            describe_notifications(system, records.collect())
        } else {
            describe_batch(system, records)
        };
        described.attributes.extend(of_messages.attributes);
        described.links = of_messages.links;
        described.span_name = of_messages.span_name;
        described.received_at = of_messages.received_at;
        if of_messages.carrier.is_some() {
            described.carrier = of_messages.carrier;
        }
    }

    fn changes(&self, document: &description::DocumentPlaces) -> Vec<opentelemetry::KeyValue> {
        let text =
            |record: Record<'a>, pointer: Option<Excerpt>| text_at(record.value, pointer?.as_str());
        describe_changes(
            document.operations,
            self.each().map(|record| DocumentChange {
                collection: text(record, Some(document.collection)),
                event_name: text(record, Some(document.operation)).unwrap_or_default(),
                name: text(record, document.name).map(object_name),
                time: text(record, document.time).and_then(rfc3339),
            }),
        )
        .attributes
    }

    fn message(
        &self,
        Record { value, key }: Record<'a>,
    ) -> IncomingMessage<'a, impl HeaderLookup<'a> + use<'a>> {
        let places = self.places;
        let text = |pointer: Option<Excerpt>| text_at(value, pointer?.as_str());
        let number = |pointer: Option<Excerpt>| at(value, pointer?.as_str())?.as_i64();
        let header = move |name: &str| {
            let mut maps = places.headers.iter().filter_map(|pointer| at(value, pointer));
            maps.find_map(|headers| header_in(headers, name))
        };
        let destination = places.destination.and_then(|destination| match destination {
            DestinationPlace::Record(pointer) => text_at(value, pointer.as_str()),
            DestinationPlace::Event(pointer) => text_at(self.event, pointer.as_str()),
            DestinationPlace::Key(separator) => key?.split(separator.as_str()).next(),
        });
        let body = places.body.and_then(|body| match body {
            BodyPlace::Text(pointer) => text_at(value, pointer.as_str()).map(Body::Text),
            BodyPlace::Base64(pointer) => text_at(value, pointer.as_str()).map(Body::Base64),
            BodyPlace::Object(pointer) => at(value, pointer.as_str()).map(Body::Object),
        });
        IncomingMessage {
            id: text(places.id),
            destination,
            partition: number(places.partition),
            offset: number(places.offset),
            received_ms: unix_ms_at(value, self.source.received),
            body,
            ..IncomingMessage::new(header)
        }
    }
}
