"""Statements of databases without their values, as Node describes them too."""

import json

import pytest
from isolation import isolated  # noqa: F401
from local_lambda import REPOSITORY

ROWS = [json.loads(line) for line in (REPOSITORY / "tests/fixtures/statements.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["statement"][:40])
def test_a_statement_is_described_without_its_values(row):
    from lambda_otlp_statements import describe

    found = describe(row["system"], row["statement"])
    assert {**row, **vars(found)} == row
    assert "secret" not in found.text + found.summary


LONG = {
    "a value": "SELECT '" + "x" * 5_000_000,
    "values": "INSERT INTO users VALUES " + ", ".join(["(1, 'secret')"] * 300_000),
    "names": "SELECT " + ", ".join(f"column_{number}" for number in range(300_000)) + " FROM users",
    "parentheses": "(" * 1_000_000,
    "parameters without an end": "%(" * 1_000_000,
    "comments without an end": "/*" * 1_000_000,
    "tags without an end": "$a" * 1_000_000,
    "tables": "SELECT 1 FROM " + ", ".join(f"table_{number}" for number in range(300_000)),
}


@pytest.mark.parametrize("statement", LONG.values(), ids=LONG)
def test_a_long_statement_is_cut(statement):
    from lambda_otlp_statements import MAX_SUMMARY, MAX_TEXT, describe

    found = describe("postgresql", statement)
    assert len(found.text) <= MAX_TEXT
    assert len(found.summary) <= MAX_SUMMARY


# Messages of servers, and what is left of them on a span.
MESSAGES = {
    'duplicate key value violates unique constraint "users_pkey"\nDETAIL:  Key (name)=(secret) already exists.': (
        "duplicate key value violates unique constraint '?'"
    ),
    "syntax error at or near \"SELEC\"\nLINE 1: SELEC 'secret'": "syntax error at or near '?'",
    "IntegrityError: (1062, \"Duplicate entry 'secret' for key 'PRIMARY'\")": "IntegrityError: (1062, Duplicate entry '?')",
    "near 'it's secret' at line 1": "near '?' at line 1",
    "E11000 duplicate key error collection: shop.users dup key: { n: 5 }": "E11000 duplicate key error collection: shop.users dup key: ?",
    "canceling statement due to statement timeout": "canceling statement due to statement timeout",
    "": "",
}


@pytest.mark.parametrize("message", MESSAGES)
def test_a_message_has_nothing_of_a_statement(message):
    from lambda_otlp_databases import masked_message

    assert masked_message(message) == MESSAGES[message]


def test_statements_with_values_are_kept_if_the_function_says_so(monkeypatch):
    import lambda_otlp_databases as databases

    monkeypatch.setenv(databases.SANITIZER, "false")
    attributes = {"db.system.name": "postgresql", "db.query.text": "SELECT 'value' FROM users"}
    assert databases.changes(attributes, [], None)["db.query.text"] == "SELECT 'value' FROM users"
    assert databases.masked_message("'value'") == "'value'"
