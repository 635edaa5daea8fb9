//! The levels that a reader may still descend in nested content.

/// A number of levels, of which each step of a recursion takes one.
///
/// The writer of a line decides how deep its content is nested, and a stack that overflows aborts the process, which no handler of
/// panics prevents. So a recursion over content takes a `Depth` and passes on the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Depth(u8);

impl Depth {
    /// Values in values: more than [`Limits::nesting`](crate::Limits::nesting) allows, and the limit of prost's decoder.
    pub const OF_VALUES: Self = Self(100);

    pub const fn new(levels: u8) -> Self {
        Self(levels)
    }

    /// The depth for the next level; `None` if there is none.
    #[must_use]
    pub const fn below(self) -> Option<Self> {
        match self.0.checked_sub(1) {
            Some(levels) => Some(Self(levels)),
            None => None,
        }
    }
}
