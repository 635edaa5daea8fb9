"""Draws a picture of one trace, in a light and a dark theme.

cargo demo --html run.html && python3 docs/picture.py run.html                                              the README's, trace-*.svg
PICTURE=spans.json pytest tests/interop/test_models.py -k one_trace && python3 docs/picture.py spans.json   that of models.md, models-*.svg
"""

import json
import re
import sys
from html import escape, unescape
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).parent
THEMES = FOLDER.parent / "demo/program/src/html.rs"
TRACE = "shop, its orders fails"
WIDTH, LINE = 960, 22
NAME, MILLIS, TRACK = 96, 400, 416  # x of the columns: left, right, left
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
    """A span. `left` and `width` are percentages of the trace's time."""

    service: str
    name: str
    millis: str
    depth: float
    left: float
    width: float
    colour: str
    is_failed: bool


def text(markup):
    return unescape(re.sub(r"<small>.*?</small>|<[^>]+>", "", markup)).strip()


def word(x, y, content, colour, extra=""):
    return f'<text x="{x}" y="{y}" fill="{colour}"{extra}>{escape(content)}</text>'


class Picture:
    """The lines of a picture, from its top."""

    def __init__(self, title, colours):
        self.title, self.colours = title, colours
        self.drawn, self.y, self.depth = [], LINE + 12, 0

    def add(self, bar):
        colours = self.colours
        span = WIDTH - 16 - TRACK
        self.y += LINE
        self.depth = bar.depth
        x = TRACK + span * bar.left / 100
        long = max(2, span * bar.width / 100)
        self.drawn += [
            word(16, self.y, bar.service, colours["text"]),
            word(NAME + 16 * bar.depth, self.y, bar.name, colours["bad" if bar.is_failed else "text"], ' font-weight="600"'),
            word(MILLIS, self.y, bar.millis, colours["text"], ' text-anchor="end"'),
            f'<rect x="{TRACK}" y="{self.y - 12}" width="{span}" height="15" rx="3" fill="{colours["track"]}"/>',
            f'<rect x="{x:.1f}" y="{self.y - 12}" width="{long:.1f}" height="15" rx="3" fill="{colours["bad" if bar.is_failed else bar.colour]}"/>',
        ]

    def remark(self, line, is_bad=False):
        """Adds a line below the last span."""
        self.y += LINE - 4
        line = line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"
        self.drawn.append(word(NAME + 16 * (self.depth + 1), self.y, line, self.colours["bad" if is_bad else "dim"], ' font-size="12"'))

    def __str__(self):
        height = self.y + 20
        begin = f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}"'
        title = word(16, LINE + 6, self.title, self.colours["text"], ' font-size="15" font-weight="600"')
        page = f'<rect width="100%" height="100%" rx="8" fill="{self.colours["page"]}"/>'
        return "\n".join([f'{begin} font-family="system-ui,sans-serif" font-size="13">', page, title, *self.drawn, "</svg>\n"])


def of_demo(run, colours):
    """Draws a trace of the page of a demo run."""
    traces = re.findall(r"<details open>.*?</details>", run, re.DOTALL)
    trace = next(trace for trace in traces if f"<strong>{TRACE}</strong>" in trace)
    picture = Picture("One trace: a failed order, through two functions", colours)
    for css, content in re.findall(r'<div class="([^"]*)">(.*)</div>', trace):
        kind, *rest = css.split()
        if kind == "row":
            service, name, millis = (text(each) for each in re.findall(r"<span[^>]*>((?:(?!</?span).)*)</span>", content)[:3])
            depth, left, width = (float(x) for x in re.findall(r"(?:min\(|left:|width:)([\d.]+)", content))
            picture.add(Bar(service, name, millis, depth, left, width, "bar" if rest[0] == "orders" else "bar2", "failed" in rest))
        elif "remark" not in rest:
            picture.remark(" ".join(text(content).split()), "bad" in rest)
    return picture


def of_calls(run, colours):
    """Draws a trace of spans in JSON, with what they say of their calls."""
    spans = sorted(json.loads(run), key=lambda span: int(span["startTimeUnixNano"]))
    begin = int(spans[0]["startTimeUnixNano"])
    whole = max(int(span["endTimeUnixNano"]) for span in spans) - begin
    picture = Picture("One trace: a price, an order, a model and a message", colours)

    def add(span, depth):
        took = int(span["endTimeUnixNano"]) - int(span["startTimeUnixNano"])
        left = 100 * (int(span["startTimeUnixNano"]) - begin) / whole
        failed = span.get("status", {}).get("code") == 2
        picture.add(Bar("shop", span["name"], f"{took / 1e6:.2f} ms", depth, left, 100 * took / whole, "bar" if depth else "bar2", failed))
        said = [f"{name}: {json.dumps(span['attributes'][name]).strip('[]').replace(chr(34), '')}" for name in SHOWN if name in span["attributes"]]
        while len("  ".join(said)) > LONGEST:
            said.pop()
        if depth and said:
            picture.remark("  ".join(said))
        for child in spans:
            if child.get("parentSpanId") == span["spanId"]:
                add(child, depth + 1)

    ids = {span["spanId"] for span in spans}
    for root in spans:
        if root.get("parentSpanId", "") not in ids:
            add(root, 0)
    return picture


def main(run):
    draw, name = (of_demo, "trace") if run.endswith(".html") else (of_calls, "models")
    themes = re.findall(r":root\{(?:color-scheme:[^;]*;)?(--[^}]*)\}", THEMES.read_text(encoding="utf-8"))
    for theme, style in zip(["light", "dark"], themes, strict=True):
        colours = dict(re.findall(r"--(\w+):(#\w+)", style))
        (FOLDER / f"{name}-{theme}.svg").write_text(str(draw(Path(run).read_text(encoding="utf-8"), colours)), encoding="utf-8")


main(sys.argv[1])
