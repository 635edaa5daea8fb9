"""Functions in the local Lambda of `lambda-otlp dev`, which prints their telemetry as JSON."""

import json
import os
import subprocess

from local_lambda import LONGEST_S, PROGRAMS, function_python

EXTENSION = ("--extension", PROGRAMS / "lambda-otlp-extension")


def dev(folder, events, *words, env):
    """Invokes the function of these words with each event. Returns the printed objects, and the lines of the results."""
    command = [
        PROGRAMS / "lambda-otlp",
        "dev",
        "--json",
        *(word for name, value in env.items() for word in ("--env", f"{name}={value}")),
        *words,
    ]
    environ = {**os.environ, "PATH": f"{function_python()}:{os.environ['PATH']}"}
    lines = "".join(json.dumps(event) + "\n" for event in events)
    ran = subprocess.run(
        command, cwd=folder, env=environ, input=lines, capture_output=True, text=True, timeout=LONGEST_S, check=False
    )
    printed = [json.loads(line) for line in ran.stdout.splitlines()]
    results = [each["line"] for each in printed if each.get("line", "").startswith("=> ")]
    assert len(results) == len(events), ran
    return printed, results


def log_records(printed):
    return [record for each in printed for record in each.get("trace", {}).get("logRecords", [])] + [
        each["logRecord"] for each in printed if "logRecord" in each
    ]


def spans(printed):
    return [span for each in printed for span in each.get("trace", {}).get("spans", [])]


def metrics(printed):
    return [each["metric"] for each in printed if "metric" in each]
