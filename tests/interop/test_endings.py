"""Thirty ways to end an invocation: each has one root with the right status and type, counts once, and has its log records.

In every language, with and without our code in the function, in stdout mode, in direct mode and with the forwarder alone, in text
and JSON format. `lambda-otlp dev` is the forwarder here.
"""

from unittest.mock import ANY

import pytest
from backend import Backend, sums
from dev import EXTENSION, dev, log_records, metrics, spans
from endings import AFTER_THE_ROOT, ENDINGS, ERROR, EXITS, FORGED, LANGUAGES, OK, RECORDS_OF_PLAIN_RUST, TIMEOUT
from local_lambda import PROGRAMS, REPOSITORY, attributes_of

SOURCES = REPOSITORY / "tests/interop/endings"
RUNTIMES = {
    "python": ("--runtime", "python", "--handler", "app.handler"),
    "node": ("--runtime", "node", "--handler", "index.handler"),
    "rust": ("--", PROGRAMS / "endings-function"),
}
SERVER = 2
SEVERITY_ERROR = 17


def invoke(language, mode, log_format, is_ours):
    """Returns the request ids, the spans, the log records and the metrics."""
    env = {"OTEL_METRICS_EXPORTER": "none"}
    words = ["--name", "shop", "--timeout", "3s"]
    words += ["--json-logs"] if log_format == "json" else []
    backend = None
    if mode == "forwarder":
        words.append("--no-extension")
    else:
        words += EXTENSION
    if mode == "direct":
        backend = Backend()
        env |= {"LAMBDA_OTLP_OUTPUT": "otlp", "LAMBDA_OTLP_ENDPOINT": backend.url}
    if language == "rust":
        env["LIBRARY"] = "true" if is_ours else "false"
    elif is_ours:
        words.append("--wrapper")
    events = [{"ends": ending.name} for ending in ENDINGS]
    printed, _ = dev(SOURCES, events, *words, *RUNTIMES[language], env=env)
    ids = ids_of(log_records(printed))
    if backend is None:
        return ids, spans(printed), log_records(printed), metrics(printed)
    traced, records, counted = backend.decoded()
    # Shortly before a timeout the extension writes lines instead, for the forwarder. Those of the library stand in the log anyway.
    of_timeouts = {own for ending, own in zip(ENDINGS, ids, strict=True) if ending.outcome == TIMEOUT}
    left = [span for span in spans(printed) if attributes_of(span).get("faas.invocation_id") in of_timeouts]
    return ids, list({span["spanId"]: span for span in left + traced}.values()), records, counted


def ids_of(records):
    """Returns the request id of each ending: of its first record, or if that was lost, by the times of the reports."""
    named = {}
    for record in records:
        words = body(record).split()
        if "ending" in words:
            named[" ".join(words[words.index("ending") + 1 : -1])] = words[-1].strip('"')
    reports = [each for each in records if event_type(each) == "platform.report"]
    reports.sort(key=lambda each: int(each["timeUnixNano"]))
    in_order = list(dict.fromkeys(attributes_of(each)["faas.invocation_id"] for each in reports))
    assert len(in_order) == len(ENDINGS), reports
    return [named.get(ending.name, by_time) for ending, by_time in zip(ENDINGS, in_order, strict=True)]


def body(record):
    return record.get("body", {}).get("stringValue", "")


def request_id(item, of_traces):
    """Returns the invocation of a span or record. A record of a span has that of its trace's root."""
    return attributes_of(item).get("faas.invocation_id") or of_traces.get(item.get("traceId"))


def event_type(record):
    return attributes_of(record).get("aws.lambda.event.type", "")


def known_of(ids, traced, records):
    """Returns what is known of each ending: status and error type of each root, and the number of records of an error."""
    roots = [span for span in traced if span["kind"] == SERVER and "faas.invocation_id" in attributes_of(span)]
    of_traces = {span["traceId"]: attributes_of(span)["faas.invocation_id"] for span in roots}
    errors = [each for each in records if each.get("severityNumber", 0) >= SEVERITY_ERROR and not event_type(each)]
    known = {}
    for ending, own in zip(ENDINGS, ids, strict=True):
        states = [
            (span.get("status", {}).get("code", 0), attributes_of(span).get("error.type"))
            for span in roots
            if request_id(span, of_traces) == own
        ]
        known[ending.name] = (states, sum(request_id(record, of_traces) == own for record in errors))
    return known


COUNTS = ("faas.errors", "faas.timeouts", "faas.invocations")


def expected_counts(language, is_ours, mode, log_format):
    """Returns the possible numbers of errors, timeouts and successes. Exceptions are those of docs/signals.md, "Failed
    invocations".
    """
    errors, timeouts, successes = (sum(each.outcome == own for each in ENDINGS) for own in (ERROR, TIMEOUT, OK))
    reads_lambdas_text = log_format == "text" and mode != "direct"
    if not is_ours:
        # "printed error of a runtime", and for Rust "logged error".
        forged = 2 if language == "rust" else 1
        if reads_lambdas_text:
            # "printed exit", "printed timeout".
            forged += 1
            timeouts, successes = timeouts + 1, successes - 1
        errors, successes = errors + forged, successes - forged
    if reads_lambdas_text and language == "python" and not is_ours:
        # "error of two lines": the local Lambda cuts the line of the runtime, which has no pipe to it.
        errors, successes = errors - 1, successes + 1
    # "too large": a report in text does not say that Lambda refused the response. Plain Rust prints it, and the layer's span says so
    # if it comes in the same event.
    if reads_lambdas_text and language != "python" and (is_ours or language == "node"):
        return [[errors, timeouts, successes], [errors - 1, timeouts, successes + 1]]
    return [[errors, timeouts, successes]]


def expected_states(ending, language, is_ours, mode):
    """Returns the possible states of the root; `None` for no root."""
    error_type = ending.error_type[LANGUAGES.index(language)]
    if mode == "forwarder" and (not is_ours or ending.name in EXITS):
        return [None]
    if not is_ours and ending.outcome == OK:
        return [(0, None)] + ([(2, ANY)] if ending.name in FORGED else [])
    if error_type is None:
        return [(0, None)]
    states = [(2, error_type if is_ours else ANY)]
    is_after_root = language == "rust" or ending.name == "too large"
    if is_ours and ending.name in AFTER_THE_ROOT and is_after_root:
        states.append((0, None))
    # The layer may write the root before the forwarder reads the report.
    if not is_ours and ending.name == "too large":
        states.append((0, None))
    return states


def expected_records(ending, language, is_ours):
    if language == "rust" and not is_ours and ending.name in RECORDS_OF_PLAIN_RUST:
        return RECORDS_OF_PLAIN_RUST[ending.name]
    return ending.records[LANGUAGES.index(language)]


MODES = ("stdout", "direct", "forwarder")
ROWS = [
    (language, is_ours, mode, log_format)
    for language in LANGUAGES
    for is_ours in (True, False)
    for mode in MODES
    for log_format in ("text", "json")
    # The layer's wrapper needs the extension.
    if not (is_ours and mode == "forwarder" and language != "rust")
]


@pytest.mark.parametrize("language, is_ours, mode, log_format", ROWS)
def test_endings(language, is_ours, mode, log_format):
    ids, traced, records, counted = invoke(language, mode, log_format, is_ours)
    known = known_of(ids, traced, records)
    wrong = []
    for ending in ENDINGS:
        states, errors = known[ending.name]
        possible = expected_states(ending, language, is_ours, mode)
        if (states or [None]) not in [[state] for state in possible]:
            wrong.append((ending.name, "root", states, possible))
        expected = expected_records(ending, language, is_ours)
        if expected not in (None, errors):
            wrong.append((ending.name, "records", errors, expected))
    counts = [sum(sums(counted, name).values()) for name in COUNTS]
    possible = expected_counts(language, is_ours, mode, log_format)
    assert not wrong and counts in possible, (wrong, counts, possible)
