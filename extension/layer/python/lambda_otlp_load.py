"""Loads the layer's other files and OpenTelemetry's packages, and has the files' messages and clock.

The other files find this module in `sys.modules`, because the folder leaves the path when the runtime starts.
"""

import functools
import importlib.util
import os
import sys
import time as replaceable
from importlib.machinery import ModuleSpec

# The clock of before the function's code, which may replace the functions of the module `time`, for example by a test library.
time = type(sys)("time")
vars(time).update(vars(replaceable))


# The layer's folder, which is not on the path.
FOLDER = os.path.dirname(os.path.abspath(__file__))


@functools.cache
def layer_module(name):
    """Loads a module from the layer's folder."""
    spec = importlib.util.spec_from_file_location(name, os.path.join(FOLDER, f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@functools.cache
def described(name):
    """Returns the content of events.json (events and credentials) or calls.json, which other languages read too."""
    import json

    with open(os.path.join(os.path.dirname(FOLDER), name), encoding="utf-8") as file:
        return json.load(file)


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
    """Runs an action of the layer. An error is logged, and does not reach the function."""
    try:
        action(*arguments)
    except Exception as error:
        say(f"instrumentation failed, the function continues without it: {error!r}")


def say(text):
    """Writes a line to stderr, which is in the function's log."""
    print(f"lambda-otlp-handler: {text}", file=sys.stderr, flush=True)
