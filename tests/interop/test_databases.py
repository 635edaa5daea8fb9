"""Functions that call databases without OpenTelemetry code: one span for each statement, without its values, and the results of
before.
"""

import json
import re
import subprocess
import sys

import pytest
from local_lambda import REPOSITORY, packages, run
from node_packages import node_modules

SOURCES = REPOSITORY / "tests/interop/unchanged/databases"
REQUIREMENTS = [line for line in (SOURCES / "requirements.txt").read_text().splitlines() if "==" in line]
SECRET = "geheim"
# SQLAlchemy asks a server for its settings when it connects first.
ON_POSTGRESQL = ["select", "select", "show", "show"]
ON_MARIADB = ["SELECT"] * 5
NOTES = ["DROP TABLE notes", "CREATE TABLE notes", "INSERT notes", "SELECT notes"]
# The names of the spans of each action, and the types of their errors.
PYTHON = {
    "psycopg_transaction": ["DROP TABLE users", "CREATE TABLE users", "INSERT users", "SELECT users"],
    "psycopg_failed": ["INSERT users: psycopg.errors.UniqueViolation 23505"],
    "psycopg_null": ["INSERT users: psycopg.errors.NotNullViolation 23502"],
    "psycopg_wrong": ["SELECT users: psycopg.errors.SyntaxError 42601"],
    "psycopg_pool": ["SELECT users users"],
    "psycopg_server_cursor": ["SELECT users"],
    "psycopg_client_cursor": ["SELECT users"],
    "psycopg_copy": ["COPY users", "COPY SELECT users"],
    "psycopg_copy_failed": ["COPY users: psycopg.errors.UniqueViolation 23505"],
    "psycopg_stream": ["SELECT users", "SELECT"],
    "psycopg_copy_async": ["COPY SELECT", "SELECT users"],
    "psycopg_own_connection": ["SELECT users"],
    "psycopg_async": ["SELECT users"],
    "psycopg2_values": ["INSERT users", "SELECT users"],
    "psycopg2_dictionaries": ["SELECT users"],
    "psycopg2_connection_of_dictionaries": ["SELECT users"],
    "psycopg2_copy": ["COPY SELECT users"],
    "psycopg2_failed": ["INSERT users: psycopg2.errors.UniqueViolation 23505"],
    # A cursor fetches 50 rows at a time.
    "asyncpg_transaction": ["BEGIN", "UPDATE users", "SELECT", "SELECT", "SELECT users", "COMMIT"],
    "asyncpg_keywords": ["SELECT", "SELECT", "SELECT"],
    "pymysql_transaction": ["DROP TABLE orders", "CREATE TABLE orders", "INSERT orders", "SELECT orders"],
    "pymysql_failed": ["INSERT orders: pymysql.err.IntegrityError 1062"],
    "redis_commands": ["SET", "PIPELINE", "AUTH"],
    # The instrumentation fails with a command in bytes.
    "redis_bytes": [],
    "redis_failed": ["BOGUS: redis.exceptions.ResponseError"],
    "redis_async": ["GET"],
    "pymongo_commands": ["insert users", "find users"],
    "pymongo_failed": ["find failed: Unauthorized 13"],
    "sqlalchemy_psycopg": [*ON_POSTGRESQL, "SELECT pg_type", *NOTES],
    "sqlalchemy_psycopg2": ["SELECT pg_type pg_namespace", *ON_POSTGRESQL, *NOTES],
    "sqlalchemy_pymysql": [*ON_MARIADB, *NOTES],
    "sqlalchemy_pg8000": ["SELECT users"],
    "sqlalchemy_sqlite": NOTES,
    "sqlalchemy_asyncpg": ["BEGIN", *ON_POSTGRESQL, "ROLLBACK", "BEGIN", "SELECT users", "ROLLBACK"],
    "psycopg_slow": ["SELECT: partial"],
}


@pytest.fixture(scope="module")
def servers():
    sys.path.append(str(packages(*REQUIREMENTS)))
    from servers import Servers

    servers = Servers()
    try:
        yield servers.start()
    finally:
        servers.stop()


def described(span):
    attributes = span["attributes"]
    end = "partial" if attributes.get("lambda_otlp.partial") else attributes.get("error.type")
    code = attributes.get("db.response.status_code")
    return f"{span['name']}: {end}{f' {code}' if code else ''}" if end else span["name"]


@pytest.mark.parametrize("env", [{}, {"OTEL_BSP_EXPORT_TIMEOUT": "30000"}], ids=["fast", "the SDK"])
def test_python(servers, env):
    own = {**servers.variables, "PYTHONPATH": str(packages(*REQUIREMENTS))}
    events = [{"action": action} for action in PYTHON]
    without = run(SOURCES, events, handler="calls.handler", wrapper=False, timeout="8s", env=own)
    ran = run(SOURCES, events, handler="calls.handler", timeout="8s", env={**own, **env})
    assert ("starts with OpenTelemetry's SDK" in ran.text) == bool(env), ran.text
    assert ran.results == without.results, ran.text
    calls = {}
    for action, server in zip(PYTHON, ran.kind("SERVER"), strict=True):
        calls[action] = [described(span) for span in ran.kind("CLIENT") if span["traceId"] == server["traceId"]]
    assert calls == PYTHON, ran.text
    for span in ran.kind("CLIENT"):
        assert_describes(span)


def names_of_failed(ran):
    """Returns the first failures of instrumentations that the log has, by their names. Each has one line."""
    names = [line.split("instrumentation ")[1].split(" ")[0] for line in ran.lines if "failed in a call" in line]
    assert sorted(set(names)) == sorted(names), ran.text
    return set(names)


# Actions that wait until the timeout, whose process then ends.
CUT_OFF = ("psycopg_slow", "pg_slow")


@pytest.mark.parametrize("env", [{}, {"OTEL_BSP_EXPORT_TIMEOUT": "30000"}], ids=["fast", "the SDK"])
def test_python_with_faults(servers, env):
    """A failing instrumentation changes no result, before or after the call."""
    own = {**servers.variables, "PYTHONPATH": str(packages(*REQUIREMENTS))}
    actions = [action for action in PYTHON if action not in CUT_OFF]
    for fault in ("start", "attribute", "attributes", "end"):
        events = [{"action": action, "fault": fault} for action in actions]
        without = run(SOURCES, events, handler="faults.handler", wrapper=False, timeout="20s", env=own)
        ran = run(SOURCES, events, handler="faults.handler", timeout="20s", env={**own, **env})
        assert ran.results == without.results, ran.text
        if fault in ("start", "end"):
            assert names_of_failed(ran) == {"asyncpg", "dbapi", "pymongo", "redis", "sqlalchemy"}, (fault, ran.text)


def assert_describes(span):
    """Each span has the stable attributes, and nothing of a value or a password."""
    attributes = span["attributes"]
    assert SECRET not in json.dumps(span), span
    assert attributes["db.query.summary"] == span["name"], span
    assert attributes["db.operation.name"], span
    assert not {"db.system", "db.statement", "db.name", "net.peer.name"} & set(attributes), span
    if attributes["db.system.name"] != "sqlite":
        assert attributes["server.address"] in ("127.0.0.1", "localhost"), span
        assert attributes["server.port"], span


NODE = {
    "pg_transaction": ["BEGIN", "DROP TABLE people", "CREATE TABLE people", "INSERT people", "SELECT people", "COMMIT"],
    "pg_callback": ["SELECT people people"],
    "pg_failed": ["INSERT people: 23505 23505"],
    "pg_wrong": ["SELECT people: 42601 42601"],
    "pg_cursor": ["SELECT people"],
    "pg_cursor_failed": ["SELECT people: 42601 42601"],
    "pg_stream": ["SELECT people"],
    "pg_pool": ["SELECT people", "SELECT people"],
    "knex": ["select", "select people"],
    "drizzle": ["SELECT people"],
    "mysql2_transaction": ["START", "DROP TABLE things", "CREATE TABLE things", "INSERT things", "COMMIT", "SELECT things"],
    "mysql2_failed": ["INSERT things: ER_DUP_ENTRY 1062"],
    "mysql2_pool": ["SELECT things"],
    "redis_commands": ["SET", "GET", "MULTI", "MULTI"],
    "redis_failed": ["BOGUS: Error ERR"],
    "ioredis_commands": ["set", "get", "PIPELINE get", "PIPELINE del"],
    "ioredis_failed": ["BOGUS: ReplyError ERR"],
    "mongodb_commands": ["insert users", "find users"],
    "mongodb_failed": ["find failed: Unauthorized 13"],
    "pg_slow": ["SELECT: partial"],
}


def as_module(text):
    """Returns the text of a CommonJS file as an ES module."""
    text = re.sub(r"^const ([^=;]+) = require\((.+)\);$", r"import \1 from \2;", text, flags=re.MULTILINE)
    assert "require(" not in text, text
    return text.replace("exports.handler =", "export const handler =")


def node_task(folder, form):
    """Writes the function in this form, with its libraries."""
    text = (SOURCES / "calls.cjs").read_text()
    modules = node_modules(SOURCES / "package.json")
    (folder / "node_modules").symlink_to(modules)
    (folder / "calls.mjs").write_text(as_module(text))
    (folder / "calls.cjs").write_text(text)
    if form == "bundle":
        esbuild = [
            modules / ".bin/esbuild",
            "calls.mjs",
            "--bundle",
            "--platform=node",
            "--packages=external",
            "--outfile=bundle.js",
            "--minify",
        ]
        subprocess.run(esbuild, cwd=folder, check=True, capture_output=True)
    return {"CommonJS": "calls.handler", "ES module": "calls.handler", "bundle": "bundle.handler"}[form]


@pytest.mark.parametrize("form", ["CommonJS", "ES module", "bundle"])
def test_node(servers, tmp_path, form):
    handler = node_task(tmp_path, form)
    (tmp_path / ("calls.mjs" if form == "CommonJS" else "calls.cjs")).unlink()
    events = [{"action": action} for action in NODE]
    without = run(tmp_path, events, runtime="node", handler=handler, wrapper=False, timeout="8s", env=servers.variables)
    ran = run(tmp_path, events, runtime="node", handler=handler, timeout="8s", env=servers.variables)
    assert ran.results == without.results, ran.text
    calls = {}
    for action, server in zip(NODE, ran.kind("SERVER"), strict=True):
        calls[action] = [described(span) for span in ran.kind("CLIENT") if span["traceId"] == server["traceId"]]
    assert calls == NODE, ran.text
    for span in ran.kind("CLIENT"):
        assert_describes(span)


def test_node_with_faults(servers, tmp_path):
    handler = node_task(tmp_path, "CommonJS").replace("calls", "faults")
    (tmp_path / "calls.mjs").unlink()
    (tmp_path / "faults.cjs").write_text((SOURCES / "faults.cjs").read_text())
    actions = [action for action in NODE if action not in CUT_OFF]
    for fault in ("start", "attribute", "status", "end"):
        events = [{"action": action, "fault": fault} for action in actions]
        options = {"runtime": "node", "handler": handler, "timeout": "20s", "env": servers.variables}
        without = run(tmp_path, events, wrapper=False, **options)
        ran = run(tmp_path, events, **options)
        assert ran.results == without.results, ran.text
        if fault in ("start", "end"):
            assert names_of_failed(ran) == {"ioredis", "mongodb", "mysql2", "pg", "redis"}, (fault, ran.text)
