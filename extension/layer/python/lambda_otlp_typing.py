"""The names of `typing_extensions` that the layer's packages import. The package takes as long to import as Python's runtime
client.
"""

from typing import final

__all__ = ["assert_never", "deprecated", "final"]


def assert_never(value):
    raise AssertionError(f"no code handles the value {value!r}")


def deprecated(message, **_):
    """Marks a function or class, without a warning: Python shows none to functions, and the filters of warnings are theirs."""

    def mark(item):
        item.__deprecated__ = message
        return item

    return mark
