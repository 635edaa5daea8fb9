//! Sets the status of our spans of failed invocations.
//!
//! In stdout mode the layer does not see what the runtime prints, and AWS reports an error of the handler as a success. Its span
//! has no status then. The function's own root span ends before Lambda takes the response, which may be too large or break off. The
//! failure and the span stand in the same log stream, and usually in the same event.

use opentelemetry_proto::tonic::trace::v1::Status;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use platform::{Failure, PLATFORM_SCOPE, is_vague_type, string_attribute};
use std::collections::BTreeMap;
use wire::resource::FAAS_INVOCATION_ID;
use wire::{FUNCTION_SCOPES, Request, Traces};

const ERROR_TYPE: &str = "error.type";

/// The type of a failure that the library recorded without one.
const UNKNOWN: &str = "_OTHER";

/// Sets the status of our spans of these invocations to ERROR, with the type and message of the failure. A span keeps a status of its
/// own, also OK, unless its error type says nothing: [`UNKNOWN`], or one of Lambda's.
pub(super) fn mend_spans(requests: &mut [Request], failures: &BTreeMap<&str, Failure>) {
    if failures.is_empty() {
        return;
    }
    for request in requests {
        let mut names_failed = false;
        request.each_invocation_span(&mut |id, _| {
            names_failed |= failures.contains_key(id.to_ascii_lowercase().as_str());
        });
        if !names_failed {
            continue;
        }
        let Some(Ok(mut traces)) = request.decode::<Traces>() else { continue };
        let mut is_mended = false;
        let scopes = traces.resource_spans.iter_mut().flat_map(|spans| &mut spans.scope_spans);
        // The spans of another library state their own result.
        let ours = scopes.filter(|spans| {
            spans.scope.as_ref().is_some_and(|scope| {
                scope.name == PLATFORM_SCOPE || FUNCTION_SCOPES.contains(&scope.name.as_str())
            })
        });
        for span in ours.flat_map(|spans| &mut spans.spans) {
            let id = platform::text_of_attribute(&span.attributes, FAAS_INVOCATION_ID);
            let failure = id.and_then(|id| failures.get(id.to_ascii_lowercase().as_str()));
            let stated = platform::text_of_attribute(&span.attributes, ERROR_TYPE);
            let keeps_own_status = span.status.as_ref().is_some_and(|status| status.code != 0)
                && !stated.is_some_and(|own| own == UNKNOWN || is_vague_type(own));
            let Some(failure) = failure.filter(|_| !keeps_own_status) else { continue };
            let error_type = failure.error_type.as_deref().unwrap_or(UNKNOWN);
            let message = failure.message.as_deref().unwrap_or(error_type).to_owned();
            span.status = Some(Status { code: StatusCode::Error as i32, message });
            span.attributes.retain(|attribute| attribute.key != ERROR_TYPE);
            span.attributes.push(string_attribute(ERROR_TYPE, error_type));
            is_mended = true;
        }
        if is_mended {
            *request = Request::encode::<Traces>(&traces);
        }
    }
}
