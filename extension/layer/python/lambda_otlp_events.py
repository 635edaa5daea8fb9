"""Describes an invocation by its event: trigger, span name, attributes, the headers with the parent, and messages with links to
their senders.

The description of the sources, and of answers (lambda_otlp_wrap), is data, which the Rust library and the Node layer read too:
exporter/events.json. The functions have the same names in all three languages, and the same fixtures: tests/fixtures/triggers.

Source: OpenTelemetry's semantic conventions 1.44, "AWS Lambda", "FaaS spans", "HTTP spans" and "Messaging spans".
"""

import _socket
import json
import re

from lambda_otlp_load import described, layer_module
from lambda_otlp_load import time as clock
from opentelemetry import trace
from opentelemetry.context import Context

DESCRIPTION = described("events.json")
LIMITS = DESCRIPTION["limits"]
METHODS = set(DESCRIPTION["http_methods"])
# The names in an event of which a state machine's has one.
OF_STATES = {pointer.split("/")[1] for pointer in (*DESCRIPTION["state_machine"]["at"], *DESCRIPTION["state_machine"]["when"][0])}
W3C = ("traceparent", "tracestate", "baggage")
HEXADECIMAL = frozenset("0123456789abcdefABCDEF")
OTHER_METHOD = "_OTHER"
XRAY_HEADER = "x-amzn-trace-id"
# Python refuses the conversion of very long numbers.
MAX_DIGITS = 20


class SpanAttributes:
    """The data of an event for the spans of its invocation."""

    __slots__ = ("trigger", "name", "attributes", "carrier", "received_ms", "messages")

    def __init__(self, *, trigger, carrier, name=None, attributes=None, received_ms=None, messages=None):
        # The value of `faas.trigger`.
        self.trigger = trigger
        # The headers with the parent.
        self.carrier = carrier
        # The name of the SERVER span, or `None` if the function's name is the name.
        self.name = name
        self.attributes = attributes or {}
        # The time at which AWS's service received the request or the oldest message, in milliseconds since the Unix epoch.
        self.received_ms = received_ms
        # The `Messages`, or `None` for an event without messages.
        self.messages = messages


class Messages:
    """The description of an event's messages: the CONSUMER span."""

    __slots__ = ("source", "attributes", "links")

    def __init__(self, source, attributes, links):
        # The conventions' name of the source of one message or several ones.
        self.source = source
        self.attributes = attributes
        self.links = links


class Recognized:
    """An event of a known source."""

    __slots__ = ("source", "subject", "records", "is_alone")

    def __init__(self, source, subject, records=None, *, is_alone=False):
        # The description of the source in exporter/events.json.
        self.source = source
        # The event itself, or its first record, which stands for the others.
        self.subject = subject
        # The `Record`s, or `None` if events of this source have none.
        self.records = records
        # `True` if the event is a record without a list.
        self.is_alone = is_alone


class Record:
    """A record of an event. `key` is that of its list, for example a topic and a partition of Kafka, or an empty text."""

    __slots__ = ("key", "value")

    def __init__(self, key, value):
        self.key = key
        self.value = value


class XRayHeader:
    """The content of X-Ray's header. Values that it does not have are `None`."""

    __slots__ = ("trace_id", "parent_id", "is_sampled")

    def __init__(self, trace_id, parent_id, is_sampled):
        self.trace_id = trace_id
        # The id of the parent segment.
        self.parent_id = parent_id
        # `None` if X-Ray has not decided.
        self.is_sampled = is_sampled


def describe(event):
    """Describes an invocation by its event."""
    described = describe_source(event)
    context = context_object(event)
    if context is not None:
        described.carrier = layer_module("lambda_otlp_executions").state(context)
    return described


def context_object(event):
    """Returns Step Functions' context object if a state machine called the function, or `None`."""
    # Few events have one of its names, and the others are not searched.
    if not isinstance(event, dict) or OF_STATES.isdisjoint(event):
        return None
    rules = DESCRIPTION["state_machine"]
    places = (at(event, pointer) for pointer in ("", *rules["at"]))
    return next((found for found in places if holds_for(found, rules["when"])), None)


def describe_source(event):
    found = recognize(event)
    if found is None:
        return SpanAttributes(trigger="other", carrier=headers_at(event, DESCRIPTION["headers"]))
    source = found.source
    subject = found.subject
    # Where the records have their values.
    places = source.get("records", {})
    own_headers = headers_at(subject, source.get("headers", ()))
    attributes = http(subject, source["http"], own_headers) if "http" in source else {}
    attributes.update(values_of(source.get("attributes", {}), subject))
    if "document" in places:
        attributes.update(changes(places["document"], found.records))
    described = messages(found, event) if "system" in places else None
    has_sender = places.get("sender_is_parent") or found.is_alone and described
    return SpanAttributes(
        trigger=source["trigger"],
        name=name_of_span(found, attributes, described.attributes if described else {}),
        attributes=attributes,
        carrier=sender(places, found.records[0].value) or {} if has_sender else own_headers,
        received_ms=received(found),
        messages=described,
    )


def name_of_span(found, attributes, attributes_of_messages):
    destination = attributes_of_messages.get("messaging.destination.name")
    if found.is_alone and destination:
        return f"process {destination}"
    values = {**attributes, **attributes_of_messages}
    return first(found.source.get("span_name", ()), lambda template: filled(template, found.subject, values))


def received(found):
    """Returns the time at which AWS's service received the request or the oldest message, in milliseconds since the Unix
    epoch."""
    pointers = found.source.get("received", ())
    places = [found.subject] if found.records is None else [record.value for record in found.records]
    times = [milliseconds(at(place, pointer)) for place in places for pointer in pointers]
    return min((each for each in times if each is not None), default=None)


def recognize(event):
    """Returns the `Recognized` event, or `None` for an event of an unknown source."""
    records = event.get("Records") if isinstance(event, dict) else event
    has_records = isinstance(records, list)
    subject = records and records[0] if has_records else event
    if not isinstance(subject, dict):
        return None
    source = next((each for each in DESCRIPTION["sources"] if holds_for(subject, each["when"])), None)
    if source is None:
        return None
    if "records" not in source:
        return Recognized(source, subject)
    places = source["records"]
    listed = at(event, places["at"]) if "at" in places else None
    is_listed = isinstance(listed, (dict, list))
    if isinstance(listed, dict):
        # Kafka's records, by their topics and partitions.
        lists = listed
    elif is_listed:
        lists = {"": listed}
    else:
        lists = {"": records if has_records else [event]}
    found = [Record(key, mapping(each)) for key, values in lists.items() if isinstance(values, list) for each in values]
    if not found:
        return None
    is_alone = not has_records and not is_listed and not places.get("is_event")
    return Recognized(source, subject, found, is_alone=is_alone)


def holds_for(subject, alternatives):
    """Returns `True` if all tests of an alternative hold."""
    return any(all(holds(at(subject, pointer), test) for pointer, test in tests.items()) for tests in alternatives)


def holds(value, test):
    if test == "text":
        return is_text(value)
    if test == "object":
        return isinstance(value, dict)
    if test == "number":
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return isinstance(value, str) and value in test["one_of"]


def values_of(table, subject):
    """Returns the attributes of a table."""
    return present({name: value_of(place, subject) for name, place in table.items()})


def value_of(place, subject):
    """Returns the value at the first of these pointers that has one, or else a template."""
    value = text(subject, place.get("at", ()))
    if value is None and "text" in place:
        value = filled(place["text"], subject, {})
    if value is not None and "names" in place:
        value = place["names"].get(value)
    if value is not None and place.get("as") == "time":
        value = time(value)
    return value


def filled(template, subject, attributes):
    """Fills the places of a template. Returns `None` if one has no value."""
    parts = re.split(r"\{([^}]*)\}", template)
    parts[1::2] = [place_of(place, subject, attributes) for place in parts[1::2]]
    return None if None in parts else "".join(parts)


def place_of(place, subject, attributes):
    if place.startswith("/"):
        return text(subject, [place])
    if place == "method":
        method = attributes.get("http.request.method")
        return "HTTP" if method == OTHER_METHOD else method
    if place == "path":
        path = attributes.get("url.path")
        return path and path_without_ids(path)
    return attributes.get(place)


# HTTP requests


def http(subject, places, headers):
    """Returns the attributes of an HTTP request."""

    def find(name):
        return text(subject, places.get(name, ()))

    method = find("method")
    path = find("path")
    query = find("query")
    is_other = method is not None and method not in METHODS
    rest = None
    if path and places.get("query_in_path"):
        path, _, rest = path.partition("?")
    query = query or rest or query_string(parameters_of(subject, places), places.get("encoded", False))
    address, port = host_and_port(headers.get("host") or find("host"))
    forwarded_port = port_of(headers.get("x-forwarded-port"))
    return present(
        {
            "http.request.method": OTHER_METHOD if is_other else method,
            "http.request.method_original": method if is_other else None,
            "http.route": find("route") or route_of_key(find("route_key")),
            "url.scheme": headers.get("x-forwarded-proto", "").partition(",")[0].strip() or "https",
            "url.path": path or None,
            "url.query": layer_module("lambda_otlp_secrets").mask(query) if query else None,
            "network.protocol.version": DESCRIPTION["protocol_versions"].get(find("protocol")),
            "client.address": find("client_address") or client_of(headers.get("x-forwarded-for", "")),
            "server.address": address,
            "server.port": port if forwarded_port is None else forwarded_port,
            "user_agent.original": find("user_agent") or headers.get("user-agent") or None,
        }
    )


def route_of_key(key):
    """Returns `/orders/{id}` for `GET /orders/{id}`. `$default` is no route."""
    route = key.partition(" ")[2] if key and " " in key else key
    return None if route == "$default" else route or None


def parameters_of(subject, places):
    found = (at(subject, pointer) for pointer in places.get("query_parameters", ()))
    parameters = next((each for each in found if isinstance(each, dict) and each), {})
    return [(name, value) for name, values in parameters.items() for value in texts_of(values)]


def query_string(parameters, is_encoded):
    """Joins parameters, sorted by name. API Gateway has decoded them."""
    encode = str if is_encoded else percent_encoded
    return "&".join(f"{encode(name)}={encode(value)}" for name, value in sorted(parameters, key=lambda each: each[0]))


def percent_encoded(value):
    encoded = DESCRIPTION["encoded_in_query"]
    return "".join(chr(byte) if 0x20 <= byte < 0x7F and chr(byte) not in encoded else f"%{byte:02X}" for byte in utf8(value))


def client_of(forwarded):
    """Returns the first valid address of `X-Forwarded-For`."""
    for entry in forwarded.split(",", LIMITS["forwarded_addresses"])[: LIMITS["forwarded_addresses"]]:
        entry = entry.strip()
        for candidate in (entry, *without_port(entry)):
            if is_address(candidate):
                return candidate
    return None


def without_port(entry):
    host, _, port = entry.rpartition(":")
    if port_of(port) is None:
        return ()
    if host.startswith("[") and host.endswith("]"):
        return (host[1:-1],)
    return () if ":" in host else (host,)


def is_address(value):
    for family in (_socket.AF_INET, _socket.AF_INET6):
        try:
            _socket.inet_pton(family, value)
            return True
        except (OSError, ValueError):
            continue
    return False


def host_and_port(host):
    name, colon, digits = (host or "").rpartition(":")
    port = port_of(digits)
    return (host, None) if not colon or port is None else (name or None, port)


def port_of(digits):
    is_number = digits and len(digits) <= 5 and digits.isascii() and digits.isdigit()
    return int(digits) if is_number and int(digits) <= 65535 else None


def path_without_ids(path):
    """Returns a name of low cardinality for a path: `/orders/{id}` for `/orders/4711`."""
    segments = path.lstrip("/").split("/")[: LIMITS["name_segments"]]
    return "".join("/{id}" if is_id(segment) else f"/{segment}" for segment in segments)


def is_id(segment):
    digits = [each for each in segment if each in "0123456789"]
    return segment[:1] in digits or len(digits) >= LIMITS["id_digits"] or len(utf8(segment)) > LIMITS["segment_bytes"]


# Messages and documents


def messages(found, event):
    """Describes the CONSUMER span."""
    places = found.source["records"]
    records = found.records
    destination = shared([destination_of(places.get("destination", {}), record, event) for record in records])
    name = destination and name_of_destination(destination)
    attributes = {
        "messaging.system": places["system"],
        "messaging.operation.type": "process",
        "messaging.operation.name": "process",
        "messaging.destination.name": name,
    }
    if len(records) == 1:
        attributes.update(own_attributes(places, records[0].value))
    else:
        attributes["messaging.batch.message_count"] = len(records)
    links = [] if places.get("sender_is_parent") and not found.is_alone else links_of(places, records)
    source = name or ("" if len(records) == 1 else "multiple_sources")
    return Messages(source, present(attributes), links)


def links_of(places, records):
    links = []
    for number, record in enumerate(records):
        if len(links) >= LIMITS["links"] or number >= LIMITS["links"] and not links:
            break
        carrier = sender(places, record.value)
        if carrier is not None:
            links.append(trace.Link(context_of(carrier), own_attributes(places, record.value)))
    return links


def own_attributes(places, record):
    """Returns the attributes that identify a message. Kafka's records have no id."""

    def integer_at(name):
        return integer(at(record, places[name])) if name in places else None

    partition = integer_at("partition")
    return present(
        {
            "messaging.message.id": text(record, [places["id"]]) if "id" in places else None,
            "messaging.destination.partition.id": None if partition is None else str(partition),
            "messaging.kafka.offset": integer_at("offset"),
        }
    )


def destination_of(place, record, event):
    if "key" in place:
        return record.key.partition(place["key"])[0] or None
    return text(event, [place["event"]]) if "event" in place else text(record.value, place.values())


def name_of_destination(destination):
    """Returns `orders` for `arn:aws:sqs:region:account:orders` and for
    `arn:aws:kinesis:region:account:stream/orders/consumer/a`."""
    if not destination.startswith("arn:"):
        return destination
    resource = ":".join(destination.split(":")[5:])
    _, slash, below = resource.partition("/")
    return (below if slash else resource).partition("/")[0] or None


def changes(places, records):
    """Returns the attributes of changed documents: values that all share, and all values of a single one."""

    def value(name):
        return text(records[0].value, [places[name]]) if len(records) == 1 and name in places else None

    collection = shared([text(record.value, [places["collection"]]) for record in records])
    name = value("name")
    changed = value("time")
    return present(
        {
            "faas.document.collection": collection and name_of_destination(collection),
            "faas.document.operation": shared([operation_of(places, record.value) for record in records]),
            "faas.document.name": name and object_name(name),
            "faas.document.time": changed and time(changed),
        }
    )


def operation_of(places, record):
    change = text(record, [places["operation"]]) or ""
    return places["operations"].get(change.removeprefix("s3:").partition(":")[0])


def object_name(key):
    """Decodes the key of an object, which is form-encoded."""
    plain = key.replace("+", " ")
    parts = re.split("(%[0-9A-Fa-f]{2})", plain)
    # Every second part is an encoded byte.
    decoded = [bytes.fromhex(part[1:]) if number % 2 else utf8(part) for number, part in enumerate(parts)]
    return decoded_text(b"".join(decoded)) or plain


# Senders


def sender(places, record):
    """Returns the headers of a message's sender: its own, or else those in its body, or else X-Ray's. `None` without a valid
    one."""

    def find(name):
        return first(places.get("headers", ()), lambda pointer: header_in(at(record, pointer), name))

    for candidate in (
        lambda: w3c_headers(find),
        lambda: headers_of(places.get("body", {}), record),
        lambda: present({XRAY_HEADER: find("AWSTraceHeader")}),
    ):
        carrier = candidate()
        if context_of(carrier) is not None:
            return carrier
    return None


def context_of(carrier):
    """Returns the context of the span that a sender's headers name, or `None`."""
    if XRAY_HEADER in carrier:
        return xray_context(carrier[XRAY_HEADER])
    if "traceparent" not in carrier:
        return None
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    context = trace.get_current_span(TraceContextTextMapPropagator().extract(carrier, Context())).get_span_context()
    return context if context.is_valid else None


def xray(header):
    """Reads X-Ray's header.

    Source: X-Ray Developer Guide, "Tracing header".
    """
    fields = dict(map(str.strip, field.partition("=")[::2]) for field in header.split(";"))
    version, *parts = fields.get("Root", "").split("-")
    has_root = version == "1" and [len(part) for part in parts] == [8, 24]
    return XRayHeader(
        trace_id=id_of("".join(parts), 32) if has_root else None,
        parent_id=id_of(fields.get("Parent", ""), 16),
        is_sampled={"0": False, "1": True}.get(fields.get("Sampled")),
    )


def id_of(digits, length):
    """Returns the number of an id in hexadecimal digits, or `None`. An id of zeros is invalid."""
    is_hexadecimal = len(digits) == length and HEXADECIMAL.issuperset(digits)
    return int(digits, 16) or None if is_hexadecimal else None


def xray_context(header):
    found = xray(header)
    if found.trace_id is None or found.parent_id is None:
        return None
    return trace.SpanContext(found.trace_id, found.parent_id, True, trace.TraceFlags(found.is_sampled is not False))


def headers_of(place, record):
    if "object" in place:
        return headers_of_json(at(record, place["object"]))
    body = text(record, place.values())
    return headers_of_body(decoded(body) if "base64" in place else body)


def decoded(body):
    if body is None or len(body) // 4 * 3 > LIMITS["body_bytes"]:
        return None
    from base64 import b64decode

    try:
        return decoded_text(b64decode(body, validate=True))
    except ValueError:
        return None


def headers_of_body(body):
    """Returns W3C's headers in the JSON of a body, also within the envelopes of Amazon SNS and EventBridge."""
    # Few messages contain them. The others are not parsed.
    if not body or "traceparent" not in body or len(utf8(body)) > LIMITS["body_bytes"]:
        return {}
    try:
        message = mapping(json.loads(body))
    except (ValueError, RecursionError):
        return {}
    return (
        w3c_headers(lambda name: header_in(message.get("MessageAttributes"), name))
        or headers_of_body(text(message, ["/Message"]))
        or headers_of_json(message.get("detail"))
        or headers_of_json(message)
    )


def headers_of_json(value):
    """Returns W3C's headers in a JSON object: under `headers`, under `_datadog`, or at its top level."""
    value = mapping(value)
    places = (value.get("headers"), value.get("_datadog"), value)
    place = next((each for each in places if "traceparent" in mapping(each)), None)
    return w3c_headers(lambda name: header_in(place, name))


def header_in(headers, name):
    """Returns a header in a map, or the last one in Kafka's list of maps. Its value is text, bytes, or an object with one of
    them.
    """
    if isinstance(headers, list):
        headers = next((each for each in reversed(headers) if name in mapping(each)), None)
    value = mapping(headers).get(name)
    if isinstance(value, dict):
        value = next((value[kind] for kind in ("stringValue", "Value", "bytes") if kind in value), None)
    if isinstance(value, list) and len(value) <= LIMITS["header_bytes"] and all(type(byte) is int for byte in value):
        # Lambda writes signed integers.
        value = decoded_text(bytes(byte & 255 for byte in value))
    return value if is_text(value) and len(utf8(value)) <= LIMITS["header_bytes"] else None


def w3c_headers(find):
    """Returns W3C's headers that `find` finds by their names."""
    return present({name: find(name) for name in W3C})


def headers_at(value, pointers):
    """Returns the headers in these places with names in lower case. The place named first wins."""
    headers = {}
    for place in reversed([mapping(at(value, pointer)) for pointer in pointers]):
        for name, values in place.items():
            if texts := texts_of(values):
                headers[name.lower()] = ",".join(texts)
    return headers


# Values


def at(value, pointer):
    for name in pointer.split("/")[1:]:
        if isinstance(value, dict):
            value = value.get(name)
        elif isinstance(value, list):
            value = value[int(name)] if name.isdigit() and int(name) < len(value) else None
        else:
            return None
    return value


def text(value, pointers):
    """Returns the first text at these pointers. An empty text counts as none."""
    for pointer in pointers:
        found = at(value, pointer)
        if is_text(found):
            return found
    return None


def texts_of(values):
    return [value for value in (values if isinstance(values, list) else [values]) if isinstance(value, str)]


def first(values, action):
    """Returns the first result that is not `None`."""
    return next((result for result in map(action, values) if result is not None), None)


def shared(values):
    """Returns the value that all have, or `None`."""
    return values[0] if all(value == values[0] for value in values) else None


def present(values):
    return {name: value for name, value in values.items() if value is not None}


def integer(value):
    return value if type(value) is int else None


def milliseconds(value):
    """Returns the milliseconds since the Unix epoch of a number, of digits, or of an RFC 3339 text."""
    if isinstance(value, str):
        is_number = len(value) < MAX_DIGITS and value.isascii() and value.isdigit()
        return int(value) if is_number else unix_ms(value)
    return value if type(value) is int and value >= 0 else None


TIME = r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:[.,:](\d+))?(?:[Zz]|([+-])(\d\d):?(\d\d))?"


def unix_ms(value):
    found = re.fullmatch(TIME, value.strip(), re.ASCII)
    if found is None:
        return None
    from datetime import datetime, timedelta, timezone

    *numbers, fraction, sign, hours, minutes = found.groups()
    try:
        written = datetime(*map(int, numbers), tzinfo=timezone.utc)
    except ValueError:
        return None
    # In minutes.
    offset = int(hours or 0) * 60 + int(minutes or 0)
    signed_offset = -offset if sign == "-" else offset
    seconds = (written - datetime(1970, 1, 1, tzinfo=timezone.utc)) // timedelta(seconds=1) - signed_offset * 60
    return seconds * 1000 + int(f"{fraction or '':0<3}"[:3]) if seconds >= 0 else None


def time(value):
    """Returns a time in UTC with milliseconds: `2026-09-21T14:13:20.000Z`."""
    found = unix_ms(value)
    if found is None:
        return None
    parts = clock.gmtime(found // 1000)
    return f"{clock.strftime('%Y-%m-%dT%H:%M:%S', parts)}.{found % 1000:03}Z"


def utf8(value):
    return value.encode("utf-8", "replace")


def decoded_text(value):
    try:
        return value.decode()
    except UnicodeDecodeError:
        return None


def mapping(value):
    return value if isinstance(value, dict) else {}


def is_text(value):
    return isinstance(value, str) and value != ""
