"""Draws the pictures of README and docs/models.md, in a light and a dark theme.

cargo demo --html run.html && python3 docs/picture.py run.html
PICTURE=spans.json pytest tests/interop/test_models.py -k one_trace && python3 docs/picture.py spans.json
"""

import json
import re
import sys
from html import escape
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).parent
STYLE = FOLDER.parent / "crates/console/src/page/style.css"
TRACE = "shop, its orders fails"
WIDTH = 960
LINE = 22
NAME = 96
MILLIS = 400
TRACK = 416  # x of the columns: left, right, left
LONGEST = 110  # characters of a log record
# The names of attributes that the picture of calls shows below their span.
SHOWN = (
    "db.query.text",
    "gen_ai.usage.input_tokens",
    "gen_ai.usage.output_tokens",
    "gen_ai.response.finish_reasons",
    "messaging.destination",
    "http.response.status_code",
)


class Bar(NamedTuple):
    """A span. `left` and `width` are parts of the trace's time."""

    service: str
    name: str
    millis: str
    depth: int
    left: float
    width: float
    colour: str
    is_failed: bool


def word(x, y, text, colour, extra=""):
    return f'<text x="{x}" y="{y}" fill="{colour}"{extra}>{escape(text)}</text>'


class Picture:
    """The lines of a picture, from its top."""

    def __init__(self, title, colours):
        self.title = title
        self.colours = colours
        self.drawn = []
        self.y = LINE + 12
        self.depth = 0

    def add(self, bar):
        colours = self.colours
        long = WIDTH - 16 - TRACK
        self.y += LINE
        self.depth = bar.depth
        x = TRACK + long * bar.left
        length = max(2, long * bar.width)
        mark = f' stroke="{colours["bad"]}" stroke-width="2"' if bar.is_failed else ""
        self.drawn += [
            word(16, self.y, bar.service, colours["text"]),
            word(NAME + 16 * bar.depth, self.y, bar.name, colours["bad" if bar.is_failed else "text"], ' font-weight="600"'),
            word(MILLIS, self.y, bar.millis, colours["text"], ' text-anchor="end"'),
            f'<rect x="{TRACK}" y="{self.y - 12}" width="{long}" height="15" rx="3" fill="{colours["track"]}"/>',
            f'<rect x="{x:.1f}" y="{self.y - 12}" width="{length:.1f}" height="15" rx="3" fill="{colours[bar.colour]}"{mark}/>',
        ]

    def remark(self, line, colour="dim"):
        """Adds a line below the last span."""
        self.y += LINE - 4
        line = line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"
        self.drawn.append(word(NAME + 16 * (self.depth + 1), self.y, line, self.colours[colour], ' font-size="12"'))

    def __str__(self):
        height = self.y + 20
        begin = f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}"'
        title = word(16, LINE + 6, self.title, self.colours["text"], ' font-size="15" font-weight="600"')
        page = f'<rect width="100%" height="100%" rx="8" fill="{self.colours["page"]}"/>'
        return "\n".join([f'{begin} font-family="system-ui,sans-serif" font-size="13">', page, title, *self.drawn, "</svg>\n"])


def attribute(item, key):
    return next((a["value"].get("stringValue", "") for a in item.get("attributes", []) if a["key"] == key), "")


def times(span):
    return int(span["startTimeUnixNano"]), int(span["endTimeUnixNano"])


def rows(spans):
    """The spans depth first, Lambda's span of an invocation around the function's."""
    parents = {span["spanId"]: span.get("parentSpanId", "") for span in spans}
    for span in spans:
        root = parents[span["spanId"]]
        if span["name"] == "aws.lambda.invocation" and root in parents:
            parents[span["spanId"]] = parents[root]
            parents[root] = span["spanId"]

    def below(parent, depth):
        for span in sorted(spans, key=times):
            if parents[span["spanId"]] == parent or depth == 0 and parents[span["spanId"]] not in parents:
                yield depth, span
                yield from below(span["spanId"], depth + 1)

    return list(below(None, 0))


def bars(spans, service_of, colour_of):
    """The spans with their bars."""
    begin = min(times(span)[0] for span in spans)
    whole = max(times(span)[1] for span in spans) - begin
    for depth, span in rows(spans):
        start, end = times(span)
        is_failed = span.get("status", {}).get("code") == 2
        millis = f"{(end - start) / 1e6:.2f} ms"
        yield (
            span,
            Bar(
                service_of(span),
                span["name"],
                millis,
                depth,
                (start - begin) / whole,
                (end - start) / whole,
                colour_of(span, depth),
                is_failed,
            ),
        )


def of_demo(run, colours):
    """Draws a trace of the page of a demo run."""
    data = json.loads(re.search(r'<script id="data" type="application/json">(.*?)</script>', run, re.DOTALL)[1])
    invocation = next(invocation for invocation, name in data["names"].items() if name == TRACE)
    spans = [span for message in data["messages"] for span in message["spans"]]
    trace = next(span["traceId"] for span in spans if attribute(span, "faas.invocation_id") == invocation)
    spans = [span for span in spans if span["traceId"] == trace]
    records = [record for message in data["messages"] for record in message["records"] if record.get("traceId") == trace]
    picture = Picture("One trace: a failed order, through two functions", colours)
    for span, bar in bars(spans, lambda span: span["service"], lambda span, _: "s0" if span["service"] == "orders" else "s1"):
        picture.add(bar)
        if bar.is_failed:
            parts = [attribute(span, "error.type"), span["status"].get("message", "")]
            if error := ": ".join(dict.fromkeys(part for part in parts if part)):
                picture.remark(" ".join(f"ERROR {error}".split()), "bad")
        for record in sorted(records, key=lambda record: int(record["timeUnixNano"])):
            if record.get("spanId") == span["spanId"] and record.get("eventName") != "platform.report":
                line = f"{record.get('severityText', '')} {record.get('body', {}).get('stringValue', '')}"
                picture.remark(" ".join(line.split()))
    return picture


def of_calls(run, colours):
    """Draws a trace of spans in JSON, with what they say of their calls."""
    picture = Picture("One trace: a price, an order, a model and a message", colours)
    for span, bar in bars(json.loads(run), lambda _: "shop", lambda _, depth: "s0" if depth else "s1"):
        picture.add(bar)
        attributes = span["attributes"]
        said = [
            f"{name}: {json.dumps(attributes[name]).strip('[]').replace(chr(34), '')}" for name in SHOWN if name in attributes
        ]
        while len("  ".join(said)) > LONGEST:
            said.pop()
        if bar.depth and said:
            picture.remark("  ".join(said))
    return picture


def main(run):
    draw, name = (of_demo, "trace") if run.endswith(".html") else (of_calls, "models")
    themes = re.findall(r":root\{(?:color-scheme:[^;]*;)?(--[^}]*)\}", STYLE.read_text(encoding="utf-8"))
    for theme, style in zip(["light", "dark"], themes, strict=True):
        colours = dict(re.findall(r"--(\w+):(#\w+)", style))
        (FOLDER / f"{name}-{theme}.svg").write_text(str(draw(Path(run).read_text(encoding="utf-8"), colours)), encoding="utf-8")


main(sys.argv[1])
