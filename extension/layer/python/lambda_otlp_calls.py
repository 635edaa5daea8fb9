"""Describes calls by AWS's SDK, and adds the trace context to what they send. The attributes are data, which Node's calls.cjs
reads too: exporter/calls.json. The Rust library has the same ones.

Source: OpenTelemetry's semantic conventions, "AWS SDK client spans", "AWS DynamoDB", "AWS SQS", "AWS SNS", "AWS S3" and "FaaS".
"""

import sys
from collections.abc import Mapping, Sequence

from lambda_otlp_load import described, layer_module, library
from opentelemetry import trace

CALLS = described("calls.json")
# Name and id of the service whose calls OpenTelemetry's instrumentation describes further: Amazon Bedrock's runtime.
MODELS = "bedrock-runtime"
BOTOCORE = "opentelemetry.instrumentation.botocore"
# Limits of a message with its attributes, and of all messages of a batch, in bytes (Amazon SQS Developer Guide, "Message quotas";
# Amazon SNS, "Message filtering and size quotas").
MAX_BYTES = {"SQS": 1024 * 1024, "SNS": 256 * 1024}
# Limit of a client context in base64 (Lambda API Reference, "Invoke").
MAX_CLIENT_CONTEXT = 3583
# The list of a batch's messages, by its operation.
BATCHES = {"SendMessageBatch": "Entries", "PublishBatch": "PublishBatchRequestEntries"}
MESSAGES = ("SendMessage", "Publish")


def describe(extension, call):
    """Gives the instrumentation's extension of a call the description of the call. Returns the extension."""
    extract, before, succeed, fail = (
        extension.extract_attributes,
        extension.before_service_call,
        extension.on_success,
        extension.on_error,
    )
    is_answered = False
    if message_of(call).get("type") == "send":
        call.span_kind = trace.SpanKind.PRODUCER

    def extract_attributes(attributes):
        attributes.update(request_attributes(call))
        extract(attributes)
        if "gen_ai.system" in attributes:
            attributes["gen_ai.provider.name"] = attributes["gen_ai.system"]

    def before_service_call(span, context):
        add_context(call)
        before(span, context)

    def on_success(span, result, context):
        note_answer(span, result)
        succeed(span, result, context)

    def on_error(span, error, context):
        fail(span, error, context)
        note_answer(span, error.response)
        described = error.response.get("Error", {})
        # Amazon SQS still has codes of its older protocol beside those of its API.
        span.set_attribute("error.type", described.get("QueryErrorCode") or described.get("Code") or "_OTHER")

    def note_answer(span, result):
        nonlocal is_answered
        is_answered = True
        span.set_attributes(response_attributes(call, result))

    def after_service_call(_):
        if not is_answered and (error := sys.exc_info()[1]) is not None:
            trace.get_current_span().set_attribute("error.type", type_of(error))

    for function in (extract_attributes, before_service_call, on_success, on_error, after_service_call):
        setattr(extension, function.__name__, function)
    return extension


def request_attributes(call):
    """Returns the attributes of a call that are known before its answer."""
    attributes = {}
    if message := message_of(call):
        attributes["messaging.system"] = CALLS["systems"][call.service_id]
        attributes["messaging.operation.type"] = message["type"]
        attributes["messaging.operation.name"] = message["name"]
    attributes.update(values(call, "request", call.params))
    if "messaging.destination.name" not in attributes:
        peer = next((attributes[name] for name in CALLS["peers"] if name in attributes), call.service_id)
        attributes["peer.service"] = peer
    return attributes


def message_of(call):
    """Returns the names of an operation with messages, or an empty mapping."""
    return CALLS["messages"].get(call.operation, {}) if call.service_id in CALLS["systems"] else {}


def response_attributes(call, result):
    attributes = values(call, "response", result)
    if extended_id := result.get("ResponseMetadata", {}).get("HostId"):
        attributes["aws.extended_request_id"] = extended_id
    return attributes


def values(call, part, content):
    """Returns the attributes of a request or a response."""
    found = {}
    for name, readings in CALLS[part].get(call.service_id, {}).items():
        value = next((value for reading in readings if (value := read(reading, call, content)) is not None), None)
        if value is not None:
            found[name] = value
    return found


def read(reading, call, content):
    """Reads the value of an attribute. Returns `None` if there is none."""
    if not call.operation.startswith(reading.get("on", "")):
        return None
    if "text" in reading:
        return reading["text"]
    if "of_call" in reading:
        return getattr(call, reading["of_call"])
    for name in reading["at"].split("/"):
        content = content.get(name) if isinstance(content, Mapping) else None
    return FORMS[reading.get("as", "scalar")](content, reading)


def scalar(value, reading):
    if not isinstance(value, str):
        return value if isinstance(value, (bool, int)) else None
    if not value.startswith(reading.get("start", "")):
        return None
    if "until" in reading:
        value = value.partition(reading["until"])[0]
    if "after" in reading:
        value = value.rpartition(reading["after"])[2]
    return value or None


def items(value):
    """Returns the items of a list, or none."""
    return value if isinstance(value, Sequence) and not isinstance(value, (str, bytes, bytearray)) else ()


def shared(value, reading):
    """Returns the text that is the same in all objects of a list."""
    found = {entry.get(reading["member"]) if isinstance(entry, Mapping) else None for entry in items(value)}
    return scalar(found.pop(), reading) if len(found) == 1 else None


def texts(value, _):
    """Returns the JSON of an object, or of each in a list."""
    import json

    found = [value] if isinstance(value, Mapping) else items(value)
    return tuple(json.dumps(whole_numbers(item), separators=(",", ":"), ensure_ascii=False) for item in found) or None


def whole_numbers(value):
    """Returns a JSON value in which a whole number is an integer, as in Node."""
    if isinstance(value, Mapping):
        return {name: whole_numbers(each) for name, each in value.items()}
    if isinstance(value, float):
        return int(value) if value.is_integer() else value
    return [whole_numbers(each) for each in value] if isinstance(value, list) else value


# Ways of reading a value, by their names in the description.
FORMS = {
    "count": lambda value, _: len(items(value)) or None,
    # The name of a function, whose ARN may have a qualifier.
    "function": lambda value, _: value.rpartition("function:")[2].partition(":")[0] or None if isinstance(value, str) else None,
    "json": texts,
    "keys": lambda value, _: tuple(value) or None if isinstance(value, Mapping) else None,
    "list": lambda value, _: (value,) if isinstance(value, str) else None,
    "scalar": scalar,
    "shared": shared,
}


def type_of(error):
    """Returns the type of an error other than AWS's, as in Node and Rust, or the name of its class."""
    kind = type(error)
    if kind.__name__.endswith("TimeoutError"):
        return "timeout"
    if any(base.__name__ == "HTTPClientError" for base in kind.__mro__):
        return "connection"
    return layer_module("lambda_otlp_frames").type_of(error)


def note_server(request):
    """Sets the server of a request on the span of its call."""
    span = trace.get_current_span()
    scope = getattr(span, "instrumentation_scope", None)
    if scope is not None and scope.name.startswith(BOTOCORE):
        span.set_attributes(layer_module("lambda_otlp_corrections").server_of(request.url))


def add_context(call):
    """Adds the trace context to messages and to the client context of a synchronous call of a function. The payload belongs to
    the function.

    AWS's SDK itself sends Lambda's header of X-Ray, which names no span of the function. Lambda passes no client context to an
    asynchronous call, only X-Ray's header (Lambda API Reference, "Invoke").
    """
    params = call.params
    if call.service_id in MAX_BYTES and call.operation in MESSAGES:
        params.update(with_context([params], MAX_BYTES[call.service_id])[0])
    elif call.service_id in MAX_BYTES and isinstance(params.get(BATCHES.get(call.operation)), (list, tuple)):
        name = BATCHES[call.operation]
        params[name] = with_context(params[name], MAX_BYTES[call.service_id])
    elif call.service_id == "Lambda" and call.operation.startswith("Invoke") and params.get("InvocationType") != "Event":
        if added := client_context_with(params.get("ClientContext")):
            params["ClientContext"] = added


def with_context(entries, max_bytes):
    """Returns copies of messages with the trace context.

    A message for which the function has set one stays as it is, as does one that AWS would then refuse as too large.
    """
    inject = library(f"{BOTOCORE}.extensions._messaging").inject_propagation_context
    copies = list(entries)
    size = sum(map(size_of, entries))
    for number, entry in enumerate(entries):
        attributes = entry.get("MessageAttributes") if isinstance(entry, Mapping) else ()
        if attributes is not None and not isinstance(attributes, Mapping):
            # AWS's SDK reports the mistake.
            continue
        if any(isinstance(name, str) and name.lower() == "traceparent" for name in attributes or ()):
            continue
        copy = {**entry, "MessageAttributes": inject(dict(attributes or {}))}
        added = size_of(copy) - size_of(entry)
        if added > 0 and size + added <= max_bytes:
            copies[number] = copy
            size += added
    return copies


def size_of(entry):
    if not isinstance(entry, Mapping):
        return 0
    texts = [entry.get("Message"), entry.get("MessageBody"), entry.get("Subject")]
    attributes = entry.get("MessageAttributes")
    for name, attribute in attributes.items() if isinstance(attributes, Mapping) else ():
        values = attribute if isinstance(attribute, Mapping) else {}
        texts += [name, values.get("DataType"), values.get("StringValue"), values.get("BinaryValue")]
    return sum(map(bytes_of, texts))


def bytes_of(value):
    if isinstance(value, str):
        return len(value.encode("utf-8", "replace"))
    return len(value) if hasattr(value, "__len__") else 0


def client_context_with(given):
    """Returns a client context with the trace context, or `None` if the function's own has one, is no JSON object, or leaves no
    room.
    """
    import base64
    import json

    from opentelemetry.propagate import inject

    try:
        content = json.loads(base64.b64decode(given, validate=True)) if given else {}
    except (TypeError, ValueError):
        return None
    custom = content.get("custom", {}) if isinstance(content, dict) else None
    if not isinstance(custom, dict) or any(name.lower() == "traceparent" for name in custom):
        return None
    headers = {}
    inject(headers)
    # The caller chose the baggage, the only header of unlimited length.
    for added in (headers, {name: value for name, value in headers.items() if name != "baggage"}):
        content["custom"] = {**added, **custom}
        encoded = base64.b64encode(json.dumps(content, separators=(",", ":")).encode()).decode()
        if added and len(encoded) <= MAX_CLIENT_CONTEXT:
            return encoded
    return None
