"""Masks credentials in texts of telemetry: of URLs, of headers, and of settings in errors. secrets.cjs does the same in Node, and
`events.json` has the names for both. The library masks the query of an HTTP event by the same names.

Source: OpenTelemetry's semantic conventions, `url.full` and `url.query`.
"""

import functools
import re

from lambda_otlp_load import described

REDACTED = "REDACTED"
# User and password of a URL.
USER = re.compile(r"""(://)(?:[^\s/?#"<>:@]*(:))?[^\s/?#"<>]*@""")
# What separates the words of a name.
SEPARATORS = str.maketrans("", "", "_- ")
# A value that a statement gets elsewhere.
PLACE = r"""(?:\?|\$\d+|%s|%\(\w+\)s|[:@]\w+)(?:[\s,;)]|$)"""
# What may follow a name: the end of its own quotes.
END = r"""\\?["']?\s*"""
LOWER = {capital: capital + 32 for capital in range(ord("A"), ord("Z") + 1)}


@functools.cache
def names(kind):
    """Returns the names of this kind in lower case."""
    return frozenset(map(str.lower, described("events.json")[kind]))


@functools.cache
def parameters():
    """Returns the pattern of a query's parameters, also of a query that is the value of another one."""
    alternatives = "|".join(map(re.escape, sorted(names("secret_query_parameters"))))
    return re.compile(rf"""((?:^|[?&#;]|u0026|%3F|%26)\s?(?:{alternatives})(?:=|%3D))(?!["'])[^&#\s"<>\\]*""", re.IGNORECASE)


@functools.cache
def fields():
    """Returns the pattern of headers and settings in lower case: in quotes, after an equals sign, to the end of a header's line,
    or a token without a name. The last group is the value, which ends the match.
    """

    def quoted(number):
        before = rf"""(?:{END}(?::|=>?)\s*b?|\\?["'],\s*b?(?=["'][^"']*[\d ]))"""
        escaped = rf"""(\\["'])((?:(?!\{number})[\s\S])*)"""
        return rf"""{before}(?:{escaped}|(["'])((?:\\[\s\S]|(?!\{number + 2})[^\\])*))"""

    equals = rf"""{END}=>?\s*(?!{PLACE})((?:(?:bearer|basic|digest|token)\s+)?[^\s,;&"')}}\\]+)"""
    colon = rf"""{END}:\s*([^\r\n"'\\]+)"""
    scheme = r"""(?:bearer|basic)\s+(?=[\w.~+/=-]*\d)([\w.~+/=-]{8,})"""
    of_fields = "|".join(name.replace("_", "[_ -]?") for name in sorted(names("secret_fields")))
    of_words = "|".join(sorted(names("secret_words")))
    return re.compile(rf"(?:{of_fields})(?:{quoted(1)}|{equals}|{colon})|(?:{of_words})(?:{quoted(7)}|{equals})|{scheme}")


@functools.cache
def squeezed_names():
    """Returns the names without their separators."""
    return frozenset(name.translate(SEPARATORS) for name in (*names("secret_fields"), *names("secret_words"), "bearer", "basic"))


def mask(text):
    """Returns the text without credentials."""
    if "=" in text or "%3" in text:
        text = parameters().sub(rf"\1{REDACTED}", text)
    if ":" in text and "@" in text:
        text = USER.sub(mask_user, text)
    # `lower` may change the length of other texts.
    lowered = text.lower() if text.isascii() else text.translate(LOWER)
    squeezed = lowered.translate(SEPARATORS)
    return mask_fields(text, lowered) if any(name in squeezed for name in squeezed_names()) else text


def mask_fields(text, lowered):
    parts = []
    end = 0
    for found in fields().finditer(lowered):
        parts += [text[end : found.start(found.lastindex)], REDACTED]
        end = found.end()
    return "".join([*parts, text[end:]])


def mask_user(found):
    return f"{found[1]}{REDACTED}{f':{REDACTED}' if found[2] else ''}@"


def masked(value):
    """Returns the value of an attribute without credentials."""
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, (list, tuple)):
        return type(value)(map(masked, value)) if type(value) in (list, tuple) else value
    return value


def masked_attributes(attributes):
    return {name: masked(value) for name, value in (attributes or {}).items()}
