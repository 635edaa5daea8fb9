"""Draws the README's picture, in a light and a dark theme, from the page of a demo run.

cargo demo --html run.html && python3 docs/picture.py run.html
"""

import re
import sys
from html import escape, unescape
from pathlib import Path

TRACE = "shop, its orders fails"
WIDTH, LINE = 960, 22
NAME, MILLIS, TRACK = 96, 400, 416  # x of the columns: left, right, left
LONGEST = 110  # characters of a log record


def text(markup):
    return unescape(re.sub(r"<small>.*?</small>|<[^>]+>", "", markup)).strip()


def word(x, y, markup, colour, extra=""):
    return f'<text x="{x}" y="{y}" fill="{colour}"{extra}>{escape(text(markup))}</text>'


def picture(trace, colours):
    drawn, y = [], LINE + 12
    for css, content in re.findall(r'<div class="([^"]*)">(.*)</div>', trace):
        kind, *rest = css.split()
        if kind == "row":
            service, name, millis = re.findall(r"<span[^>]*>((?:(?!</?span).)*)</span>", content)[:3]
            depth, left, width = (float(x) for x in re.findall(r"(?:min\(|left:|width:)([\d.]+)", content))
            failed = "failed" in rest
            bar = colours["bad" if failed else "bar" if rest[0] == "orders" else "bar2"]
            span = WIDTH - 16 - TRACK
            y += LINE
            drawn.append(word(16, y, service, colours["text"]))
            drawn.append(word(NAME + 16 * depth, y, name, colours["bad" if failed else "text"], ' font-weight="600"'))
            drawn.append(word(MILLIS, y, millis, colours["text"], ' text-anchor="end"'))
            drawn.append(f'<rect x="{TRACK}" y="{y - 12}" width="{span}" height="15" rx="3" fill="{colours["track"]}"/>')
            x, long = TRACK + span * left / 100, max(2, span * width / 100)
            drawn.append(f'<rect x="{x:.1f}" y="{y - 12}" width="{long:.1f}" height="15" rx="3" fill="{bar}"/>')
        elif "remark" not in rest:
            y += LINE - 4
            line = " ".join(text(content).split())
            line = line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"
            colour = colours["bad" if "bad" in rest else "dim"]
            drawn.append(word(NAME + 16 * (depth + 1), y, escape(line), colour, ' font-size="12"'))
    height = y + 20
    begin = f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}"'
    title = word(16, LINE + 6, "One trace: a failed order, through two functions", colours["text"], ' font-size="15" font-weight="600"')
    page = f'<rect width="100%" height="100%" rx="8" fill="{colours["page"]}"/>'
    return "\n".join([f'{begin} font-family="system-ui,sans-serif" font-size="13">', page, title, *drawn, "</svg>\n"])


def main(run):
    page = Path(run).read_text(encoding="utf-8")
    traces = re.findall(r"<details open>.*?</details>", page, re.DOTALL)
    trace = next(trace for trace in traces if f"<strong>{TRACE}</strong>" in trace)
    themes = re.findall(r":root\{(?:color-scheme:[^;]*;)?(--[^}]*)\}", page)
    for theme, style in zip(["light", "dark"], themes, strict=True):
        colours = dict(re.findall(r"--(\w+):(#\w+)", style))
        Path(__file__).with_name(f"trace-{theme}.svg").write_text(picture(trace, colours), encoding="utf-8")


main(sys.argv[1])
