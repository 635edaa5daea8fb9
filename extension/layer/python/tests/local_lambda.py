"""Runs functions in the local Lambda of `lambda-otlp dev`, below the layer's wrapper, and reads their telemetry.

The programs are those of the last `cargo build`. Packages come from PyPI, and stay in the user's cache.
"""

import fcntl
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

REPOSITORY = pathlib.Path(__file__).resolve().parents[4]
LAYER = pathlib.Path(__file__).resolve().parents[1]
PROGRAMS = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target")) / "debug"
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "lambda-otlp" / "layer-tests"
# More than the local Lambda needs on a busy machine, including the packages of a first run.
LONGEST_S = 300


def made_once(name, make):
    """Returns the folder of this name in the cache, which `make` creates."""
    folder = CACHE / name
    CACHE.mkdir(parents=True, exist_ok=True)
    # Tests may run in several processes.
    with open(folder.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "made").exists():
            shutil.rmtree(folder, ignore_errors=True)
            make(folder)
            (folder / "made").touch()
    return folder


def function_python():
    """Returns the folder of a Python without the packages of the tests."""

    def make(folder):
        subprocess.run([getattr(sys, "_base_executable", sys.executable), "-m", "venv", folder], check=True)

    return made_once(f"python{sys.version_info[0]}.{sys.version_info[1]}", make) / "bin"


def packages(*requirements):
    """Returns a folder with these packages and their dependencies."""

    def make(folder):
        pip = [
            function_python() / "python3",
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--no-warn-conflicts",
        ]
        subprocess.run([*pip, "--target", folder, *requirements], check=True)

    name = hashlib.sha256(repr((sys.version_info[:2], requirements)).encode()).hexdigest()[:16]
    return made_once(f"packages-{name}", make)


class Run:
    """The telemetry and the output of a function, and its results in the order of the events."""

    def __init__(self, printed):
        self.spans = []
        self.lines = []
        self.results = []
        for each in map(json.loads, printed.splitlines()):
            if "trace" in each:
                # All that was logged before a result is printed before it.
                self.spans += [{**span_of(span), "results_before": len(self.results)} for span in each["trace"]["spans"]]
                self.lines += [record["body"].get("stringValue", "") for record in each["trace"]["logRecords"]]
            elif "logRecord" in each:
                self.lines.append(each["logRecord"]["body"].get("stringValue", ""))
            elif each.get("line", "").startswith("=> "):
                self.results.append(result_of(each["line"][3:]))
            elif "line" in each:
                self.lines.append(each["line"])

    def named(self, name):
        return [span for span in self.spans if span["name"] == name]

    def kind(self, kind):
        return [span for span in self.spans if span["kind"] == kind]

    @property
    def text(self):
        return "\n".join(self.lines)


def result_of(line):
    """Returns the value of a response, or its text, or that of a failure, without durations."""
    try:
        return json.JSONDecoder().raw_decode(line)[0]
    except ValueError:
        return re.sub(r" after [0-9.]+ ms| \([0-9.]+ ms[^)]*\)$", "", line)


KINDS = ("UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")


def span_of(span):
    span["attributes"] = attributes_of(span)
    span["kind"] = KINDS[span["kind"]]
    span["links"] = [{**link, "attributes": attributes_of(link)} for link in span.get("links", [])]
    return span


def attributes_of(item):
    return {each["key"]: value_of(each["value"]) for each in item.get("attributes", [])}


def value_of(value):
    if not value:
        return None
    ((kind, value),) = value.items()
    if kind == "arrayValue":
        return [value_of(each) for each in value.get("values", [])]
    return int(value) if kind == "intValue" else value


def run(
    folder,
    events,
    *,
    handler="app.handler",
    runtime="python",
    wrapper=True,
    timeout="20s",
    env=(),
    files=None,
    options=(),
    command=(),
):
    """Invokes the function in this folder with each event. `files` are written there first. A `command` replaces the client of
    `runtime`.
    """
    for name, text in (files or {}).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    dev = [PROGRAMS / "lambda-otlp", "dev", "--json", "--name", "shop", "--handler", handler, "--timeout", timeout]
    dev += [] if "--extension" in options else ["--extension", PROGRAMS / "lambda-otlp-extension"]
    dev += ["--wrapper"] if wrapper else []
    for name, value in dict(env).items():
        dev += ["--env", f"{name}={value}"]
    dev += [*options, *(["--", *command] if command else ["--runtime", runtime])]
    environ = {**os.environ, "PATH": f"{function_python()}:{os.environ['PATH']}"}
    environ.pop("VIRTUAL_ENV", None)
    lines = "".join(json.dumps(event) + "\n" for event in events)
    done = subprocess.run(
        dev, cwd=folder, env=environ, input=lines, capture_output=True, text=True, timeout=LONGEST_S, check=False
    )
    ran = Run(done.stdout)
    assert len(ran.results) == len(events), done
    return ran


class Target:
    """An HTTP server. `seen` has the path and the headers of each request, `bodies` the bodies of requests that name their
    length.
    """

    def __init__(self):
        self.seen = []
        self.bodies = []
        target = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                target.seen.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
                if length := int(self.headers.get("content-length", 0)):
                    target.bodies.append(self.rfile.read(length).decode())
                body = "\n".join(f"{name}: {value}" for name, value in self.headers.items()).encode()
                self.send_response(200)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_GET

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def traces(self):
        """Returns the trace id that each path was called with."""
        return {path: headers.get("traceparent", "").split("-")[1:2] for path, headers in self.seen}
