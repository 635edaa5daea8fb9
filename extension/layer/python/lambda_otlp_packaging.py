"""The names of `packaging.version` and `packaging.requirements` that the layer's packages import. The package compiles regular
expressions for longer than all other modules take to import, so that it loads only for `parse`, which few instrumentations call.

The layer's packages require versions in the form `name >= 1.0, < 3`, and no environment. `Version` compares versions of schemas.

Source: PEP 440, "Version specifiers"; PEP 508.
"""

import operator
import sys

from lambda_otlp_load import layer_module


class InvalidRequirement(ValueError):
    pass


class Version:
    """The numbers of a version. `1.0` equals `1`. Suffixes such as `rc1` and `.post1` do not count."""

    def __init__(self, text):
        self.numbers = []
        for part in str(text).split("."):
            digits = part[: len(part) - len(part.lstrip("0123456789"))]
            if digits:
                self.numbers.append(int(digits))
            if digits != part or not digits:
                break
        if not self.numbers:
            raise ValueError(f"a version begins with a number, got {text!r}")

    @property
    def key(self):
        last = max((place for place, number in enumerate(self.numbers, 1) if number), default=0)
        return self.numbers[:last]

    def __eq__(self, other):
        return self.key == other.key

    def __lt__(self, other):
        return self.key < other.key

    def __le__(self, other):
        return self.key <= other.key

    def __gt__(self, other):
        return self.key > other.key

    def __ge__(self, other):
        return self.key >= other.key


def parse(text):
    """Returns a version of the package itself."""
    return layer_module("lambda_otlp_packages").replaced("packaging.version").parse(text)


def is_compatible(version, bound):
    """`~= 1.44` means `>= 1.44, < 2`."""
    series = bound.numbers[:-1]
    padded = [*version.numbers, *[0] * len(series)]
    return version >= bound and padded[: len(series)] == series


# The longer ones first, because some begin with another one.
OPERATORS = {
    "~=": is_compatible,
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": lambda version, bound: not version == bound,
    ">": operator.gt,
    "<": operator.lt,
}


class Requirement:
    """The name of a package, and the versions that fit."""

    marker = None

    def __init__(self, text):
        self.text = text
        start = next((place for place, letter in enumerate(text) if letter in "~=<>! "), len(text))
        self.name = text[:start].partition("[")[0].strip()
        self.bounds = [self.bound(part.strip()) for part in text[start:].split(",") if part.strip()]
        if not self.name:
            raise InvalidRequirement(f"a requirement begins with a name, got {text!r}")

    def bound(self, text):
        name = next((name for name in OPERATORS if text.startswith(name)), None)
        version = text.removeprefix(name or "").strip()
        if name is None or not version.replace(".", "").isdecimal():
            raise InvalidRequirement(f"a requirement has numbers after one of {' '.join(OPERATORS)}, got {self.text!r}")
        return OPERATORS[name], Version(version)

    @property
    def specifier(self):
        return self

    def contains(self, version):
        found = Version(version)
        return all(fits(found, bound) for fits, bound in self.bounds)

    def __str__(self):
        return self.text


def are_fulfilled(requirements):
    """Returns `True` if the imported modules of these names say that they have a required version.

    OpenTelemetry's own check reads the packages' metadata, which takes longer.
    """
    try:
        return all(each.contains(sys.modules[each.name].__version__) for each in map(Requirement, requirements))
    except (AttributeError, KeyError, ValueError):
        return False
