"""Reads and checks OpenTelemetry's variables, and replaces values that the SDK cannot use."""

import importlib.util
import os

from lambda_otlp_load import layer_module, say

# Export timeout of the SDK, in seconds, the unit of Python's SDK. An export takes milliseconds if the extension is running.
EXPORT_TIMEOUT = "1"

# Upper limit of a timeout, in seconds. No invocation lasts this long, and Python's sockets accept no infinite timeout.
MAX_SECONDS = 86400

# The variable that asks for prompts, and its values that ask for attributes of spans. The layer makes no events.
PROMPTS = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
ON_SPANS = ("true", "span_only", "span_and_event")

# Other export protocols of Python's SDK, with the entry points of their exporters.
PROTOCOLS = {"grpc": "otlp_proto_grpc"}


def replacements():
    """Returns and logs new values for variables that would stop the SDK from starting: a package is missing, or a timeout is
    invalid.
    """
    found = {}
    if os.environ.get("OTEL_CONFIG_FILE") and importlib.util.find_spec("opentelemetry.configuration") is None:
        say("OTEL_CONFIG_FILE is ignored, because opentelemetry-configuration is not installed; the other OTEL_… variables apply")
        found["OTEL_CONFIG_FILE"] = ""
    for signal in ("", "TRACES_", "METRICS_", "LOGS_"):
        name = f"OTEL_EXPORTER_OTLP_{signal}PROTOCOL"
        asked = os.environ.get(name, "").strip()
        if asked in ("", "http/protobuf"):
            continue
        if PROTOCOLS.get(asked) not in exporters():
            say(
                f"{name} is {asked}, but the function has no exporter for it; using http/protobuf: "
                "install the exporter, or remove the variable"
            )
            found[name] = "http/protobuf"
    for signal in ("", "TRACES_", "METRICS_"):
        name = f"OTEL_EXPORTER_OTLP_{signal}TIMEOUT"
        asked = os.environ.get(name, "").strip()
        if asked and seconds(asked) is None:
            say(f"{name} must be a number of seconds above 0, got {asked}; using {EXPORT_TIMEOUT}")
            found[name] = EXPORT_TIMEOUT
    return found


def exporters():
    """Returns the names of the exporters of spans that the function can use."""
    return {entry.name for entry in layer_module("lambda_otlp_packages").entry_points("opentelemetry_traces_exporter")}


def seconds(text):
    """Parses a timeout in seconds. Returns `None` if no export can succeed within it."""
    try:
        number = float(text)
    except (TypeError, ValueError):
        return None
    return number if 0 < number < MAX_SECONDS else None


def stability_opt_in():
    """Returns the value of OpenTelemetry's variable. Stable names are the default, as in Node and Rust."""
    return os.environ.get("OTEL_SEMCONV_STABILITY_OPT_IN", "").strip() or "http,database"


def chosen_conventions():
    """Returns the values in OpenTelemetry's variable. `http` asks for stable names, and `http/dup` for stable and old ones."""
    return {value.strip() for value in stability_opt_in().split(",")}


def disabled_instrumentations(environ=None):
    """Returns the names of instrumentations that the function disables. `*` stands for all."""
    environ = os.environ if environ is None else environ
    return {name.strip() for name in environ.get("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "").split(",")}


def recorded_prompts():
    """Returns the module that describes prompts and answers of models, or `None` unless the function asks for them."""
    asked = os.environ.get(PROMPTS, "").strip().lower()
    return layer_module("lambda_otlp_prompts") if asked in ON_SPANS else None


class variables:
    """Sets environment variables for the duration of a `with` block. The function sees its own values."""

    def __init__(self, **values):
        self.values = values

    def __enter__(self):
        self.before = {name: os.environ.get(name) for name in self.values}
        os.environ.update(self.values)

    def __exit__(self, *_):
        for name, value in self.before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


class UnchangedVariables:
    """Restores OpenTelemetry's variables after a `with` block, in which a distribution sets some of them."""

    def __enter__(self):
        self.before = of_opentelemetry()

    def __exit__(self, *_):
        for name in of_opentelemetry().keys() - self.before.keys():
            del os.environ[name]
        os.environ.update(self.before)


def of_opentelemetry():
    return {name: value for name, value in os.environ.items() if name.startswith("OTEL_")}
