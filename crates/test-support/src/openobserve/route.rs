//! Which paths the fake knows.

use http::Method;

use super::http_response::HttpResponse;
use super::{Signal, signal_of};

/// The organization of the paths that name none.
const DEFAULT_ORGANIZATION: &str = "default";

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Otlp { organization: String, signal: Signal },
    Json { organization: String, stream: String },
}

impl Target {
    pub(super) fn organization(&self) -> &str {
        match self {
            Self::Otlp { organization, .. } | Self::Json { organization, .. } => organization,
        }
    }

    pub(super) fn signal(&self) -> Option<Signal> {
        match self {
            Self::Otlp { signal, .. } => Some(*signal),
            Self::Json { .. } => None,
        }
    }
}

/// The target, or the answer to a request that has none.
pub(super) fn route(method: &Method, path: &str) -> Result<Target, HttpResponse> {
    match target(path) {
        Some(target) if method == Method::POST => Ok(target),
        Some(_) => Err(HttpResponse::empty(405)),
        // A trailing slash is taken for an organization that does not exist.
        None if path.starts_with("/api/") && path.ends_with('/') => Err(unknown_organization()),
        None => Err(HttpResponse::empty(404)),
    }
}

pub(super) fn unknown_organization() -> HttpResponse {
    HttpResponse::text(404, "Organization not found")
}

pub(super) fn target(path: &str) -> Option<Target> {
    let segments: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
    let otlp =
        |organization: &str, signal| Target::Otlp { organization: organization.to_owned(), signal };
    match segments.as_slice() {
        ["v1", name] => Some(otlp(DEFAULT_ORGANIZATION, signal_of(name)?)),
        ["api", organization, "v1", name] => Some(otlp(organization, signal_of(name)?)),
        ["api", organization, stream, "_json"] => Some(Target::Json {
            organization: (*organization).to_owned(),
            stream: super::ingest::stream(stream),
        }),
        _ => None,
    }
}
