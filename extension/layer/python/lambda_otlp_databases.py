"""Gives spans of databases the stable names of OpenTelemetry's conventions, and removes values from their statements and errors.

Source: OpenTelemetry's semantic conventions, "Database client spans".
"""

import os
import re
import sys

from lambda_otlp_load import layer_module, say
from lambda_otlp_variables import chosen_conventions

# OpenTelemetry's variable, which its Java agent reads too.
SANITIZER = "OTEL_INSTRUMENTATION_COMMON_DB_STATEMENT_SANITIZER_ENABLED"
TEXTS = ("db.query.text", "db.statement")
# Systems without a language of statements. OpenTelemetry's instrumentations give their commands without values.
COMMANDS = ("mongodb", "redis")
# Number of characters of a message that are kept.
MAX_MESSAGE = 1024
QUOTED = re.compile(r"""["'`“].*["'`”]""")
IN_PARENTHESES = re.compile(r"=\(.*\)|\{.*\}|\[.*\]")
# A message of a driver with its error number: `(1062, "Duplicate entry")`.
NUMBERED = re.compile(r"""((?:\w+: )?\(\d+, )(["'])(.*)\2\)""", re.DOTALL)
REDIS_PREFIX = re.compile(r"([A-Z]{3,}) ")
CHAINED = ("\n\nDuring handling of the above exception", "\n\nThe above exception was the direct cause")


def system_of(attributes):
    return attributes.get("db.system.name") or attributes.get("db.system")


def keeps_values():
    return os.environ.get(SANITIZER, "").strip().lower() == "false"


def uses_stable_names():
    return not chosen_conventions().isdisjoint(("database", "database/dup"))


class DatabaseCall:
    """The description of a call of a database, whose span ends."""

    __slots__ = ("name", "changes", "message", "attributes_of_events")

    def __init__(self, *, name, changes, message, attributes_of_events):
        # The name of the span.
        self.name = name
        # New values for attributes. `None` removes an attribute.
        self.changes = changes
        # The message of a status that has one.
        self.message = message
        # The attributes of each event.
        self.attributes_of_events = attributes_of_events


class CallText:
    """A statement or a command without its values, and what the conventions' attributes say about it."""

    __slots__ = ("text", "summary", "operation", "table", "batch_size")

    def __init__(self, *, text, summary, operation, table=None, batch_size=None):
        self.text = text
        self.summary = summary
        self.operation = operation
        # The name of the only table.
        self.table = table
        # The number of the commands of a pipeline.
        self.batch_size = batch_size


def describe_call(span):
    """Describes the call of a span that ends.

    A failure must not reach the function's call, and the span must then have no value.
    """
    try:
        # A span that fails ends while its error is handled.
        error = sys.exc_info()[1] if span.status.status_code.name == "ERROR" else None
        changed = changes(span.attributes, span.events, error)
        return DatabaseCall(
            name=name_of({**span.attributes, **changed}, span.name),
            changes=changed,
            message=masked_message(span.status.description),
            attributes_of_events=[masked_attributes(event.attributes) for event in span.events],
        )
    except Exception as error:
        say(f"cannot describe a call of a database, so its span has no statement: {error!r}")
        return DatabaseCall(
            name=span.name,
            changes=dict.fromkeys(TEXTS),
            message=None,
            attributes_of_events=[{} for _ in span.events],
        )


def changes(attributes, events, error):
    """Returns new values for attributes of a span that ends. `None` removes an attribute."""
    system = system_of(attributes)
    statement = next((attributes[name] for name in TEXTS if attributes.get(name)), "")
    if isinstance(statement, bytes):
        statement = statement.decode("utf-8", "replace")
    described = describe_statement(system, str(statement), attributes)
    changed = {name: described.text for name in TEXTS if name in attributes}
    if not uses_stable_names():
        return changed
    changed["db.operation.name"] = described.operation or attributes.get("db.operation.name")
    changed["db.query.summary"] = described.summary
    if described.table:
        changed["db.collection.name"] = described.table
    if described.batch_size:
        changed["db.operation.batch.size"] = described.batch_size
    if "db.response.status_code" not in attributes:
        changed["db.response.status_code"] = response_code(error)
    if "error.type" not in attributes:
        kind = error_of(events)
        if not kind and error is not None:
            kind = layer_module("lambda_otlp_frames").type_of(error)
        if kind:
            changed["error.type"] = kind
    return {name: value for name, value in changed.items() if value is not None or name in attributes}


def describe_statement(system, statement, attributes):
    """Describes a statement or a command."""
    if system in COMMANDS:
        return describe_command(system, statement, attributes)
    statements = layer_module("lambda_otlp_statements")
    found = statements.describe(system, statement)
    return CallText(
        text=statements.shortened(statement) if keeps_values() else found.text,
        summary=found.summary or None,
        operation=found.operation,
        table=found.table,
    )


def describe_command(system, command, attributes):
    operation = command.partition(" ")[0]
    batch_size = None
    if "db.redis.pipeline_length" in attributes:
        operation = "PIPELINE"
        batch_size = attributes["db.redis.pipeline_length"]
    table = attributes.get("db.collection.name")
    summary = f"{operation} {table}" if table else operation
    # Some commands of MongoDB have only their name as their text.
    is_only_name = system == "mongodb" and command == operation
    # The instrumentation has set the attribute of the table.
    return CallText(
        text=None if is_only_name else layer_module("lambda_otlp_statements").shortened(command),
        summary=summary or None,
        operation=operation,
        batch_size=batch_size,
    )


def error_of(events):
    return next((event.attributes.get("exception.type") for event in events if event.name == "exception"), None)


def response_code(error):
    """Returns the server's code of an error: SQLSTATE for PostgreSQL, the number for MySQL, the prefix for Redis."""
    if error is None:
        return None
    first = error.args[0] if error.args else None
    module = type(error).__module__.partition(".")[0]
    if module in ("pymysql", "MySQLdb", "mysql"):
        return str(first) if isinstance(first, int) else None
    if module == "pg8000":
        return first.get("C") if isinstance(first, dict) else None
    if module == "redis":
        prefix = REDIS_PREFIX.match(str(first))
        return prefix and prefix[1]
    codes = (getattr(error, name, None) for name in ("sqlstate", "pgcode"))
    return next((code for code in codes if isinstance(code, str)), None)


def name_of(attributes, name):
    """Returns the name of a span with these changed attributes."""
    return attributes.get("db.query.summary") or name if uses_stable_names() else name


def masked_message(message):
    """Returns the first line of an error's message without what it quotes. Servers repeat parts of a statement and of rows
    there."""
    if keeps_values() or not message:
        return message
    if numbered := NUMBERED.fullmatch(message):
        start, _, text = numbered.groups()
        return f"{start}{masked_message(text)})"
    first = message.partition("\n")[0][:MAX_MESSAGE]
    return IN_PARENTHESES.sub("?", QUOTED.sub("'?'", first))


def masked_attributes(attributes):
    """Returns the attributes of an event without the values in an exception."""
    attributes = dict(attributes or {})
    message = attributes.get("exception.message", "")
    stack = attributes.get("exception.stacktrace", "")
    if message:
        attributes["exception.message"] = masked_message(message)
    if stack and not keeps_values():
        # The errors before it have messages too.
        for chained in CHAINED:
            if chained in stack:
                stack = stack.rpartition(chained)[2].partition("\n\n")[2]
        attributes["exception.stacktrace"] = stack.replace(message, attributes["exception.message"]) if message else stack
    return attributes
