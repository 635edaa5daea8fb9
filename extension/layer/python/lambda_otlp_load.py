"""Loads the layer's files, runs the steps of the instrumentation, and logs their errors, so that none stops the function."""

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


def attempt(action, *arguments):
    try:
        action(*arguments)
    except Exception as error:
        say(f"instrumentation failed, the function continues without it: {error!r}")


def say(text):
    print(f"lambda-otlp-handler: {text}", file=sys.stderr, flush=True)
