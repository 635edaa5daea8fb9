"""The ways to end an invocation, and what must be known of each."""

from typing import NamedTuple

# What Lambda or the runtime reports.
OK, ERROR, TIMEOUT = "ok", "error", "timeout"
LANGUAGES = ("python", "node", "rust")


class Ending(NamedTuple):
    """How an invocation ends. A value for each language is a tuple in the order of LANGUAGES."""

    name: str
    outcome: str = OK
    # The type of the failure, as the span states it.
    error_type: tuple = (None, None, None)
    # The number of log records of at least ERROR, without Lambda's own. None: what the runtime client prints at its end may come
    # after the invocation, or not at all.
    records: tuple = (0, 0, 0)


def fails(name, error_type, records=(1, 1, 1)):
    return Ending(name, ERROR, error_type, records)


VALUE = ("ValueError", "RangeError", "_OTHER")
DECLINED = ("Declined", "Declined", "Declined")
EXIT = ("Runtime.ExitError",) * 3

ENDINGS = [
    Ending("ok"),
    Ending("null"),
    Ending("text"),
    Ending("status 404"),
    # Failures for the caller, which Lambda does not count.
    Ending("status 500", error_type=("500",) * 3),
    Ending("failed messages", error_type=("batch_item_failures",) * 3),
    fails("error", VALUE),
    fails("error without text", VALUE),
    fails("error of two lines", VALUE),
    fails("error of its own type", DECLINED),
    fails("error with a cause", DECLINED),
    fails("error in a task", VALUE),
    fails("error after a wait", VALUE),
    fails("error after a logged one", VALUE, (2, 2, 2)),
    Ending("logged error", records=(1, 1, 1)),
    Ending("printed error of a runtime", records=(1, 1, 1)),
    fails("printed and failed", VALUE, (2, 2, 2)),
    # In text format the forwarder takes these lines for Lambda's.
    Ending("printed timeout", records=(None,) * 3),
    Ending("printed exit", records=(None,) * 3),
    Ending("caught error"),
    # What a thread or a task prints about its end is a record. The handler succeeds.
    Ending("panic in a task", records=(None, 0, 1)),
    fails("unserializable", ("Runtime.MarshalError", "Runtime.JSONStringifyError", "Runtime.ExitError")),
    # Python's runtime client ends.
    fails("too large", ("Runtime.ExitError", *("Function.ResponseSizeTooLarge",) * 2), (None, 0, 0)),
    fails("panic", ("KeyboardInterrupt", "RangeError", "panic"), (None, 1, 1)),
    fails("exit 0", EXIT, (0, 0, 0)),
    fails("exit 1", EXIT, (0, 0, 0)),
    fails("abort", EXIT, (0, 0, 0)),
    fails("killed", EXIT, (0, 0, 0)),
    Ending("waits for ever", TIMEOUT, ("timeout",) * 3),
    Ending("computes for ever", TIMEOUT, ("timeout",) * 3),
    # After all others, in an environment that began anew.
    Ending("ok again"),
]

# A Rust function without our library has these records instead: the runtime's own besides the panic hook's, or that of `main`.
RECORDS_OF_PLAIN_RUST = {"panic": 2, "unserializable": 2, "too large": 1}

# Lambda refuses the response of an invocation whose handler has succeeded, or the process ends then. The root is ERROR if the forwarder
# sees it in the same event as Lambda's report (docs/signals.md, "Failed invocations").
AFTER_THE_ROOT = ("too large", "unserializable")
# The process ends at once, so that only the layer can write the root.
EXITS = ("exit 0", "exit 1", "abort", "killed")
# Text of a runtime or of Lambda. A function without our code that prints it counts as failed.
FORGED = ("printed error of a runtime", "printed and failed", "printed timeout", "printed exit", "logged error")
