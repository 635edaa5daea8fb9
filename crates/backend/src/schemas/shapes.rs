//! The shapes of log records, by which records that need no look at the schema are recognized: keys, and types of values.

use super::column_types::{MAX_EXACT, WantedColumns};
use crate::sanitize::hash::{KeyHash, combined};
use crate::sanitize::limits::LOG_MAP_LEVELS;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use prost::Message as _;
use std::collections::HashSet;
use wire::Request;
use wire::field::log_record;
use wire::protobuf::{Value, fields};
use wire::view::{self, holds_map, key_and_value, map_entries, may_nest};

/// The first byte of a whole number.
const INTEGER_TAG: u8 = 3 << 3;

/// Keys and types of log records whose columns are known to hold them, as hashes.
#[derive(Debug, Default)]
pub(crate) struct KnownShapes {
    shapes: HashSet<u64>,
}

/// The records of a request whose shapes are new.
#[derive(Debug, Default)]
pub(crate) struct NewShapes {
    /// Their columns and types.
    pub(crate) wanted: WantedColumns,
    pub(crate) shapes: HashSet<u64>,
}

/// Above this number of hashes, all are forgotten, and the next requests are compared with the schema again.
const MAX_SHAPES: usize = 1 << 16;

impl KnownShapes {
    pub(crate) fn add(&mut self, shapes: impl IntoIterator<Item = u64>) {
        if self.shapes.len() > MAX_SHAPES {
            self.shapes.clear();
        }
        self.shapes.extend(shapes);
    }

    /// Returns `true` if a record for this stream has another shape than earlier ones.
    pub(crate) fn has_new(&self, stream: &[u8], request: &Request) -> bool {
        let mut has_new = false;
        each_shape(stream, request, |shape, _, _| has_new |= !self.shapes.contains(&shape));
        has_new
    }

    pub(crate) fn new_in(&self, stream: &[u8], request: &Request) -> NewShapes {
        let mut new = NewShapes::default();
        each_shape(stream, request, |shape, resource, record| {
            if !self.shapes.contains(&shape) && new.shapes.insert(shape) {
                for attribute in resource.attributes() {
                    new.wanted.add_attributes(&Vec::from_iter(KeyValue::decode(attribute)));
                }
                new.wanted.add_record(record);
            }
        });
        new
    }
}

/// Calls `take` with the shape of each record, its resource and itself, except for repetitions.
fn each_shape<'r>(
    stream: &[u8],
    request: &'r Request,
    mut take: impl FnMut(u64, &view::Container<'r>, &'r [u8]),
) {
    let stream = KeyHash::of_item(stream).hash;
    let mut last = None;
    for container in request.containers() {
        let mut resource = stream;
        for attribute in container.attributes() {
            add_type(&mut resource, attribute);
        }
        for record in container.scopes().flat_map(view::ScopeContainer::messages) {
            let mut shape = resource;
            for field in fields(record) {
                match (field.number, field.value) {
                    (log_record::ATTRIBUTES, Value::Len(attribute)) => {
                        add_type(&mut shape, attribute);
                    }
                    (log_record::BODY, Value::Len(body)) if may_nest(body) => {
                        add_nested(&mut shape, body, LOG_MAP_LEVELS);
                    }
                    _ => {}
                }
            }
            if last != Some(shape) {
                take(shape, &container, record);
                last = Some(shape);
            }
        }
    }
}

#[inline]
fn add_type(shape: &mut u64, attribute: &[u8]) {
    let (key, value) = key_and_value(attribute);
    *shape = combined(*shape ^ type_mark(value), KeyHash::of_item(key).hash);
    if may_nest(value) {
        add_nested(shape, value, LOG_MAP_LEVELS - 1);
    }
}

/// Returns a number for the type of a value.
#[inline]
fn type_mark(value: &[u8]) -> u64 {
    match value {
        // Nine bytes are the least of a number beyond 2^53, and of each negative one.
        [INTEGER_TAG, _, _, _, _, _, _, _, _, ..] => integer_mark(value),
        // The first byte of a value names its type.
        [tag, ..] => u64::from(*tag),
        [] => 0,
    }
}

#[cold]
fn integer_mark(value: &[u8]) -> u64 {
    let is_large = fields(value).any(|field| match field.value {
        Value::Varint(number) => number.cast_signed().unsigned_abs() > MAX_EXACT,
        _ => false,
    });
    u64::from(INTEGER_TAG) | u64::from(is_large) << 8
}

#[cold]
fn add_nested(shape: &mut u64, value: &[u8], levels: usize) {
    if levels == 0 || !holds_map(value) {
        return;
    }
    for (key, value) in map_entries(value).map(key_and_value) {
        *shape = combined(*shape ^ type_mark(value), KeyHash::of_item(key).hash);
        add_nested(shape, value, levels - 1);
    }
    // The end of the map.
    *shape = combined(*shape, 1);
}
