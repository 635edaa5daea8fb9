"""Masks credentials in texts of telemetry: of URLs, of headers, and of settings in errors. secrets.cjs does the same in Node, and
`events.json` has the names for both. The library masks the query of an HTTP event by the same names.

Source: OpenTelemetry's semantic conventions, `url.full` and `url.query`.
"""

import functools
import re

from lambda_otlp_load import described

REDACTED = "REDACTED"
# A parameter of a query. The name of a longer one is no secret's.
PARAMETER = re.compile(r"""((?:^|[?&#;]|u0026)\s?)([\w.%-]{1,64})=[^&#\s"<>\\]*""")
# User and password of a URL.
USER = re.compile(r"""(://)(?:[^\s/?#"<>:@]*(:))?[^\s/?#"<>]*@""")


@functools.cache
def names(kind):
    """Returns the names of this kind in lower case."""
    return frozenset(map(str.lower, described("events.json")[kind]))


@functools.cache
def fields():
    """Returns the pattern of headers and settings. The value of a header is the rest of its line."""
    alternatives = "|".join(map(re.escape, names("secret_fields")))
    quote = r"""\\?["']?"""
    value = rf"""({quote}\s*:\s*{quote})[^\r\n"'\\]+|({quote}\s*=\s*{quote})[^\s,;&"')}}\\]+"""
    return re.compile(rf"({alternatives})(?:{value})", re.IGNORECASE)


def mask(text):
    """Returns the text without credentials."""
    has_value = "=" in text
    if has_value:
        text = PARAMETER.sub(mask_parameter, text)
    has_colon = ":" in text
    if has_colon and "@" in text:
        text = USER.sub(mask_user, text)
    if has_value or has_colon:
        lowered = text.lower()
        if any(name in lowered for name in names("secret_fields")):
            text = fields().sub(mask_field, text)
    return text


def mask_parameter(found):
    return f"{found[1]}{found[2]}={REDACTED}" if found[2].lower() in names("secret_query_parameters") else found[0]


def mask_user(found):
    return f"{found[1]}{REDACTED}{f':{REDACTED}' if found[2] else ''}@"


def mask_field(found):
    return f"{found[1]}{found[2] or found[3]}{REDACTED}"


def masked(value):
    """Returns the value of an attribute without credentials."""
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, (list, tuple)):
        return type(value)(map(masked, value)) if type(value) in (list, tuple) else value
    return value


def masked_attributes(attributes):
    return {name: masked(value) for name, value in (attributes or {}).items()}
