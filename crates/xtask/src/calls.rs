//! The table of attributes of calls by AWS's SDKs, from their description.

use anyhow::Context as _;
use serde::Deserialize;
use std::collections::BTreeMap;

/// The description, which the layer's code for Python and Node reads.
pub(crate) const DESCRIPTION: &str = "exporter/calls.json";

/// The attributes of each service, and the ways of reading their values.
type Services = BTreeMap<String, BTreeMap<String, Vec<Reading>>>;

#[derive(Deserialize)]
struct CallsDescription {
    request: Services,
    response: Services,
}

#[derive(Deserialize)]
struct Reading {
    at: Option<String>,
    #[serde(rename = "as")]
    form: Option<String>,
    text: Option<String>,
    of_call: Option<String>,
    member: Option<String>,
    after: Option<String>,
    start: Option<String>,
    on: Option<String>,
}

impl Reading {
    fn describe(&self, part: &str) -> String {
        let at = self.at.as_deref().unwrap_or_default().replace('/', ".");
        let member = self.member.as_deref().unwrap_or_default();
        let value = match (&self.text, &self.of_call, self.form.as_deref()) {
            (Some(text), ..) => format!("`{text}`"),
            (_, Some(fact), _) => format!("the {fact}"),
            (.., Some("count")) => format!("number of `{at}`"),
            (.., Some("keys")) => format!("names in `{at}`"),
            (.., Some("json")) => format!("JSON of `{at}`"),
            (.., Some("function")) => format!("name in `{at}`"),
            (.., Some("shared")) => format!("`{member}`, if all `{at}` have the same"),
            _ if self.start.is_some() => format!("`{at}`, if it is an ARN"),
            _ if self.after.is_some() => format!("last part of `{at}`"),
            _ => format!("`{at}`"),
        };
        let on = self.on.as_ref().map(|on| format!(" of `{on}…`")).unwrap_or_default();
        format!("{value}{on}{part}")
    }
}

/// Returns the table in Markdown, with a row for each attribute.
pub(crate) fn table(description: &str) -> anyhow::Result<String> {
    let CallsDescription { request, response } =
        serde_json::from_str(description).context(DESCRIPTION)?;
    let mut rows: BTreeMap<String, BTreeMap<String, Vec<String>>> = BTreeMap::new();
    for (services, part) in [(request, ""), (response, " of the response")] {
        for (service, attributes) in services {
            for (name, readings) in attributes {
                let values = rows.entry(name).or_default().entry(service.clone()).or_default();
                values.extend(readings.iter().map(|reading| reading.describe(part)));
            }
        }
    }
    let row = |(name, services): (String, BTreeMap<String, Vec<String>>)| {
        let values: Vec<String> = services
            .into_iter()
            .map(|(service, values)| format!("{service}: {}", values.join(", else ")))
            .collect();
        format!("| `{name}` | {} |\n", values.join("; "))
    };
    let rows: String = rows.into_iter().map(row).collect();
    Ok(format!("| attribute | value |\n|---|---|\n{rows}"))
}
