"""Modules of Python's library that OpenTelemetry's API imports, and that load later in the layer's copy of it. Most functions use
none of them: `inspect` and `urllib.parse` take longer to import than the whole API.
"""

import functools
import importlib
import os
import re
from types import ModuleType


class Pattern:
    """A regular expression that is compiled at its first use."""

    def __init__(self, text, flags=0):
        self.text = text
        self.flags = flags

    @functools.cached_property
    def compiled(self):
        return re.compile(self.text, self.flags)

    def __getattr__(self, name):
        return getattr(self.compiled, name)


def uuid4():
    """Returns the text of a random UUID.

    Source: RFC 9562, "UUID Version 4".
    """
    number = int.from_bytes(os.urandom(16), "big")
    # Version and variant.
    number = number & ~(0xF << 76) & ~(0x3 << 62) | 0x4 << 76 | 0x2 << 62
    digits = f"{number:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def of_pattern(name):
    """Returns a function of `re` whose first argument may be a `Pattern`."""

    def call(pattern, *arguments, **named):
        return getattr(re, name)(getattr(pattern, "compiled", pattern), *arguments, **named)

    return call


def calls(module, name):
    """Returns a function that imports its module at its first call."""

    def call(*arguments, **named):
        return getattr(importlib.import_module(module), name)(*arguments, **named)

    return call


class Later(ModuleType):
    """A module with these names. Any other name imports the whole module."""

    def __init__(self, name, **names):
        super().__init__(name)
        vars(self).update(names)

    def __getattr__(self, name):
        return getattr(importlib.import_module(self.__name__), name)


PATTERN_FUNCTIONS = ("findall", "finditer", "fullmatch", "match", "search", "split", "sub", "subn")
MODULES = {
    "copy": Later("copy"),
    "inspect": Later("inspect"),
    "re": Later("re", compile=Pattern, **{name: of_pattern(name) for name in PATTERN_FUNCTIONS}),
    "urllib.parse": Later(
        "urllib.parse", **{name: calls("urllib.parse", name) for name in ("quote_plus", "unquote", "unquote_plus")}
    ),
    "uuid": Later("uuid", uuid4=uuid4),
}
