//! Shows a run as one self-contained HTML page, which has the traces of `lambda-otlp dev --open` and the accounting.

use crate::accounting::Accounts;
use crate::run::{Labelled, Run};
use crate::view::{COLUMNS, OF_ACCOUNTING, details, items, names, numbers, styled_verdict};
use console::page::{Page, PageVerdict, Section, telemetry};
use std::iter::once;

pub(crate) fn page(run: &Run, accounts: &Accounts) -> Result<String, serde_json::Error> {
    let (_, verdict) = styled_verdict(run, accounts);
    let (spans, records) = items(run);
    let began = spans.iter().map(|span| span.item.start_time_unix_nano).min();
    let page = Page {
        title: "lambda-otlp demo".to_owned(),
        base: began.unwrap_or_default().to_string(),
        messages: vec![telemetry(&spans, &records)?],
        names: names(run),
        verdict: Some(PageVerdict { text: verdict, good: run.is_fine(accounts) }),
        sections: vec![accounting(run, accounts), invocations(run)],
        ..Page::default()
    };
    page.html()
}

fn accounting(run: &Run, accounts: &Accounts) -> Section {
    let paragraphs = once(OF_ACCOUNTING.join(" ")).chain(details(run, accounts));
    let columns = COLUMNS.iter().map(|column| format!("#{column}"));
    let rows = accounts.by_kind.iter().map(|(what, account)| {
        let numbers = numbers(account).map(|number| number.to_string());
        once(what.plural().to_owned()).chain(numbers).collect()
    });
    Section {
        title: "Accounting".to_owned(),
        paragraphs: paragraphs.collect(),
        columns: once("items".to_owned()).chain(columns).collect(),
        rows: rows.collect(),
    }
}

fn invocations(run: &Run) -> Section {
    let rows = run.invocations.iter().map(|labelled| {
        let Labelled { function, label, invocation } = labelled;
        let duration = format!("{:.1} ms", invocation.duration.as_secs_f64() * 1000.0);
        let names = [*function, *label].map(str::to_owned);
        let rest = [labelled.result(), duration, invocation.request_id.clone()];
        names.into_iter().chain(rest).collect()
    });
    let columns = ["function", "what", "result", "#duration", "request id"];
    Section {
        title: "Invocations".to_owned(),
        columns: columns.map(str::to_owned).to_vec(),
        rows: rows.collect(),
        ..Section::default()
    }
}
