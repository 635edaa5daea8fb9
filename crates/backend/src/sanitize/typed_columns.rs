//! The columns of log attributes: texts under the attribute's name, numbers again under `NAME_number`.
//!
//! A column of an OpenObserve log stream has one type, and OpenObserve 0.93-dev can hide all rows of a stream if a column gets values
//! of two. All functions share the columns, and one logs `took` as 12, another as `3 s`. So the name alone decides the type:
//!
//! - A column whose name has `number` as its last word has numbers with fractions, any other column has texts.
//! - A number or Boolean is text under its own name. A number is there again under `NAME_number`, unless the record has another
//!   attribute of that name.
//! - Under a name that ends in `number` itself, numbers stay. Everything else is text under `NAME_text`, and so are whole numbers
//!   that a fraction cannot hold.
//!
//! OpenObserve makes columns of the entries of maps, and texts of lists and of the entries of a body.

use super::limits::LOG_MAP_LEVELS;
use super::names::stored_key;
use super::planned::{Class, Form, Planned};
use std::collections::HashSet;

/// The end of the names of columns with numbers.
pub(super) const NUMBER: &str = "_number";
const TEXT: &str = "_text";

/// Attributes, or the entries of a map that become columns.
#[derive(Clone, Copy)]
struct Level<'p> {
    /// The beginning of the columns' names.
    path: &'p [u8],
    /// Number of levels of maps whose entries have columns, from this one on.
    levels: usize,
    /// `true` if OpenObserve stores all values as text.
    are_texts: bool,
}

impl Level<'_> {
    const ATTRIBUTES: Self = Self { path: b"", levels: LOG_MAP_LEVELS, are_texts: false };
    /// The entries of a map that is a body.
    const BODY: Self = Self { path: b"body_", levels: LOG_MAP_LEVELS - 1, are_texts: true };

    fn column(self, key: &str) -> Vec<u8> {
        self.path.iter().copied().chain(stored_key(key.as_bytes())).collect()
    }

    fn below(self, path: &[u8]) -> Level<'_> {
        Level { path, levels: self.levels - 1, ..self }
    }

    /// Returns `true` if the entries of this value have columns of their own.
    fn descends(self, planned: &Planned<'_>) -> bool {
        planned.is_map() && self.levels > 1
    }
}

/// The places of attributes that were numbers and became text.
#[must_use]
pub(super) struct Numbers {
    places: Vec<usize>,
}

impl Numbers {
    /// Adds a column for each number, by the present name of its attribute, except for those that are taken.
    pub(super) fn add_to(
        self,
        attributes: &mut [Planned<'_>],
        is_taken: impl Fn(&Planned<'_>) -> bool,
    ) {
        let own = self.own_columns(Level::ATTRIBUTES, attributes);
        for position in self.places {
            let Some(attribute) = attributes.get_mut(position) else { continue };
            let added = attribute.with_end(NUMBER, Class::Double, Form::Number);
            let column = Level::ATTRIBUTES.column(&added.key);
            attribute.adds_number = !own.contains(&column) && !is_taken(&added);
        }
    }

    /// Adds an entry for each number to a map.
    fn add_entries(self, level: Level<'_>, entries: &mut Vec<Planned<'_>>) {
        let own = self.own_columns(level, entries);
        for position in self.places {
            let Some(entry) = entries.get(position) else { continue };
            let added = entry.with_end(NUMBER, Class::Double, Form::Number);
            if !own.contains(&level.column(&added.key)) {
                entries.push(added);
            }
        }
    }

    fn own_columns(&self, level: Level<'_>, attributes: &[Planned<'_>]) -> HashSet<Vec<u8>> {
        if self.places.is_empty() {
            return HashSet::new();
        }
        number_columns(level, attributes)
    }
}

/// Gives each value of a resource or record a column of its type. The numbers that this returns are to be added when all attributes
/// have their names.
pub(super) fn separate_types(attributes: &mut Vec<Planned<'_>>) -> Numbers {
    separate(Level::ATTRIBUTES, attributes)
}

/// Gives each entry of a log record's body, which OpenObserve stores as text, a column of texts.
pub(super) fn separate_body(entries: &mut Vec<Planned<'_>>) {
    let _none = separate(Level::BODY, entries);
}

/// The columns of numbers that attributes have by their own names.
fn number_columns(level: Level<'_>, attributes: &[Planned<'_>]) -> HashSet<Vec<u8>> {
    let mut columns = HashSet::new();
    for attribute in attributes {
        let column = level.column(&attribute.key);
        if level.descends(attribute) {
            let path = [&*column, b"_"].concat();
            columns.extend(number_columns(level.below(&path), &attribute.entries));
        } else if has_numbers(&column) {
            columns.insert(column);
        }
    }
    columns
}

/// Makes texts of all values but those under the names of columns with numbers.
fn separate(level: Level<'_>, attributes: &mut Vec<Planned<'_>>) -> Numbers {
    let mut places = Vec::new();
    let mut texts = Vec::new();
    for (position, attribute) in attributes.iter_mut().enumerate() {
        let column = level.column(&attribute.key);
        if attribute.class == Class::Empty {
            continue;
        }
        if level.descends(attribute) {
            let path = [&*column, b"_"].concat();
            let below = level.below(&path);
            let numbers = separate(below, &mut attribute.entries);
            numbers.add_entries(below, &mut attribute.entries);
            continue;
        }
        let is_number = attribute.class.is_number() && !level.are_texts;
        if has_numbers(&column) {
            if is_number {
                if attribute.class == Class::LargeInt {
                    texts.push(attribute.with_end(TEXT, Class::Text, Form::Text));
                }
                if attribute.class != Class::Double {
                    attribute.form = Form::Number;
                    attribute.class = Class::Double;
                }
                continue;
            }
            attribute.rename(format!("{}{TEXT}", attribute.key));
        }
        if !level.are_texts && (is_number || attribute.class == Class::Bool) {
            attribute.form = Form::Text;
            attribute.class = Class::Text;
        }
        if is_number {
            places.push(position);
        }
    }
    attributes.append(&mut texts);
    Numbers { places }
}

/// Returns `true` for the name of a column with numbers: its last word is `number`. A renamed key keeps its last word.
fn has_numbers(column: &[u8]) -> bool {
    column.ends_with(NUMBER.as_bytes())
        || NUMBER.strip_prefix('_').map(str::as_bytes) == Some(column)
}

/// Writes a number as OpenObserve writes those of spans, but those with many zeros in the short form.
pub(super) fn fraction_text(number: f64) -> String {
    let is_short = number == 0.0 || (1e-7..1e17).contains(&number.abs());
    if is_short { number.to_string() } else { format!("{number:e}") }
}
