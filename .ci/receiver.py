"""Runs rotel on loopback, sends event files with `lambda-otlp forward`, compares the counts."""

import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time

CASES = {
    # event file: spans, log records, whether metrics must arrive
    "text-mixed": (30, 8, True),
    "otlp-only": (530, 0, False),
    "large": (530, 997, False),
    "control": (0, 0, False),
    "empty": (0, 0, False),
    "one-garbage": (0, 1, False),
}


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def start_rotel(output):
    packages = pathlib.Path(sysconfig.get_paths()["platlib"])
    agent = packages / "rotel" / "rotel-agent"
    http, grpc = free_port(), free_port()
    environment = dict(os.environ)
    libraries = sysconfig.get_config_var("LIBDIR") or ""
    environment["LD_LIBRARY_PATH"] = libraries + ":" + environment.get("LD_LIBRARY_PATH", "")
    process = subprocess.Popen(
        [
            str(agent), "start",
            "--otlp-http-endpoint", f"127.0.0.1:{http}",
            "--otlp-grpc-endpoint", f"127.0.0.1:{grpc}",
            "--exporter", "blackhole",
            "--debug-log", "traces", "--debug-log", "logs", "--debug-log", "metrics",
            "--debug-log-verbosity", "detailed",
        ],
        stdout=output, stderr=subprocess.STDOUT, env=environment,
    )
    for _ in range(300):
        if process.poll() is not None:
            output.seek(0)
            sys.exit("rotel ended: " + output.read())
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", http)) == 0:
                return process, http
        time.sleep(0.1)
    process.kill()
    sys.exit("rotel does not listen")


def main():
    target = os.environ.get("CARGO_TARGET_DIR", "target")
    binary = pathlib.Path(target) / "debug" / "lambda-otlp"
    passed, failed = 0, 0
    for name, (spans, logs, metrics) in CASES.items():
        with tempfile.NamedTemporaryFile("w+", suffix=".log") as output:
            rotel, port = start_rotel(output)
            try:
                result = subprocess.run(
                    [binary, "forward", f"tests/fixtures/events/awslogs-{name}.json",
                     "--endpoint", f"http://127.0.0.1:{port}", "--json"],
                    capture_output=True, text=True, timeout=60,
                )
            finally:
                rotel.terminate()
                rotel.wait(timeout=30)
            output.seek(0)
            printed = output.read()
        ledger = json.loads(result.stdout)
        seen = (
            len(re.findall(r"^\s*Span #\d+", printed, re.M)),
            len(re.findall(r"^\s*LogRecord #\d+", printed, re.M)),
            bool(re.search(r"^\s*NumberDataPoints #\d+|^\s*HistogramDataPoints #\d+", printed, re.M)),
        )
        ok = result.returncode == 0 and seen == (spans, logs, metrics) and ledger["lost"] == 0 \
            and ledger["returned"] == 0 and (ledger["items"]["undecodable"] == ledger["dead_lettered"])
        print(f"{name}: rotel printed {seen[0]} spans, {seen[1]} log records; {result.stdout.strip()}", flush=True)
        if not ok:
            print(f"  expected {(spans, logs, metrics)}; exit {result.returncode}; {result.stderr}")
            print(printed[-2000:])
        passed, failed = passed + ok, failed + (not ok)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
