//! The list of components of a zip (SBOM), as CycloneDX has it.
//!
//! Source: <https://cyclonedx.org/docs/1.5/json/> and the package-url specification.

use serde_json::{Value, json};
use std::collections::BTreeSet;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Component {
    /// The type of a package URL: `cargo`, `pypi`, `npm`.
    pub(super) kind: &'static str,
    pub(super) name: String,
    pub(super) version: String,
    pub(super) licence: Option<String>,
}

/// The document of a zip with this name and SHA-256 sum: no time and no number of its own, so that it depends on the zip alone.
pub(super) fn document(name: &str, sum: &str, components: &[Component]) -> Value {
    let sorted: BTreeSet<&Component> = components.iter().collect();
    let described: Vec<Value> = sorted.into_iter().map(component).collect();
    json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": name,
                "name": name,
                "version": env!("CARGO_PKG_VERSION"),
                "licenses": [{ "expression": "Apache-2.0 OR MIT" }],
                "hashes": [{ "alg": "SHA-256", "content": sum }],
            }
        },
        "components": described,
    })
}

fn component(component: &Component) -> Value {
    let Component { kind, name, version, licence } = component;
    // The @ of a scope has another meaning in a package URL.
    let url = format!("pkg:{kind}/{}@{version}", name.replace('@', "%40"));
    let mut entry = json!({
        "type": "library",
        "bom-ref": url,
        "name": name,
        "version": version,
        "purl": url,
    });
    if let (Some(licence), Some(entry)) = (licence, entry.as_object_mut()) {
        // Older manifests divide alternatives by a slash.
        let expression = licence.replace('/', " OR ");
        entry.insert("licenses".to_owned(), json!([{ "expression": expression }]));
    }
    entry
}
