"""Runs the layer's modules in pytest's own process, with fake packages of OpenTelemetry."""

import os
import sys
import types

import pytest
from local_lambda import LAYER

REPLACED = ("opentelemetry", "lambda_otlp", "google")


@pytest.fixture(scope="module", autouse=True)
def isolated():
    """Puts the layer on the path. After the tests of a module, the next module gets modules, variables and path as they were."""
    modules = dict(sys.modules)
    environ = dict(os.environ)
    path = list(sys.path)
    sys.path.append(str(LAYER))
    yield
    for name in [name for name in sys.modules if name.startswith(REPLACED)]:
        del sys.modules[name]
    sys.modules.update(modules)
    os.environ.clear()
    os.environ.update(environ)
    sys.path[:] = path


def module(name, **contents):
    """Replaces a module."""
    sys.modules[name] = types.ModuleType(name)
    vars(sys.modules[name]).update(contents)
    return sys.modules[name]
