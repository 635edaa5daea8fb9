"""What the layer's other files share: loading of files and packages, messages, threads, and changes of attributes.

The other files find this module in `sys.modules`, because the folder leaves the path when the runtime starts.
"""

import _thread
import functools
import importlib.util
import os
import sys
import time as replaceable
from importlib.machinery import ModuleSpec

# The clock of before the function's code, which may replace the functions of the module `time`, for example by a test library.
time = type(sys)("time")
vars(time).update(vars(replaceable))


@functools.cache
def layer_module(name):
    """Loads a module from the layer's folder, which is not on the path."""
    place = os.path.join(os.path.dirname(os.path.abspath(__file__)), f"{name}.py")
    spec = importlib.util.spec_from_file_location(name, place)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Loading(ModuleSpec):
    """A spec that runs an action when its module has loaded, without a frame in the tracebacks of errors that the module raises.

    The import system sets `_initializing` before and after it executes a module.
    """

    @property
    def _initializing(self):
        return vars(self).get("_initializing", False)

    @_initializing.setter
    def _initializing(self, value):
        vars(self)["_initializing"] = value
        if value or "on_end" not in vars(self):
            return
        on_end = vars(self).pop("on_end")
        self.__class__ = vars(self).pop("kind")
        on_end(sys.modules.get(self.name))


def when_loaded(spec, on_end):
    """Calls `on_end` with the module of this spec once it has loaded, or with `None` if it fails."""
    kind = type(spec)
    spec.__class__ = Loading if kind is ModuleSpec else type(kind.__name__, (Loading, kind), {})
    spec.on_end = on_end
    spec.kind = kind


def library(name):
    """Imports a module of OpenTelemetry's packages."""
    return layer_module("lambda_otlp_packages").library(name)


def attempt(action, *arguments):
    try:
        action(*arguments)
    except Exception as error:
        say(f"instrumentation failed, the function continues without it: {error!r}")


# Longest wait for the end of a thread, in seconds.
MOMENT = 0.2


class Background:
    """A thread of the layer that `threading` does not list: functions join all listed threads, or wait until one is left.

    The process does not wait for it. `threading.current_thread` would list it until `unlist`.
    """

    def __init__(self, run):
        # The operating system's number of the thread.
        self.native_id = 0
        # Locked while the thread runs.
        self.running = _thread.allocate_lock()
        self.running.acquire()
        _thread.start_new_thread(self.run, (run,))

    def run(self, run):
        layers_threads.add(_thread.get_ident())
        self.native_id = _thread.get_native_id()
        try:
            run()
        finally:
            unlist()
            layers_threads.discard(_thread.get_ident())
            self.running.release()

    def is_alive(self):
        return self.running.locked()

    def join(self, timeout=None):
        if self.running.acquire(timeout=-1 if timeout is None else timeout):
            self.running.release()

    def wait_for_end(self):
        """Waits a moment for the end of a thread that ends now, also for the end of the operating system's thread."""
        until = time.monotonic() + MOMENT
        self.join(MOMENT)
        if self.native_id == _thread.get_native_id():
            # A greenlet has the number of its thread.
            return
        while os.path.exists(f"/proc/self/task/{self.native_id}") and time.monotonic() < until:
            time.sleep(MOMENT / 500)


def may_restart_after_fork():
    """Returns `False` if Python would warn of a thread that starts again right after a fork, and the function shows warnings.

    Early releases of Python 3.13 and 3.14 count the threads after the functions of `os.register_at_fork` (CPython issue 137109).
    The thread then starts with the next span or invocation.
    """
    counts_late = (3, 13) <= sys.version_info < (3, 13, 10) or (3, 14) <= sys.version_info < (3, 14, 1)
    return not (counts_late and sys.warnoptions)


# Python's identifiers of the layer's threads.
layers_threads = set()


def unlist():
    """Removes a thread of the layer from the list of `threading`, to which a log record has added it."""
    if _thread.get_ident() in layers_threads and "threading" in sys.modules:
        getattr(sys.modules["threading"], "_active", {}).pop(_thread.get_ident(), None)


class Unlisted:
    """A `Background` thread with the interface of `threading.Thread`, for OpenTelemetry's SDK."""

    def __init__(self, group=None, target=None, name=None, args=(), kwargs=None, *, daemon=None):
        self.name = name
        self.daemon = daemon
        self.target = functools.partial(target, *args, **kwargs or {})
        self.background = None

    def start(self):
        self.background = Background(self.target)

    def is_alive(self):
        return self.background is not None and self.background.is_alive()

    def join(self, timeout=None):
        if self.background is not None:
            self.background.join(timeout)


URLS = ("url.full", "url.query", "http.url", "http.target")


def masked_urls(attributes):
    """Returns new values for attributes with URLs that grant access, such as presigned ones.

    Source: OpenTelemetry's semantic conventions, `url.query`.
    """
    found = {name: attributes[name] for name in URLS if isinstance(attributes.get(name), str) and "=" in attributes[name]}
    if not found:
        return found
    import re

    secrets = "|".join(layer_module("lambda_otlp_events").DESCRIPTION["secret_query_parameters"])
    return {name: re.sub(f"(?i)((?:^|[?&])(?:{secrets})=)[^&#]*", r"\1REDACTED", value) for name, value in found.items()}


# Scopes of OpenTelemetry's instrumentations begin with this.
OF_OPENTELEMETRY = "opentelemetry.instrumentation."
# Anthropic's client gives the reason another name than the conventions.
STOP_REASON = "anthropic.message.stop_reason"
OLD_STATUS = "http.status_code"
STABLE_STATUS = "http.response.status_code"
PORTS = {"http": 80, "https": 443}


def stability_opt_in():
    """Returns the value of OpenTelemetry's variable. Stable names are the default, as in Node and Rust."""
    return os.environ.get("OTEL_SEMCONV_STABILITY_OPT_IN", "").strip() or "http,database"


def chosen_conventions():
    """Returns the values in OpenTelemetry's variable. `http` asks for stable names, and `http/dup` for stable and old ones."""
    return {value.strip() for value in stability_opt_in().split(",")}


def changes_at_end(attributes, scope):
    """Returns new values for attributes of a span of this scope that ends. `None` removes an attribute."""
    changes = masked_urls(attributes)
    if STOP_REASON in attributes:
        changes["gen_ai.response.finish_reasons"] = (attributes[STOP_REASON],)
    if not (scope or "").startswith(OF_OPENTELEMETRY):
        return changes
    if "rpc.system" in attributes and OLD_STATUS in attributes:
        changes.update(stable_status(attributes[OLD_STATUS]))
    if "url.full" in attributes and "server.address" not in attributes:
        # The instrumentations of some HTTP clients give no server.
        changes.update(server_of(attributes["url.full"]))
    return changes


def stable_status(status):
    """Returns the attributes of a status for which the instrumentation of AWS's SDK has an older name."""
    chosen = chosen_conventions()
    if "http/dup" in chosen:
        return {STABLE_STATUS: status}
    return {STABLE_STATUS: status, OLD_STATUS: None} if "http" in chosen else {}


def database_call(span):
    """Returns the name, changes, message and events of a span of a database that ends, or `None` for another span.

    Calls of AWS's SDK, some of which are also those of a database, keep their names.
    """
    attributes = span.attributes
    has_system = "db.system.name" in attributes or "db.system" in attributes
    if not has_system or "rpc.system" in attributes:
        return None
    if not (span.instrumentation_scope.name or "").startswith(OF_OPENTELEMETRY):
        return None
    return layer_module("lambda_otlp_databases").describe_call(span)


# OpenTelemetry's variable, and its values that ask for attributes of spans. The layer makes no events.
PROMPTS = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
ON_SPANS = ("true", "span_only", "span_and_event")


def prompts():
    """Returns the module that describes prompts and answers of models, or `None` unless the function asks for them."""
    asked = os.environ.get(PROMPTS, "").strip().lower()
    return layer_module("lambda_otlp_prompts") if asked in ON_SPANS else None


def server_of(url):
    import re

    found = re.match(r"(https?)://(?:[^/?#]*@)?(?:\[([^]]+)]|([^:/?#]+))(?::([0-9]{1,5}))?(?:[/?#]|$)", str(url), re.IGNORECASE)
    if found is None:
        return {}
    scheme, v6, name, port = found.groups()
    return {"server.address": v6 or name, "server.port": int(port) if port else PORTS[scheme.lower()]}


def say(text):
    print(f"lambda-otlp-handler: {text}", file=sys.stderr, flush=True)


def entry_points(group):
    return all_entry_points().select(group=group)


@functools.cache
def all_entry_points():
    """Returns the entry points of all packages. Reading their files takes milliseconds."""
    return layer_module("lambda_otlp_packages").entry_points()
