"""Corrects spans that end: gives calls the stable names of OpenTelemetry's conventions, and masks credentials in spans of
OpenTelemetry's SDK. lambda_otlp_wire.py masks those of the fast start as it encodes them.

The function, its libraries and OpenTelemetry's instrumentations have set the attributes.
"""

from lambda_otlp_load import layer_module
from lambda_otlp_variables import chosen_conventions
from opentelemetry import trace

# Scopes of OpenTelemetry's instrumentations begin with this.
OF_OPENTELEMETRY = "opentelemetry.instrumentation."
# Anthropic's client gives the reason another name than the conventions.
STOP_REASON = "anthropic.message.stop_reason"
OLD_STATUS = "http.status_code"
STABLE_STATUS = "http.response.status_code"
RETRIES = "retry_attempts"
PORTS = {"http": 80, "https": 443}


def changes_at_end(attributes, scope):
    """Returns new values for attributes of a span of this scope that ends. `None` removes an attribute."""
    changes = {}
    if STOP_REASON in attributes:
        changes["gen_ai.response.finish_reasons"] = (attributes[STOP_REASON],)
    if not (scope or "").startswith(OF_OPENTELEMETRY):
        return changes
    if "rpc.system" in attributes:
        changes.update(stable_names(attributes))
    if "url.full" in attributes and "server.address" not in attributes:
        # The instrumentations of some HTTP clients give no server.
        changes.update(server_of(attributes["url.full"]))
    return changes


def database_call(span):
    """Returns the `DatabaseCall` of a span that ends, or `None` for another span.

    Calls of AWS's SDK, some of which are also those of a database, keep their names.
    """
    attributes = span.attributes
    has_system = "db.system.name" in attributes or "db.system" in attributes
    if not has_system or "rpc.system" in attributes:
        return None
    if not (span.instrumentation_scope.name or "").startswith(OF_OPENTELEMETRY):
        return None
    return layer_module("lambda_otlp_databases").describe_call(span)


def correct(span):
    """Corrects a span of OpenTelemetry's SDK that ends. The span's own methods change nothing then."""
    masked_attributes = layer_module("lambda_otlp_secrets").masked_attributes
    changes = changes_at_end(span.attributes, span.instrumentation_scope.name)
    call = database_call(span)
    status = span.status
    if call is not None:
        changes = {**changes, **call.changes}
        span._name = call.name
        for event, attributes in zip(span.events, call.attributes_of_events):
            event._attributes = attributes
        if status.description:
            status = trace.Status(status.status_code, call.message)
    changed = {**span.attributes, **changes}
    changed = masked_attributes({name: value for name, value in changed.items() if value is not None})
    # The SDK's own object also has the number of dropped attributes.
    if changed != dict(span.attributes):
        span._attributes = changed
    for event in span.events:
        masked = masked_attributes(event.attributes)
        if masked != dict(event.attributes or {}):
            event._attributes = masked
    if status.description:
        span._status = trace.Status(status.status_code, layer_module("lambda_otlp_secrets").mask(status.description))


def stable_names(attributes):
    """Returns the attributes for which the instrumentation of AWS's SDK has older names."""
    changes = {}
    chosen = chosen_conventions()
    if OLD_STATUS in attributes and not chosen.isdisjoint(("http", "http/dup")):
        changes[STABLE_STATUS] = attributes[OLD_STATUS]
        if "http/dup" not in chosen:
            changes[OLD_STATUS] = None
    if RETRIES in attributes:
        changes["http.request.resend_count"] = attributes[RETRIES] or None
        changes[RETRIES] = None
    return changes


def server_of(url):
    """Returns the attributes of the server that a URL names."""
    import re

    found = re.match(r"(https?)://(?:[^/?#]*@)?(?:\[([^]]+)]|([^:/?#]+))(?::([0-9]{1,5}))?(?:[/?#]|$)", str(url), re.IGNORECASE)
    if found is None:
        return {}
    scheme, v6, name, port = found.groups()
    return {"server.address": v6 or name, "server.port": int(port) if port else PORTS[scheme.lower()]}
