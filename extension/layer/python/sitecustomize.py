"""Python imports this module when the function's runtime starts, because the wrapper put this folder in front of PYTHONPATH.

The module restores the path and PYTHONPATH, and imports another `sitecustomize` if there is one. It waits for the runtime to
import the handler's module, and imports no OpenTelemetry module before.

Source: Python's documentation of the module `site`.
"""

import os
import sys


def leave_the_path_as_it_was(folder):
    """Removes this folder from the path and PYTHONPATH. AWS's runtime adds layers' packages only if PYTHONPATH is not set."""
    sys.path[:] = [entry for entry in sys.path if entry != folder]
    rest = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    rest = [entry for entry in rest if entry and entry != folder]
    if rest:
        os.environ["PYTHONPATH"] = os.pathsep.join(rest)
    else:
        os.environ.pop("PYTHONPATH", None)


def hand_on():
    """Imports the next `sitecustomize` on the path, which this module has shadowed."""
    own = sys.modules.pop("sitecustomize", None)
    try:
        import sitecustomize  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name != "sitecustomize":
            raise
        if own is not None:
            sys.modules["sitecustomize"] = own


folder = os.path.dirname(os.path.abspath(__file__))
try:
    if sys.version_info < (3, 10):
        version = ".".join(map(str, sys.version_info[:3]))
        remedy = "update the function's image to Python 3.10 or later, or set LAMBDA_OTLP_INSTRUMENT=off"
        print(f"lambda-otlp-handler: not instrumented: Python {version} is too old: {remedy}", file=sys.stderr)
    else:
        import lambda_otlp_handler

        lambda_otlp_handler.wait_for_the_handler(os.path.dirname(folder))
except Exception as error:
    print(f"lambda-otlp-handler: the function starts without instrumentation: {error!r}", file=sys.stderr)
leave_the_path_as_it_was(folder)
hand_on()
