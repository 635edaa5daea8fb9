//! The kinds of telemetry that a subscription chooses by.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Category {
    Platform,
    Function,
    Extension,
    /// Injected by a test; it reaches every subscriber.
    Injected,
}

impl Category {
    /// The name in a subscription's `types`.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        match name {
            "platform" => Some(Self::Platform),
            "function" => Some(Self::Function),
            "extension" => Some(Self::Extension),
            _ => None,
        }
    }

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Platform => "Platform",
            Self::Function => "Function",
            Self::Extension => "Extension",
            Self::Injected => "Injected",
        }
    }

    /// The name as the API has it, which is the `type` of a log record too.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Platform => "platform",
            Self::Function => "function",
            Self::Extension => "extension",
            Self::Injected => "injected",
        }
    }
}
