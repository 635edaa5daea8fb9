"""Python imports this when the function's runtime starts, because the wrapper put this folder in front of PYTHONPATH.

It leaves everything as it would be without the wrapper (the path, the variable, a `sitecustomize` that somebody else has), and
waits for the runtime to import the handler's module. Nothing of OpenTelemetry is imported before.

Source: Python's documentation of the module `site`.
"""

import os
import sys


def leave_the_path_as_it_was(folder):
    """AWS's runtime adds a layer's packages to the path only where PYTHONPATH is not set."""
    sys.path[:] = [entry for entry in sys.path if entry != folder]
    rest = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    rest = [entry for entry in rest if entry and entry != folder]
    if rest:
        os.environ["PYTHONPATH"] = os.pathsep.join(rest)
    else:
        os.environ.pop("PYTHONPATH", None)


def hand_on():
    """There is one module of this name, and ours took the place of what the path has."""
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
        raise RuntimeError("it needs Python 3.10 or a later one")
    import lambda_otlp_handler

    lambda_otlp_handler.wait_for_the_handler(os.path.dirname(folder))
except Exception as error:
    print(f"lambda-otlp-handler: the function starts without instrumentation: {error!r}", file=sys.stderr)
leave_the_path_as_it_was(folder)
hand_on()
