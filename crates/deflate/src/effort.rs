//! The time that a search may take.

use crate::symbols::MAX_LENGTH;

/// How long is searched.
#[derive(Clone, Copy, PartialEq)]
pub(crate) struct Effort {
    /// Most earlier places that are compared with one.
    pub(crate) places: u32,
    /// A copy of so many bytes is long enough.
    pub(crate) enough: usize,
}

impl Effort {
    const HIGHEST: Self = Self { places: 4096, enough: MAX_LENGTH };

    /// For inputs with a preset dictionary, in which most places are found early.
    pub(crate) const WITH_PRESET: Self = Self { places: 128, enough: MAX_LENGTH };

    /// Of gzip's levels; `None` for 0, which stores.
    pub(crate) fn of_level(level: u32) -> Option<Self> {
        let (places, enough) = match level {
            0 => return None,
            1 => (4, 16),
            2 => (6, 32),
            3 => (8, 64),
            4 => (16, 64),
            5 => (24, 128),
            6 => (48, 128),
            7 => (128, MAX_LENGTH),
            8 => (512, MAX_LENGTH),
            _ => return Some(Self::HIGHEST),
        };
        Some(Self { places, enough })
    }
}
