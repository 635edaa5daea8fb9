"""Loads files of the layer and entry points of packages, and runs steps whose failure must not stop the function.

The other files find this module in `sys.modules`, because the folder leaves the path when the runtime starts.
"""

import functools
import importlib.util
import os
import sys


@functools.cache
def beside(name):
    """Loads a module from the layer's folder, which is not on the path."""
    place = os.path.join(os.path.dirname(os.path.abspath(__file__)), f"{name}.py")
    spec = importlib.util.spec_from_file_location(name, place)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def library(name):
    """Imports a module of OpenTelemetry's packages."""
    return beside("lambda_otlp_packages").library(name)


def attempt(action, *arguments):
    try:
        action(*arguments)
    except Exception as error:
        say(f"instrumentation failed, the function continues without it: {error!r}")


def say(text):
    print(f"lambda-otlp-handler: {text}", file=sys.stderr, flush=True)


def entry_points(group):
    return all_entry_points().select(group=group)


@functools.cache
def all_entry_points():
    """Returns the entry points of all packages. Reading their files takes milliseconds."""
    return beside("lambda_otlp_packages").entry_points()
