"""The first invocation of a process is a cold start, also after a timeout and a failed init phase."""

import pytest
from local_lambda import run

SLEEPS = "import time\ndef handler(event, context): time.sleep(event.get('sleep', 0))"
FAILS_ONCE = """
import os
if not os.path.exists("failed"):
    open("failed", "w").close()
    import missing
def handler(event, context): pass
"""


@pytest.mark.parametrize(
    ("app", "events", "expected"),
    [(SLEEPS, [{}, {"sleep": 9}, {}, {}], [True, False, True, False]), (FAILS_ONCE, [{}, {}], [True, False])],
    ids=["timeout", "failed init"],
)
@pytest.mark.parametrize("wrapper", [True, False])
def test_an_invocation_is_a_cold_start_once(tmp_path, app, events, expected, wrapper):
    ran = run(tmp_path, events, files={"app.py": app}, wrapper=wrapper, timeout="2s")
    spans = [span for span in ran.spans if "faas.coldstart" in span["attributes"]]
    spans.sort(key=lambda span: int(span["startTimeUnixNano"]))
    # An invocation has a span of the function and one of the layer.
    found = {}
    for span in spans:
        found.setdefault(span["attributes"]["faas.invocation_id"], set()).add(span["attributes"]["faas.coldstart"])
    assert list(found.values()) == [{is_cold} for is_cold in expected], ran.text
