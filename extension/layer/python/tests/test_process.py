"""A function sees the same process with and without the layer, except for the differences listed here, each with its reason."""

import json
import re
from collections import Counter

import pytest
from local_lambda import run
from test_unseen import STARTS

# The function lists what its code finds in each registry of the process: while its module loads, and while its handler runs.
APP = """
import asyncio, atexit, builtins, codecs, concurrent.futures.thread, contextvars, copyreg, faulthandler, gc, http.client, importlib.metadata, inspect
import json, logging, logging.handlers, multiprocessing.util, os, resource, selectors, signal, socket, ssl, subprocess, sys, tempfile, threading, time
import traceback, urllib.request, uuid, warnings, weakref

# Variables that differ from run to run.
OF_RUN = ("AWS_LAMBDA_LOG_STREAM_NAME", "AWS_LAMBDA_RUNTIME_API", "FOUND", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_LAMBDA_RECEIVER_PORT", "_X_AMZN_TRACE_ID")

def name(value):
    return f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', type(value).__qualname__)}"

def counted(number):
    return list(range(number))

def link(place):
    try: return os.readlink(place).split(":")[0]
    except OSError: return "closed"

def replaced():
    found = []
    for module in [each for key, each in list(sys.modules.items()) if key.partition(".")[0] in sys.stdlib_module_names]:
        holders = [module] + [each for each in vars(module).values() if isinstance(each, type) and each.__module__ == module.__name__]
        for holder in holders:
            for key, value in list(vars(holder).items()):
                code = getattr(getattr(value, "__func__", value), "__code__", None)
                if "lambda-otlp" in getattr(code, "co_filename", ""): found.append(f"{name(holder) if holder is not module else module.__name__}.{key}")
    return found

def describe(logger):
    return f"{logger.level} {logger.propagate} {logger.disabled} {list(map(name, logger.handlers))} {list(map(name, logger.filters))}"

def seen():
    loggers = {key: each for key, each in logging.Logger.manager.loggerDict.items() if isinstance(each, logging.Logger)}
    return {
        "threads": [thread.name for thread in threading.enumerate()],
        "threads of the system": counted(len(os.listdir("/proc/self/task"))),
        "modules": [key for key in sys.modules if key.partition(".")[0] not in sys.stdlib_module_names],
        "finders": list(map(name, sys.meta_path + sys.path_hooks)),
        "hooks": list(map(name, (sys.excepthook, sys.unraisablehook, sys.displayhook, threading.excepthook, sys.gettrace(), sys.getprofile(), *sys.get_asyncgen_hooks(), builtins.__import__))),
        "callbacks at the end": counted(atexit._ncallbacks()),
        "callbacks of multiprocessing": counted(len(multiprocessing.util._afterfork_registry) + len(multiprocessing.util._finalizer_registry)),
        "signals": [f"{each} {name(signal.getsignal(each))}" for each in signal.valid_signals()] + [signal.getitimer(signal.ITIMER_REAL)[0]],
        "filters of warnings": list(map(str, warnings.filters)) + [name(warnings.showwarning), name(warnings.warn)],
        "loggers": [f"{key} {describe(each)}" for key, each in loggers.items()] + [f"root {describe(logging.root)}"],
        "logging": list(map(name, (logging.getLoggerClass(), logging.getLogRecordFactory()))) + [logging.root.manager.disable, logging.raiseExceptions],
        "collector": [gc.isenabled(), *gc.get_threshold(), gc.get_debug(), len(gc.callbacks), gc.get_freeze_count()],
        "variables": [f"{key}={value}" for key, value in os.environ.items() if key not in OF_RUN],
        "arguments": [sys.argv, sys.orig_argv[1:], str(sys.flags), str(sys._xoptions), sys.warnoptions],
        "path": sys.path,
        "builtins": [f"{key} {name(value)}" for key, value in vars(builtins).items() if key != "_"],
        "processes": open(f"/proc/self/task/{os.getpid()}/children").read().split(),
        "descriptors": [link(f"/proc/self/fd/{each}") for each in os.listdir("/proc/self/fd")],
        "defaults": [socket.getdefaulttimeout(), sys.getswitchinterval(), sys.getrecursionlimit(), threading.stack_size(), faulthandler.is_enabled(), tempfile.tempdir, sys.dont_write_bytecode],
        "event loops": [name(asyncio.events._event_loop_policy), asyncio._get_running_loop() is None],
        "limits": [str(resource.getrlimit(each)) for each in (resource.RLIMIT_NOFILE, resource.RLIMIT_STACK)],
        "streams": [name(type(each)) for each in (sys.stdin, sys.stdout, sys.stderr)] + [sys.stdout is sys.__stdout__, sys.stdout.line_buffering],
        "classes that pickle": list(map(str, copyreg.dispatch_table)),
        "opener": [name(urllib.request._opener)],
        "contexts": [each.name for each in contextvars.copy_context()],
        "own module": [*vars(sys.modules[__name__]), name(type(sys.modules[__name__]))],
        "handler": [name(handler), sys.modules[__name__].handler is handler, str(inspect.signature(handler))] if "handler" in globals() else [],
        "frames": [f"{os.path.basename(frame.filename)} {frame.function}" for frame in inspect.stack()],
        "replaced functions": replaced(),
    }

LOADED = seen()
def handler(event, context):
    urllib.request.urlopen(os.environ["TARGET"]).read()
    thread = threading.Thread(target=int); thread.start(); thread.join()
    with concurrent.futures.ThreadPoolExecutor() as pool: pool.submit(int).result()
    found = {"while the module loads": LOADED, "while the handler runs": seen()}
    with open(os.environ["FOUND"], "a") as file: file.write(json.dumps(found) + "\\n")
"""

# For each registry, what the layer may add: a pattern of the texts, their greatest number, and the reason.
PERMITTED = {
    "callbacks at the end": (r"\d+", 4, "the last spans are exported when the process ends"),
    "callbacks of multiprocessing": (r"\d+", 1, "spans of its processes are exported when these end"),
    "contexts": ("current_context", 1, "the current span, in the variable of OpenTelemetry's API"),
    "descriptors": ("socket", 2, "connections to the extension, from the first export on"),
    "finders": (
        r"lambda_otlp_.*",
        3,
        "OpenTelemetry's API can be imported from the layer, and libraries are instrumented when they are imported",
    ),
    "frames": (
        "bootstrap.py wrapped",
        1,
        "the wrapper of the handler, which Python shows only in stacks that the handler itself reads",
    ),
    "loggers": (r"opentelemetry\.\S+ 0 True False \[\] \[\]", 40, "OpenTelemetry's API, which the function may use"),
    "modules": (
        r"(lambda_otlp_|opentelemetry)\S*|sitecustomize",
        1000,
        "the layer's modules are under names of its own, and OpenTelemetry's API is there to be used",
    ),
    "replaced functions": (
        r"threading\.Thread\.(start|_bootstrap)|concurrent\.futures\.thread\._WorkItem\.(__init__|run)|urllib\.request\.OpenerDirector\.open",
        5,
        "contexts and calls are traced; names, signatures and attributes are those of the originals",
    ),
    "threads of the system": (r"\d+", 5, "they watch the deadline and export spans, and `threading` does not list them"),
    "variables": (
        r"(OTEL_EXPORTER_OTLP_(PROTOCOL|METRICS_TEMPORALITY_PREFERENCE)|OTEL_(LOGS_EXPORTER|RESOURCE_ATTRIBUTES|SERVICE_NAME)"
        r"|AWS_LAMBDA_EXEC_WRAPPER|AWS_XRAY_DAEMON_ADDRESS|PWD|OLDPWD|SHLVL|_)=.*",
        12,
        "the wrapper's variables are for any OpenTelemetry or X-Ray SDK, and the shell has its own",
    ),
}
# What the layer may take away.
REPLACED = {"variables": r"AWS_XRAY_DAEMON_ADDRESS=.*|_=.*|SHLVL=.*"}


@pytest.mark.parametrize("start", STARTS.values(), ids=STARTS)
def test_a_function_sees_the_same_process(tmp_path, target, start):
    expected, found = (found_by_function(tmp_path, wrapper, {**start, "TARGET": target.url}) for wrapper in (False, True))
    differences = []
    for number, invocation in enumerate(found):
        for when, registries in invocation.items():
            for registry, texts in registries.items():
                differences += differences_of(f"{registry}, {when} ({number})", registry, texts, expected[number][when][registry])
    assert differences == []


def found_by_function(folder, wrapper, env):
    place = folder / f"found-{wrapper}"
    ran = run(folder, [{}, {}], files={"app.py": APP}, env={**env, "FOUND": place}, wrapper=wrapper)
    assert len(ran.kind("CLIENT")) == 2 * wrapper, ran.text
    return [json.loads(line) for line in place.read_text().splitlines()]


def differences_of(place, registry, found, expected):
    found, expected = (Counter(map(str, each)) for each in (found, expected))
    added = list((found - expected).elements())
    missing = list((expected - found).elements())
    pattern, most, _reason = PERMITTED.get(registry, ("(?!)", 0, ""))
    unknown = [each for each in added if not re.fullmatch(pattern, each)]
    lost = [each for each in missing if not re.fullmatch(REPLACED.get(registry, "(?!)"), each)]
    if unknown or lost or len(added) > most:
        return [f"{place}: added {unknown or added}, missing {lost}"]
    return []
