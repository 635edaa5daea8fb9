"""Prompts and answers of models on their spans, as Node describes them too. tests/interop has the clients."""

import json

import pytest
from isolation import isolated  # noqa: F401
from local_lambda import REPOSITORY

ROWS = [json.loads(line) for line in (REPOSITORY / "tests/fixtures/prompts.jsonl").read_text().splitlines()]


def described(request, events):
    from lambda_otlp_prompts import Answer, of_request

    answer = Answer()
    for event in events:
        answer.add(event)
    return {**of_request(request), **answer.attributes()}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["name"])
def test_messages_have_the_form_of_the_conventions(row):
    found = described(row["request"], row["events"])
    assert {name: json.loads(value) for name, value in found.items()} == row["expected"]


LONG = "x" * 1_000_000
PARTS = {
    "a long text": (
        {"messages": [{"role": "user", "content": LONG}], "system": LONG},
        [{"output": {"message": {"content": [{"text": LONG}]}}}],
    ),
    "many messages": ({"messages": [{"role": "user", "content": f"question {number}"} for number in range(100_000)]}, []),
    "many parts": ({"messages": [{"role": "user", "content": [{"text": ""}] * 100_000}]}, []),
    "a long argument": (
        {"messages": [{"role": "assistant", "content": [{"type": "tool_use", "name": LONG, "input": {"a": LONG}}]}]},
        [],
    ),
    "a long stream": ({}, [{"choices": [{"index": 0, "delta": {"content": "x" * 1000}}]}] * 1000),
    "a stream of many blocks": (
        {},
        [{"contentBlockDelta": {"delta": {"text": "x"}, "contentBlockIndex": index}} for index in range(10_000)],
    ),
}


@pytest.mark.parametrize("part", PARTS.values(), ids=PARTS)
def test_an_attribute_has_a_limit(part):
    from lambda_otlp_prompts import MAX_CHARS

    found = described(*part)
    assert found
    for value in found.values():
        assert json.loads(value)
        assert MAX_CHARS / 3 < len(value) < 2 * MAX_CHARS


def test_the_newest_messages_are_kept():
    request = {"messages": [{"role": "user", "content": f"{number} {'y' * 6000}"} for number in range(9)]}
    kept = json.loads(described(request, [])["gen_ai.input.messages"])
    texts = [message["parts"][0]["content"] for message in kept]
    assert [text[0] for text in texts] == ["6", "7", "8"]
    assert [text.endswith("...") for text in texts] == [True, False, False]


def test_bytes_are_left_out():
    content = [
        {"toolUse": {"toolUseId": "t1", "name": "draw", "input": {"image": b"secret"}}},
        {"image": {"source": {"bytes": b"secret"}}},
    ]
    found = described({"messages": [{"role": "assistant", "content": content}]}, [])
    assert "secret" not in str(found)
    assert '"image":"?"' in str(found)
