"""Measures the overhead of an instrumentation in a Python or Node function without OpenTelemetry code.

Takes the place of Lambda's Runtime API, of the receivers of telemetry (OTLP, X-Ray's daemon) and of the service that the function
calls. Each candidate is a layer: a folder that is mounted at /opt, and the wrapper in it that its documentation names. Candidates
take turns in fresh processes. Needs root. README.md has the commands.

- Cold: the CPU time of the function's process, user and system, with its wrapper, until it requests the first event. The minimum of
  the runs, because other programs only add to it.
- Warm: the CPU time of an invocation. The median of an environment's last invocations, and the minimum of these medians. The `calls`
  functions create three spans.
- Memory: the peak of the process after the first invocations. The median of the runs.
- With `--sizes`, also the elapsed time until a function of this memory requests the first event. The minimum of the runs. A control
  group limits the function to its share of a core.
"""

import argparse
import ctypes
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HERE = Path(__file__).resolve().parent
# Where Lambda has the function's code. Some wrappers look here.
TASK = Path("/var/task")
INVOCATIONS = 100
WARM = 20
# Invocations before the memory is measured, because some runtimes begin garbage collection late.
FIRST = 30
# Time limit of an environment in seconds.
LIMIT = 60


def cpu(pid):
    """Returns the CPU time of a process in milliseconds, in the scheduler's resolution (clock_getcpuclockid)."""
    return time.clock_gettime(~pid << 3 | 2) * 1000


def peak(pid):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    return 0


# Values of Linux's <sched.h> and <sys/mount.h>.
CLONE_NEWNS = 0x20000
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000


def mount(source, target, flags):
    if ctypes.CDLL(None, use_errno=True).mount(str(source).encode(), str(target).encode(), None, flags, None):
        raise OSError(ctypes.get_errno(), f"cannot mount {source} at {target}")


def mount_folders(layer, task):
    """Shows this process alone the folders where Lambda has them."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS):
        raise OSError(ctypes.get_errno(), "cannot get mounts of its own: this needs root")
    mount("none", "/", MS_REC | MS_PRIVATE)
    mount(task, TASK, MS_BIND)
    if layer:
        mount(layer, "/opt", MS_BIND)


class Share:
    """The share of a core that Lambda gives a function of this memory after its init phase: a whole core for 1,769 MB. Needs root
    and version 1 of control groups.
    """

    PERIOD = 20000

    def __init__(self, megabytes):
        self.folder = Path(f"/sys/fs/cgroup/cpu/lambda-otlp-{os.getpid()}-{megabytes}")
        self.folder.mkdir()
        (self.folder / "cpu.cfs_period_us").write_text(str(self.PERIOD))
        (self.folder / "cpu.cfs_quota_us").write_text(str(self.PERIOD * megabytes // 1769))

    def join(self):
        (self.folder / "cgroup.procs").write_text(str(os.getpid()))


class Server(BaseHTTPRequestHandler):
    """The services of one environment, by path."""

    protocol_version = "HTTP/1.1"

    def setup(self):
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def log_message(self, *_):
        pass

    def body(self):
        if self.headers.get("transfer-encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("content-length") or 0))
        pieces = []
        while size := int(self.rfile.readline(), 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    def answer(self, status=200, body=b"{}", **headers):
        head = [f"HTTP/1.1 {status} OK", f"content-length: {len(body)}"]
        head += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.wfile.write("\r\n".join([*head, "", ""]).encode() + body)

    def do_GET(self):
        if self.path.endswith("/invocation/next"):
            return self.server.environment.next(self)
        self.answer(body=b"3")

    def do_POST(self):
        body = self.body()
        if "/runtime/" in self.path:
            self.server.environment.result(self.path, body)
            return self.answer(202, content_type="application/json")
        if self.path.startswith("/v1/"):
            self.server.environment.telemetry.append((self.path, len(body)))
            return self.answer(body=b"", content_type=self.headers.get("content-type"))
        self.server.environment.telemetry.append((self.path, len(body)))
        self.answer(content_type="application/json")

    do_PUT = do_POST


class Listener(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True

    def handle_error(self, *_):
        # A killed process breaks its connections.
        pass


class Environment:
    """One process of a function, from its start to its last invocation."""

    def __init__(self, candidate, invocations, share=None):
        self.invocations = invocations
        # The CPU time of the process at each request for an event.
        self.times = []
        # The path and the size of each request with telemetry.
        self.telemetry = []
        self.failures = []
        self.memory = 0
        self.done = threading.Event()
        self.servers = [Listener(("127.0.0.1", 0), Server) for _ in range(2)]
        for server in self.servers:
            server.environment = self
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        self.daemon = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.daemon.bind(("127.0.0.1", 0))
        threading.Thread(target=self.receive, daemon=True).start()
        api, receiver = (f"127.0.0.1:{server.server_port}" for server in self.servers)
        environ = {
            "PATH": os.environ["PATH"],
            "LANG": "en_US.UTF-8",
            "AWS_LAMBDA_RUNTIME_API": api,
            "AWS_LAMBDA_FUNCTION_NAME": "measured",
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
            "AWS_REGION": "eu-west-1",
            "AWS_DEFAULT_REGION": "eu-west-1",
            "AWS_ACCESS_KEY_ID": "x",
            "AWS_SECRET_ACCESS_KEY": "x",
            "AWS_XRAY_DAEMON_ADDRESS": f"127.0.0.1:{self.daemon.getsockname()[1]}",
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "LAMBDA_TASK_ROOT": str(TASK),
            "LAMBDA_RUNTIME_DIR": "/var/runtime",
            "SERVICE": f"http://{receiver}",
            "PYTHONDONTWRITEBYTECODE": "1",
            "NODE_NO_WARNINGS": "1",
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{receiver}",
            **candidate.environ,
        }
        self.output = tempfile.TemporaryFile()
        self.begun = time.monotonic()
        self.elapsed = None

        def prepare():
            if share:
                share.join()
            mount_folders(candidate.layer, candidate.task)
            os.chdir(TASK)

        self.process = subprocess.Popen(
            candidate.command,
            env=environ,
            cwd="/",
            stdout=self.output,
            stderr=self.output,
            preexec_fn=prepare,
        )

    def receive(self):
        try:
            while data := self.daemon.recv(65536):
                self.telemetry.append(("X-Ray", len(data)))
        except OSError:
            pass

    def next(self, request):
        self.elapsed = self.elapsed or (time.monotonic() - self.begun) * 1000
        self.times.append(cpu(self.process.pid))
        number = len(self.times)
        if number == min(FIRST, self.invocations) + 1:
            self.memory = peak(self.process.pid)
        if number > self.invocations:
            self.done.set()
            return
        deadline = int(time.time() * 1000) + LIMIT * 1000
        request.answer(
            body=json.dumps({"number": number}).encode(),
            content_type="application/json",
            lambda_runtime_aws_request_id=f"8476a536-e9f4-11e8-9739-{number:012x}",
            lambda_runtime_deadline_ms=deadline,
            lambda_runtime_invoked_function_arn="arn:aws:lambda:eu-west-1:123456789012:function:measured",
            lambda_runtime_trace_id=f"Root=1-5bef4de7-{number:024x};Parent=00000000000000aa;Sampled=1",
        )

    def result(self, path, body):
        if path.endswith("/error"):
            self.failures.append(body[:2000].decode(errors="replace"))

    def run(self):
        has_ended = False
        for _ in range(LIMIT * 20):
            if self.done.wait(0.05):
                break
            if self.process.poll() is not None:
                has_ended = True
                break
        self.process.kill()
        self.process.wait()
        for server in self.servers:
            server.shutdown()
            server.server_close()
        self.daemon.close()
        self.output.seek(0)
        text = self.output.read().decode(errors="replace")
        self.output.close()
        if not self.done.is_set() or self.failures:
            raise SystemExit(f"the function failed (ended: {has_ended}): {self.failures} {text[-3000:]}")
        self.text = text
        return self


class Candidate:
    def __init__(self, name, layer, task, command, environ):
        self.name = name
        self.layer = layer
        self.task = HERE / "task" / task
        self.command = command
        self.environ = environ


# The layers: the name of the folder, the wrapper that AWS_LAMBDA_EXEC_WRAPPER names, and variables. Each has its own defaults,
# besides the address of the receiver.
LAYERS = {
    "lambda-otlp": ("lambda-otlp", "lambda-otlp-handler", {}),
    "OpenTelemetry's layer": ("otel-LANGUAGE", "otel-handler", {}),
    "AWS's layer": ("adot-LANGUAGE", "otel-instrument", {}),
    "AWS's layer, fast start": ("adot-LANGUAGE", "otel-instrument", {"OTEL_AWS_LAMBDA_FAST_START": "true"}),
}


def candidates(options):
    """Returns the candidates by function: the bare one, and one for each layer that is there."""
    folder = Path(options.layers).resolve()
    python = Path(options.python).absolute()
    python_environ = {
        "PATH": f"{python.parent}:{os.environ['PATH']}",
        "AWS_EXECUTION_ENV": "AWS_Lambda_python" + version_of(python, "import sys; print('%d.%d' % sys.version_info[:2])"),
        "PYTHONPATH": str(TASK),
    }
    node = version_of(options.node, "console.log(process.versions.node.split('.')[0])", "-e")
    modules = [f"/opt/nodejs/node{node}/node_modules", "/opt/nodejs/node_modules", options.node_modules]
    node_environ = {"AWS_EXECUTION_ENV": f"AWS_Lambda_nodejs{node}.x", "NODE_PATH": ":".join(modules)}
    python_runtime = [str(python), str(HERE / "runtime.py")]
    node_runtime = [options.node, str(HERE.parents[1] / "interop/unchanged/node/runtime.mjs")]
    found = {}

    def add(function, language, task, runtime, environ):
        environ = {"_HANDLER": f"{function}.handler", **environ}
        found[function] = [Candidate("bare", None, task, runtime, environ)]
        for name, (layer, wrapper, own) in LAYERS.items():
            if (layer := folder / layer.replace("LANGUAGE", language)).is_dir():
                found[function].append(Candidate(name, layer, task, [f"/opt/{wrapper}", *runtime], {**environ, **own}))

    for function in ("plain", "with_boto3", "calls"):
        add(function, "python", "python", python_runtime, python_environ)
    for function, task in (("plain_node", "node"), ("with_aws", "node"), ("calls_node", "node"), ("module", "module")):
        add(function, "node", task, node_runtime, node_environ)
    return found


def version_of(runtime, code, option="-c"):
    return subprocess.run([runtime, option, code], check=True, capture_output=True, text=True).stdout.strip()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layers", required=True, help="a folder with a folder for each layer, as Lambda unpacks it to /opt")
    parser.add_argument("--python", default=sys.executable, help="an interpreter with awslambdaric, boto3 and requests")
    parser.add_argument("--node", default="node")
    parser.add_argument("--node-modules", default="", help="a folder node_modules with @aws-sdk/client-sqs")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--functions", default="", help="only functions with this text in their names")
    parser.add_argument("--candidates", default="", help="only the bare function and candidates with this text in their names")
    parser.add_argument(
        "--sizes", type=int, nargs="*", default=[], help="memory sizes in MB, for which the elapsed time is measured too"
    )
    parser.add_argument("--output", action="store_true", help="print what the functions print")
    options = parser.parse_args()
    TASK.mkdir(parents=True, exist_ok=True)
    sizes = "".join(f" {size} MB, ms | added |" for size in options.sizes)
    print(f"| function | candidate | cold, ms | added | warm, ms | added | peak, MB | added |{sizes} telemetry |")
    print("|---|---|---|---|---|---|---|---|" + "---|---|" * len(options.sizes) + "---|")
    shares = [Share(size) for size in options.sizes]
    try:
        measure(options, shares)
    finally:
        for share in shares:
            share.folder.rmdir()


def measure(options, shares):
    for function, all_candidates in candidates(options).items():
        if options.functions not in function:
            continue
        chosen = [each for each in all_candidates if each.name == "bare" or options.candidates in each.name]
        runs = {each.name: [] for each in chosen}
        elapsed = {each.name: [[] for _ in shares] for each in chosen}
        for turn in range(options.runs):
            for each in chosen if turn % 2 == 0 else chosen[::-1]:
                ran = Environment(each, INVOCATIONS).run()
                runs[each.name].append(ran)
                for times, share in zip(elapsed[each.name], shares):
                    times.append(Environment(each, 0, share).run().elapsed)
                if options.output and ran.text and turn == 0:
                    print(f"{each.name}: {ran.text}", file=sys.stderr)
        # The bare function is the first candidate.
        bare = None
        for name, ran in runs.items():
            figures = figures_of(ran, elapsed[name])
            bare = bare or figures
            cells = [f"{value:.1f} | {value - base:+.1f}" for value, base in zip(figures, bare)]
            print(f"| {function} | {name} | {' | '.join(cells)} | {telemetry_of(ran[-1])} |", flush=True)


def figures_of(ran, elapsed):
    """Returns the figures in the order of the columns."""
    cold = min(each.times[0] for each in ran)
    warm = min(statistics.median(last_invocations(each)) for each in ran)
    memory = statistics.median(each.memory for each in ran)
    return [cold, warm, memory, *map(min, elapsed)]


def last_invocations(ran):
    """Returns the CPU times of the last invocations."""
    return [end - begin for begin, end in zip(ran.times[-WARM - 1 :], ran.times[-WARM:])]


def telemetry_of(ran):
    sizes = {}
    for path, size in ran.telemetry:
        sizes.setdefault(path, []).append(size)
    described = [f"{path}: {len(all_sizes)} ({sum(all_sizes) // len(all_sizes)} B)" for path, all_sizes in sorted(sizes.items())]
    if lines := ran.text.count("\n"):
        described.append(f"log: {lines} lines")
    return ", ".join(described)


if __name__ == "__main__":
    main()
