//! A function's configuration, as far as the layers and the wrapper depend on it.

use std::collections::BTreeMap;

/// Environment variables by name. Values may be secrets, so no error or output contains them.
pub(super) type Variables = BTreeMap<String, String>;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Configuration {
    pub(super) name: String,
    pub(super) arn: String,
    /// `None` for a container image.
    pub(super) runtime: Option<String>,
    pub(super) architecture: String,
    pub(super) layers: Vec<AttachedLayer>,
    pub(super) variables: Variables,
    /// The reason why AWS did not return the variables.
    pub(super) hidden_variables: Option<String>,
    pub(super) code_bytes: u64,
    pub(super) has_snap_start: bool,
    /// Aliases that lead to published versions: `live -> 7`.
    pub(super) aliases: Vec<String>,
    pub(super) revision: String,
    pub(super) update: Update,
    pub(super) tags: BTreeMap<String, String>,
    pub(super) log_group: String,
    pub(super) log_format: String,
}

/// A layer of a function.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct AttachedLayer {
    pub(super) arn: String,
    pub(super) zipped_bytes: u64,
}

/// The state of the last update of a function.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Update {
    #[default]
    Successful,
    InProgress,
    Failed(String),
}

impl Configuration {
    pub(super) fn layer_arns(&self) -> Vec<String> {
        self.layers.iter().map(|layer| layer.arn.clone()).collect()
    }

    /// Returns a variable's value unless it is empty, because an empty one has no effect.
    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}

/// The part of the layer that a runtime can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Support {
    /// The wrapper instruments functions with the packages layer.
    Packages,
    /// The wrapper configures the function's own SDK.
    Wrapper,
    /// Lambda starts no wrapper.
    ExtensionOnly,
    TooOld,
    Unknown,
}

impl Support {
    /// Source: Lambda Developer Guide, "Lambda runtimes" and "Modifying the runtime environment" (wrapper scripts).
    pub(crate) fn of(runtime: &str) -> Self {
        let version_start = runtime.find(|c: char| c.is_ascii_digit()).unwrap_or(runtime.len());
        let (family, version) = runtime.split_at(version_start);
        let Some(version) = RuntimeVersion::parse(version) else {
            let is_old = ["provided", "nodejs"].contains(&family);
            return if is_old { Self::TooOld } else { Self::Unknown };
        };
        let from = |major: u32, minor: u32, support: Self| {
            if version >= (RuntimeVersion { major, minor }) { support } else { Self::TooOld }
        };
        match family {
            // It ran on the first Amazon Linux, without wrappers.
            "java" if runtime == "java8" => Self::TooOld,
            "python" => from(3, 10, Self::Packages),
            "nodejs" => from(18, 0, Self::Packages),
            "java" => from(8, 0, Self::Wrapper),
            "dotnet" => from(6, 0, Self::Wrapper),
            "ruby" => from(3, 2, Self::Wrapper),
            "provided.al" => from(2, 0, Self::ExtensionOnly),
            "go" | "dotnetcore" => Self::TooOld,
            _ => Self::Unknown,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct RuntimeVersion {
    major: u32,
    minor: u32,
}

impl RuntimeVersion {
    /// Parses `3.13`, `22.x` or `8.al2`; `None` without a number.
    fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split(|c: char| !c.is_ascii_digit());
        let mut number = || numbers.next()?.parse::<u32>().ok();
        Some(Self { major: number()?, minor: number().unwrap_or_default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runtimes_are_supported_by_family_and_version() {
        use Support::{ExtensionOnly, Packages, TooOld, Unknown, Wrapper};
        for (runtime, expected) in [
            ("python3.10", Packages),
            ("python3.14", Packages),
            ("python3.9", TooOld),
            ("python2.7", TooOld),
            ("nodejs", TooOld),
            ("nodejs4.3", TooOld),
            ("nodejs16.x", TooOld),
            ("nodejs18.x", Packages),
            ("nodejs24.x", Packages),
            ("java8", TooOld),
            ("java8.al2", Wrapper),
            ("java21", Wrapper),
            ("dotnetcore3.1", TooOld),
            ("dotnet8", Wrapper),
            ("ruby2.7", TooOld),
            ("ruby3.3", Wrapper),
            ("go1.x", TooOld),
            ("provided", TooOld),
            ("provided.al2", ExtensionOnly),
            ("provided.al2023", ExtensionOnly),
            ("cobol1", Unknown),
            ("", Unknown),
        ] {
            assert_eq!(Support::of(runtime), expected, "{runtime}");
        }
    }
}
