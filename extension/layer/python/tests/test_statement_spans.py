"""Statements become spans without their values, and the function gets the results of before. tests/interop has the drivers of
servers.
"""

import json

import pytest
from local_lambda import packages, run

STATEMENTS = """
import sqlalchemy
from sqlalchemy import text

def handler(event, context):
    # The settings of frameworks.
    engine = sqlalchemy.engine_from_config({"sqlalchemy.url": "sqlite://"})
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE users (name text, n int)"))
        connection.execute(text("INSERT INTO users VALUES (:name, :n)"), [{"name": "geheim", "n": 1}, {"name": "b", "n": 2}])
        found = connection.execute(text("SELECT n FROM users WHERE name = 'geheim'")).fetchall()
    try:
        with engine.begin() as connection:
            connection.execute(text("SELECT 'geheim' FROM nothing"))
    except sqlalchemy.exc.OperationalError as error:
        return [repr(found), str(error)]
"""
SPANS = [
    ("CREATE TABLE users", "CREATE TABLE users (name text, n int)"),
    ("INSERT users", "INSERT INTO users VALUES (?, ?)"),
    ("SELECT users", "SELECT n FROM users WHERE name = ?"),
    ("SELECT nothing", "SELECT ? FROM nothing"),
]
SANITIZER = "OTEL_INSTRUMENTATION_COMMON_DB_STATEMENT_SANITIZER_ENABLED"
# The function's variables, and the texts of its spans.
ROWS = {
    "by default": ({}, [text for _, text in SPANS]),
    "with the SDK": ({"OTEL_BSP_EXPORT_TIMEOUT": "30000"}, [text for _, text in SPANS]),
    "with values": (
        {SANITIZER: "false"},
        [text.replace("= ?", "= 'geheim'").replace("SELECT ?", "SELECT 'geheim'") for _, text in SPANS],
    ),
    "switched off": ({"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "sqlalchemy"}, []),
    "with the older names": ({"OTEL_SEMCONV_STABILITY_OPT_IN": "http"}, [text for _, text in SPANS]),
}


VERSIONS = ("1.4.54", "2.0.44", "2.1.9")


@pytest.mark.parametrize(
    ("row", "version"), [*((row, VERSIONS[-1]) for row in ROWS), *(("by default", each) for each in VERSIONS[:2])]
)
def test_statements_of_sqlalchemy(tmp_path, row, version):
    env, texts = ROWS[row]
    env = {**env, "PYTHONPATH": str(packages(f"SQLAlchemy=={version}"))}
    without = run(tmp_path, [{}], wrapper=False, env=env, files={"app.py": STATEMENTS})
    ran = run(tmp_path, [{}], env=env)
    assert ran.results == without.results, ran.text
    assert "cannot instrument" not in ran.text
    spans = ran.kind("CLIENT")
    name = "db.statement" if row == "with the older names" else "db.query.text"
    assert [span["attributes"][name] for span in spans] == texts, ran.text
    if texts and name == "db.query.text":
        assert [span["name"] for span in spans] == [name for name, _ in SPANS]
        assert [span["attributes"]["db.system.name"] for span in spans] == ["sqlite"] * len(SPANS)
    if row != "with values":
        assert "geheim" not in json.dumps(spans)
