//! Shows a run as one self-contained HTML page without scripts.

use crate::accounting::Accounts;
use crate::run::{Labelled, Run};
use crate::view::{
    COLUMNS, OF_ACCOUNTING, details, label, numbers, told, waterfalls, without_trace,
};
use console::waterfall::{Log, Row, Waterfall};
use std::fmt::{self, Write as _};

/// Both themes define every colour, with a contrast of at least 4.5 (WCAG 2.2). `opacity` would lower it.
const STYLE: &str = "\
:root{color-scheme:light dark;--page:#ffffff;--text:#1c2128;--dim:#57606a;--line:#d0d7de;--track:#eef1f4;--bar:#0f766e;--bar2:#6d4aa3;--bad:#b3261e;--good:#1b6e2c}\
@media(prefers-color-scheme:dark){:root{--page:#15181d;--text:#e6e9ee;--dim:#a3adba;--line:#3a414b;--track:#262b33;--bar:#4fd1c1;--bar2:#b9a1f0;--bad:#ff8a80;--good:#7ddc8c}}\
body{font:14px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:76rem;padding:0 1rem;background:var(--page);color:var(--text)}\
h1{font-size:1.4rem}h2{font-size:1.1rem;margin-top:2rem}\
.good{color:var(--good)}.bad{color:var(--bad)}\
table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.15rem .5rem;border-bottom:1px solid var(--line);vertical-align:top}\
.n{text-align:right;font-variant-numeric:tabular-nums}code{font-size:.85em}\
details{border:1px solid var(--line);border-radius:.3rem;margin:.5rem 0;padding:.3rem .6rem}summary{cursor:pointer}\
td:not(.n):not(:first-child),code,.row,.log,p{overflow-wrap:anywhere}\
.row{display:grid;grid-template-columns:5rem 18rem 6rem 1fr;gap:.5rem;align-items:center}\
.track{background:var(--track);height:.9rem;position:relative;border-radius:.2rem}\
.bar{position:absolute;top:0;bottom:0;min-width:2px;border-radius:.2rem;background:var(--bar2)}\
.orders .bar{background:var(--bar)}.failed .bar{background:var(--bad)}\
.log{margin-left:6rem;font-size:.9em}.remark{color:var(--dim)}\
@media(max-width:48rem){body{margin:1rem auto;padding:0 .5rem}\
table{font-size:11.5px}td,th{padding:.15rem}\
.row{grid-template-columns:auto 1fr auto;gap:.1rem .5rem;margin-top:.4rem}.row .track{grid-column:1/-1}.log{margin-left:1rem}}";

/// The sign before a failed span, for readers who do not see its colour.
const SIGN: &str = "<strong class=\"bad\" role=\"img\" aria-label=\"failed\">✗</strong> ";

pub(crate) fn page(run: &Run, accounts: &Accounts) -> String {
    let mut page = String::new();
    // Writing into a string cannot fail.
    let _written = write(run, accounts, &mut page);
    page
}

struct Escaped<'t>(&'t str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

fn write(run: &Run, accounts: &Accounts, page: &mut String) -> fmt::Result {
    let (_, verdict) = told(run, accounts);
    let class = if run.is_fine(accounts) { "good" } else { "bad" };
    let verdict = Escaped(&verdict);
    write!(
        page,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n<title>lambda-otlp demo</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n\
         <h1>lambda-otlp demo</h1>\n<p id=\"verdict\" class=\"{class}\"><strong>{verdict}</strong></p>\n"
    )?;
    accounting(run, accounts, page)?;
    invocations(run, page)?;
    writeln!(page, "<h2>Traces</h2>")?;
    for trace in waterfalls(run) {
        waterfall(&trace, &label(run, &trace), page)?;
    }
    let others = without_trace(run);
    writeln!(
        page,
        "<h2>Log records without a trace: {} of {}</h2>\n<p>Log lines of Lambda outside any invocation.</p>",
        others.len(),
        run.arrived.log_records.len()
    )?;
    for record in &others {
        log(record, page)?;
    }
    writeln!(page, "</main>\n</body>\n</html>")
}

/// A table whose columns are numbers where the heading begins with `#`.
fn table(
    headings: &[&str],
    rows: impl Iterator<Item = Vec<String>>,
    page: &mut String,
) -> fmt::Result {
    let class = |heading: &str| if heading.starts_with('#') { " class=\"n\"" } else { "" };
    write!(page, "<table>\n<tr>")?;
    for heading in headings {
        write!(page, "<th{}>{}</th>", class(heading), heading.trim_start_matches('#'))?;
    }
    for row in rows {
        write!(page, "</tr>\n<tr>")?;
        for (heading, cell) in headings.iter().zip(row) {
            write!(page, "<td{}>{}</td>", class(heading), Escaped(&cell))?;
        }
    }
    writeln!(page, "</tr>\n</table>")
}

fn accounting(run: &Run, accounts: &Accounts, page: &mut String) -> fmt::Result {
    writeln!(page, "<h2>Accounting</h2>\n<p>{}</p>", Escaped(&OF_ACCOUNTING.join(" ")))?;
    let columns = COLUMNS.map(|column| format!("#{column}"));
    let headings: Vec<&str> =
        ["items"].into_iter().chain(columns.iter().map(String::as_str)).collect();
    let rows = accounts.0.iter().map(|(what, account)| {
        let numbers = numbers(account).map(|number| number.to_string());
        [what.plural().to_owned()].into_iter().chain(numbers).collect()
    });
    table(&headings, rows, page)?;
    for detail in details(run, accounts) {
        writeln!(page, "<p>{}</p>", Escaped(&detail))?;
    }
    Ok(())
}

fn invocations(run: &Run, page: &mut String) -> fmt::Result {
    writeln!(page, "<h2>Invocations</h2>")?;
    let rows = run.invocations.iter().map(|labelled| {
        let Labelled { function, label, invocation } = labelled;
        let duration = format!("{:.1} ms", invocation.duration.as_secs_f64() * 1000.0);
        let names = [*function, *label].map(str::to_owned);
        let rest = [labelled.result(), duration, invocation.request_id.clone()];
        names.into_iter().chain(rest).collect()
    });
    table(&["function", "what", "result", "#duration", "request id"], rows, page)
}

fn waterfall(trace: &Waterfall, label: &str, page: &mut String) -> fmt::Result {
    writeln!(
        page,
        "<details open>\n<summary><strong>{}</strong> <code>{}</code></summary>",
        Escaped(label),
        Escaped(&trace.trace_id)
    )?;
    for row in &trace.rows {
        let Row { depth, service, name, from, to, millis, number, remark, links, logs, .. } = row;
        let Row { has_failed, why_failed, .. } = row;
        let (failed, sign) = if *has_failed { (" failed", SIGN) } else { ("", "") };
        writeln!(
            page,
            "<div class=\"row {}{failed}\"><span>{}</span><span style=\"padding-left:min({}rem,40%)\">{sign}{} <small>{}</small></span>\
             <span class=\"n\">{millis:.2} ms</span><span class=\"track\"><span class=\"bar\" style=\"left:{:.2}%;width:{:.2}%\"></span></span></div>",
            Escaped(service),
            Escaped(service),
            depth,
            Escaped(name),
            Escaped(number),
            from * 100.0,
            (to - from) * 100.0,
        )?;
        if !why_failed.is_empty() {
            writeln!(page, "<div class=\"log bad\">ERROR {}</div>", Escaped(why_failed))?;
        }
        if !remark.is_empty() {
            writeln!(page, "<div class=\"log remark\">{}</div>", Escaped(remark))?;
        }
        for link in links {
            writeln!(page, "<div class=\"log\">linked to {}</div>", Escaped(link))?;
        }
        for record in logs {
            log(record, page)?;
        }
    }
    for record in &trace.loose {
        writeln!(page, "<div class=\"log remark\">its span never ended:</div>")?;
        log(record, page)?;
    }
    writeln!(page, "</details>")
}

fn log(record: &Log, page: &mut String) -> fmt::Result {
    let Log { service, level, body, number, .. } = record;
    writeln!(
        page,
        "<div class=\"log\">{} <strong>{}</strong> {} <small>{}</small></div>",
        Escaped(service),
        Escaped(level),
        Escaped(body),
        Escaped(number)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn html_special_characters_are_escaped() {
        let text = "<script>alert('x' & \"y\")</script>";
        assert_eq!(
            Escaped(text).to_string(),
            "&lt;script&gt;alert(&#39;x&#39; &amp; &quot;y&quot;)&lt;/script&gt;"
        );
    }
}
