"""Draws the README's picture, in a light and a dark theme, from the page of a demo run.

cargo demo --html run.html && python3 docs/picture.py run.html
"""

import json
import re
import sys
from html import escape
from pathlib import Path

TRACE = "shop, its orders fails"
WIDTH, LINE = 960, 22
NAME, MILLIS, TRACK = 96, 400, 416  # x of the columns: left, right, left
LONGEST = 110  # characters of a log record


def word(x, y, text, colour, extra=""):
    return f'<text x="{x}" y="{y}" fill="{colour}"{extra}>{escape(text)}</text>'


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
            parents[span["spanId"]], parents[root] = parents[root], span["spanId"]

    def below(parent, depth):
        for span in sorted(spans, key=times):
            if parents[span["spanId"]] == parent or depth == 0 and parents[span["spanId"]] not in parents:
                yield depth, span
                yield from below(span["spanId"], depth + 1)

    return list(below(None, 0))


def picture(spans, records, colours):
    drawn, y = [], LINE + 12
    begin = min(times(span)[0] for span in spans)
    whole = max(times(span)[1] for span in spans) - begin
    for depth, span in rows(spans):
        failed = span.get("status", {}).get("code") == 2
        bar = colours["s0" if span["service"] == "orders" else "s1"]
        y += LINE
        start, end = times(span)
        drawn.append(word(16, y, span["service"], colours["text"]))
        drawn.append(word(NAME + 16 * depth, y, span["name"], colours["bad" if failed else "text"], ' font-weight="600"'))
        drawn.append(word(MILLIS, y, f"{(end - start) / 1e6:.2f} ms", colours["text"], ' text-anchor="end"'))
        long = WIDTH - 16 - TRACK
        drawn.append(f'<rect x="{TRACK}" y="{y - 12}" width="{long}" height="15" rx="3" fill="{colours["track"]}"/>')
        x, length = TRACK + long * (start - begin) / whole, max(2, long * (end - start) / whole)
        mark = f' stroke="{colours["bad"]}" stroke-width="2"' if failed else ""
        drawn.append(f'<rect x="{x:.1f}" y="{y - 12}" width="{length:.1f}" height="15" rx="3" fill="{bar}"{mark}/>')
        texts = []
        if failed:
            parts = [attribute(span, "error.type"), span["status"].get("message", "")]
            error = ": ".join(dict.fromkeys(part for part in parts if part))
            texts += [("bad", f"ERROR {error}")] if error else []
        own = [record for record in sorted(records, key=lambda record: int(record["timeUnixNano"])) if record.get("spanId") == span["spanId"] and record.get("eventName") != "platform.report"]
        texts += [("dim", f'{record.get("severityText", "")} {record.get("body", {}).get("stringValue", "")}') for record in own]
        for colour, text in texts:
            y += LINE - 4
            line = " ".join(text.split())
            line = line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"
            drawn.append(word(NAME + 16 * (depth + 1), y, line, colours[colour], ' font-size="12"'))
    height = y + 20
    begin = f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}"'
    title = word(16, LINE + 6, "One trace: a failed order, through two functions", colours["text"], ' font-size="15" font-weight="600"')
    page = f'<rect width="100%" height="100%" rx="8" fill="{colours["page"]}"/>'
    return "\n".join([f'{begin} font-family="system-ui,sans-serif" font-size="13">', page, title, *drawn, "</svg>\n"])


def main(run):
    page = Path(run).read_text(encoding="utf-8")
    data = json.loads(re.search(r'<script id="data" type="application/json">(.*?)</script>', page, re.DOTALL)[1])
    invocation = next(invocation for invocation, name in data["names"].items() if name == TRACE)
    spans = [span for message in data["messages"] for span in message["spans"]]
    trace = next(span["traceId"] for span in spans if attribute(span, "faas.invocation_id") == invocation)
    spans = [span for span in spans if span["traceId"] == trace]
    records = [record for message in data["messages"] for record in message["records"] if record.get("traceId") == trace]
    themes = re.findall(r":root\{(?:color-scheme:[^;]*;)?(--[^}]*)\}", page)
    for theme, style in zip(["light", "dark"], themes, strict=True):
        colours = dict(re.findall(r"--(\w+):(#\w+)", style))
        Path(__file__).with_name(f"trace-{theme}.svg").write_text(picture(spans, records, colours), encoding="utf-8")


main(sys.argv[1])
