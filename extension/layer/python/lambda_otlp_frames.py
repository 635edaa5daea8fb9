"""Describes errors, and removes the layer's frames from their tracebacks. Tracebacks are often part of an answer, and tools group
errors by them.
"""

import builtins
import os
import traceback

from lambda_otlp_load import layer_module

# Limit on the errors below one error: its cause, its context, and the errors of a group.
MAX_ERRORS = 64


def cut(error):
    """Removes the frames from the tracebacks of this error and of the errors it contains."""
    waiting = [error]
    for each in waiting:
        # The function's own class may replace any of these.
        BaseException.with_traceback(each, without_layer(BaseException.__traceback__.__get__(each)))
        inner = [BaseException.__cause__.__get__(each), BaseException.__context__.__get__(each), *errors_of(each)]
        waiting += [error for error in inner if error is not None and not any(error is known for known in waiting)]
        if len(waiting) > MAX_ERRORS:
            break


def errors_of(error):
    group = getattr(builtins, "BaseExceptionGroup", None)
    return group.exceptions.__get__(error) if group is not None and isinstance(error, group) else ()


def without_layer(frames):
    """Returns the traceback without the layer's frames."""
    first = skip_layer(frames)
    kept = first
    while kept is not None:
        following = skip_layer(kept.tb_next)
        if following is not kept.tb_next:
            kept.tb_next = following
        kept = following
    return first


def skip_layer(frames):
    while frames is not None and is_of_layer(frames.tb_frame.f_code.co_filename):
        frames = frames.tb_next
    return frames


def is_of_layer(file):
    packages = layer_module("lambda_otlp_packages").folder
    return os.path.dirname(file) == os.path.dirname(__file__) or bool(packages) and file.startswith(packages + os.sep)


def type_of(error):
    """Returns the name of an error's class, with its module unless that is Python's own."""
    kind = type(error)
    module = kind.__module__
    return kind.__qualname__ if module in (None, "", "builtins") else f"{module}.{kind.__qualname__}"


def text_of(error):
    """Returns what `traceback.format_exception` does, without the layer's frames."""
    described = traceback.TracebackException.from_exception(error)
    waiting = [described]
    for each in waiting:
        each.stack[:] = [frame for frame in each.stack if not is_of_layer(frame.filename)]
        inner = [each.__cause__, each.__context__, *(getattr(each, "exceptions", None) or ())]
        waiting += [other for other in inner if other is not None]
    return "".join(described.format())
