"""Errors are the same with and without the layer. A result that the runtime cannot serialize fails the invocation and its
span."""

import pytest
from local_lambda import run

APP = """
import datetime, decimal
class Counted:
    def __str__(self): raise ValueError
RESULTS = {"date": lambda: datetime.datetime.now(), "set": lambda: {"a": {1}}, "bytes": lambda: b"raw", "decimal": lambda: decimal.Decimal("1.5"),
           "nothing": lambda: None, "text": lambda: "é", "object": Counted, "loop": lambda: (lambda it: it.append(it) or it)([])}
def handler(event, context):
    return RESULTS[event["result"]]()
"""
FAILING = ("date", "set", "object", "loop")


@pytest.mark.parametrize("env", [{}, {"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "99"}], ids=["fast", "sdk"])
def test_a_result_that_cannot_be_serialized_fails_the_span(tmp_path, env):
    names = ["date", "set", "bytes", "decimal", "nothing", "text", "object", "loop"]
    events = [{"result": name} for name in names]
    without = run(tmp_path, events, files={"app.py": APP}, wrapper=False)
    ran = run(tmp_path, events, files={"app.py": APP}, env=env)
    assert ran.results == without.results
    spans = sorted(ran.kind("SERVER"), key=lambda span: int(span["startTimeUnixNano"]))
    errors = [name for name, span in zip(names, spans, strict=True) if span.get("status", {}).get("code") == 2]
    assert errors == list(FAILING), ran.text
    assert {span["attributes"].get("error.type") for span in spans} == {None, "Runtime.MarshalError"}


@pytest.mark.parametrize("env", [{}, {"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "99"}], ids=["fast", "sdk"])
def test_an_error_has_the_same_stack_trace(tmp_path, env):
    def frames(ran):
        return [line.strip() for line in ran.text.splitlines() if line.strip().startswith("File ")]

    without = run(tmp_path, [{"result": "missing"}], files={"app.py": APP}, wrapper=False)
    ran = run(tmp_path, [{"result": "missing"}], files={"app.py": APP}, env=env)
    assert len(frames(without)) == 1, without.text
    assert frames(ran) == frames(without)
