//! Changes a request in one walk. The parts that an [`Editor`] keeps stay byte for byte, with fields unknown to us, and nothing is
//! copied before the first change.

use crate::field::{container, metric, request, scope_container};
use crate::protobuf::{Field, Writer, fields};
use crate::request::Request;
use crate::signal::SignalKind;
use crate::view::{Container, Item, ItemKind, ScopeContainer, metric_name};

/// Decides about the parts of a request, in their order. By default it visits and keeps everything.
pub trait Editor {
    fn resource(&mut self, container: Container<'_>) -> Head {
        let _ = container;
        Head::Visit(None)
    }

    /// Decides about a scope of the last resource.
    fn scope(&mut self, scope: ScopeContainer<'_>) -> Head {
        let _ = scope;
        Head::Visit(None)
    }

    /// Decides about an item of the last scope.
    fn item(&mut self, item: Item<'_>) -> Edit {
        let _ = item;
        Edit::Keep
    }
}

#[derive(Debug)]
pub enum Edit {
    Keep,
    Drop,
    /// It becomes this encoded message.
    Replace(Vec<u8>),
    /// It becomes these encoded messages.
    Split(Vec<Vec<u8>>),
}

/// The decision about a resource or a scope, and about its content.
#[derive(Debug)]
pub enum Head {
    /// It stays unchanged, with its content.
    Keep,
    /// It is removed, with its content.
    Drop,
    /// It becomes this encoded message. Its content stays unchanged.
    Replace(Vec<u8>),
    /// It stays unchanged or becomes this encoded message. The decisions about its content follow.
    Visit(Option<Vec<u8>>),
}

impl Request {
    /// Returns the request as the editor decides; `None` if it dropped all items. A resource or scope whose items are all dropped is
    /// removed.
    pub fn edit(self, editor: &mut impl Editor) -> Option<Self> {
        let mut walk = Walk { kind: self.kind(), editor, dropped: 0 };
        let edit = edit_children(self.bytes(), &[request::CONTAINERS], None, |_, bytes| {
            walk.container(bytes)
        });
        match edit {
            Edit::Keep => Some(self),
            Edit::Drop | Edit::Split(_) => None,
            Edit::Replace(bytes) => {
                let items = self.items().saturating_sub(walk.dropped);
                let is_left = items > 0 || walk.dropped == 0;
                is_left.then(|| Self::counted(self.kind(), bytes, items))
            }
        }
    }
}

struct Walk<'e, E> {
    kind: SignalKind,
    editor: &'e mut E,
    dropped: usize,
}

impl<E: Editor> Walk<'_, E> {
    fn container(&mut self, bytes: &[u8]) -> Edit {
        let container = Container { kind: self.kind, bytes };
        let head = self.editor.resource(container);
        let count = || container.count();
        self.below(head, bytes, container::SCOPES, count, Self::scope)
    }

    fn scope(&mut self, bytes: &[u8]) -> Edit {
        let scope = ScopeContainer { kind: self.kind, bytes };
        let head = self.editor.scope(scope);
        self.below(head, bytes, scope_container::ITEMS, || scope.count(), Self::message)
    }

    fn message(&mut self, bytes: &[u8]) -> Edit {
        if let Some(kind) = ItemKind::of_signal(self.kind) {
            return self.item(Item::new(kind, bytes));
        }
        let name = metric_name(bytes);
        edit_children(bytes, metric::DATA, None, |number, data| {
            let Some(kind) = ItemKind::of_data(number) else { return Edit::Keep };
            edit_children(data, &[metric::POINTS], None, |_, point| {
                self.item(Item { kind, bytes: point, metric_name: name })
            })
        })
    }

    fn item(&mut self, item: Item<'_>) -> Edit {
        let edit = self.editor.item(item);
        self.dropped += usize::from(matches!(edit, Edit::Drop));
        edit
    }

    /// Carries out the decision about the resource or scope of a message, whose children have this field number.
    fn below(
        &mut self,
        head: Head,
        bytes: &[u8],
        number: u32,
        count: impl Fn() -> usize,
        child: fn(&mut Self, &[u8]) -> Edit,
    ) -> Edit {
        let child = |_, bytes: &[u8]| child(self, bytes);
        match head {
            Head::Keep => Edit::Keep,
            Head::Drop => {
                self.dropped += count();
                Edit::Drop
            }
            Head::Replace(head) => edit_children(bytes, &[], Some(&head), child),
            Head::Visit(head) => edit_children(bytes, &[number], head.as_deref(), child),
        }
    }
}

/// Decides about the children of a message, which have these field numbers. A new `head` replaces its resource or scope. Without any
/// child left, the message is dropped.
pub fn edit_children<'m>(
    message: &'m [u8],
    numbers: &[u32],
    head: Option<&[u8]>,
    mut child: impl FnMut(u32, &'m [u8]) -> Edit,
) -> Edit {
    /// The field number of the resource in a container, and of the scope in a scope container.
    const HEAD: u32 = container::RESOURCE;
    let mut rewrite = Rewrite::new(message);
    let mut decided = Vec::new().into_iter();
    if let Some(head) = head {
        // Before the copy begins: a large child needs copies of its own until it is decided about.
        let children = fields(message).filter(|field| numbers.contains(&field.number));
        let children = children.filter_map(|field| Some((field.number, field.as_len()?)));
        let edits: Vec<Edit> = children.map(|(number, inner)| child(number, inner)).collect();
        decided = edits.into_iter();
        rewrite.append().always_bytes(HEAD, head);
    }
    let mut any_left = false;
    let mut any_dropped = false;
    for field in fields(message) {
        match field.as_len() {
            Some(inner) if numbers.contains(&field.number) => {
                let edit = decided.next().unwrap_or_else(|| child(field.number, inner));
                let is_dropped = matches!(edit, Edit::Drop);
                any_dropped |= is_dropped;
                any_left |= !is_dropped;
                match edit {
                    Edit::Keep => rewrite.keep(&field),
                    Edit::Drop => rewrite.leave_out(&field),
                    Edit::Replace(bytes) => {
                        rewrite.leave_out(&field);
                        rewrite.append().always_bytes(field.number, &bytes);
                    }
                    Edit::Split(messages) => {
                        rewrite.leave_out(&field);
                        for bytes in messages {
                            rewrite.append().always_bytes(field.number, &bytes);
                        }
                    }
                }
            }
            _ if field.number == HEAD && head.is_some() => rewrite.leave_out(&field),
            _ => rewrite.keep(&field),
        }
    }
    if any_dropped && !any_left {
        return Edit::Drop;
    }
    rewrite.finish().map_or(Edit::Keep, Edit::Replace)
}

/// The capacity for a rewritten message, which usually becomes a little longer.
///
/// A large item is copied into its scope, then into its resource, then into its request. All copies have one capacity, so that each
/// finds room where an earlier one was.
fn capacity_for(message_bytes: usize) -> usize {
    const STEP: usize = 1 << 16;
    match message_bytes {
        ..STEP => message_bytes + message_bytes / 2,
        _ => (message_bytes + STEP).next_multiple_of(STEP),
    }
}

/// Returns a message with other fields of this number: what `write` appends, in the place of the first one, or at the end.
pub fn replace_fields(message: &[u8], number: u32, write: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut rewrite = Rewrite::new(message);
    let mut write = Some(write);
    for field in fields(message) {
        if field.number == number {
            rewrite.leave_out(&field);
            if let Some(write) = write.take() {
                write(&mut rewrite.append());
            }
        } else {
            rewrite.keep(&field);
        }
    }
    if let Some(write) = write {
        write(&mut rewrite.append());
    }
    rewrite.finish().unwrap_or_default()
}

/// A message whose fields are visited one by one, in order. What stays is copied in pieces as long as possible.
#[derive(Debug)]
pub struct Rewrite<'m> {
    message: &'m [u8],
    /// End of the last field.
    at: usize,
    /// Everything before this is in `out`, or removed.
    copied: usize,
    out: Option<Vec<u8>>,
}

impl<'m> Rewrite<'m> {
    pub fn new(message: &'m [u8]) -> Self {
        Self { message, at: 0, copied: 0, out: None }
    }

    pub fn keep(&mut self, field: &Field<'_>) {
        self.at += field.raw.len();
    }

    pub fn leave_out(&mut self, field: &Field<'_>) {
        self.flush();
        self.at += field.raw.len();
        self.copied = self.at;
    }

    /// Writes behind the last field.
    pub fn append(&mut self) -> Writer<'_> {
        Writer::new(self.flush())
    }

    /// Returns the new message; `None` if nothing changed.
    pub fn finish(mut self) -> Option<Vec<u8>> {
        self.out.is_some().then(|| std::mem::take(self.flush()))
    }

    /// Copies the kept fields up to here.
    fn flush(&mut self) -> &mut Vec<u8> {
        let message = self.message;
        let out = self.out.get_or_insert_with(|| Vec::with_capacity(capacity_for(message.len())));
        out.extend_from_slice(message.get(self.copied..self.at).unwrap_or_default());
        self.copied = self.at;
        out
    }
}
