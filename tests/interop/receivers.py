"""Receivers of OTLP that other projects wrote."""

import json
import os
import shutil
import signal
import subprocess
import sysconfig
import time
import urllib.request

import pytest
from backend import Backend
from items import decoded, log_item, point_items, span_item
from local_lambda import LONGEST_S, PROGRAMS, packages
from servers import free_port

ROTEL = "rotel==0.0.1a15"
OTELTAP = "oteltap==1.0.0"


def installed(package):
    """Returns the folder of a package from PyPI."""
    try:
        return packages(package)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"PyPI has no {package} for this machine: {error}")


class Receiver:
    """A running receiver. `found` ends it and returns the items that it took."""

    # Variables of the sender that this receiver needs.
    variables = {}

    def start(self, command, port, folder, **env):
        self.log = folder / "receiver.log"
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(
                command, env={**os.environ, **env}, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder
            )
        self.url = f"http://127.0.0.1:{port}"
        until = time.monotonic() + LONGEST_S
        while self.process.poll() is None and time.monotonic() < until:
            try:
                urllib.request.urlopen(self.url, timeout=5).close()
            except urllib.error.HTTPError:
                return
            except OSError:
                time.sleep(0.1)
            else:
                return
        raise AssertionError(self.log.read_text())

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(LONGEST_S)


class Rotel(Receiver):
    """rotel's collector, which passes everything on in requests of its own."""

    def __init__(self, folder):
        self.behind = Backend()
        port = free_port()
        self.grpc_port = free_port()
        program = installed(ROTEL) / "rotel/rotel-agent"
        self.start(
            [program, "start", "--otlp-http-endpoint", f"127.0.0.1:{port}", "--otlp-grpc-endpoint", f"127.0.0.1:{self.grpc_port}"]
            + ["--exporter", "otlp", "--otlp-exporter-protocol", "http", "--otlp-exporter-endpoint", self.behind.url],
            port,
            folder,
            # rotel is linked with Python's library.
            LD_LIBRARY_PATH=sysconfig.get_config_var("LIBDIR") or "",
        )

    def found(self):
        self.stop()
        lines = "".join(json.dumps(line) + "\n" for line in self.behind.lines)
        ran = subprocess.run([PROGRAMS / "lambda-otlp", "decode"], input=lines, capture_output=True, text=True, check=True)
        return decoded(ran.stdout)


class OtelTap(Receiver):
    """oteltap, which prints each item. It reads no gzip."""

    variables = {"OTEL_EXPORTER_OTLP_COMPRESSION": "none"}

    def __init__(self, folder):
        port = free_port()
        python_path = str(installed(OTELTAP))
        self.start([shutil.which("python3"), "-u", "-m", "oteltap", "--port", str(port)], port, folder, PYTHONPATH=python_path)

    def found(self):
        self.stop()
        items = []
        for line in self.log.read_text().splitlines():
            if not line.startswith("{"):
                continue
            item = json.loads(line)
            if "startTimeUnixNano" in item:
                items.append(span_item(item))
            elif "body" in item:
                items.append(log_item(item))
            else:
                items += point_items(item)
        return items


class VictoriaMetrics(Receiver):
    """A database of running totals, from Debian's package `victoria-metrics`, 1.112 or later."""

    def __init__(self, folder):
        program = shutil.which("victoria-metrics")
        if program is None:
            pytest.skip("victoria-metrics is missing: apt-get install victoria-metrics, of Debian 13 or later")
        port = free_port()
        self.start([program, f"-httpListenAddr=127.0.0.1:{port}", f"-storageDataPath={folder}/data"], port, folder)
        self.base = f"{self.url}/opentelemetry"

    def names(self):
        """Returns the names of metrics that it stored."""
        urllib.request.urlopen(f"{self.url}/internal/force_flush").close()
        with urllib.request.urlopen(f"{self.url}/api/v1/label/__name__/values") as answer:
            return json.load(answer)["data"]
