//! The differences between two JSON values.

use serde_json::Value;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Difference {
    /// The place: `tabs[0].panels[errors].title`.
    pub(super) at: String,
    /// The value in this version, if any.
    pub(super) shipped: Option<String>,
    /// The value on the server, if any.
    pub(super) there: Option<String>,
}

pub(super) fn differences(shipped: &Value, there: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    compare("", Some(shipped), Some(there), &mut found);
    found
}

fn compare(at: &str, shipped: Option<&Value>, there: Option<&Value>, found: &mut Vec<Difference>) {
    match (shipped, there) {
        (Some(Value::Object(a)), Some(Value::Object(b))) => {
            let added = b.keys().filter(|key| !a.contains_key(*key));
            for key in a.keys().chain(added) {
                let at = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
                compare(&at, a.get(key), b.get(key), found);
            }
        }
        (Some(Value::Array(a)), Some(Value::Array(b))) => {
            for (index, value) in a.iter().enumerate() {
                let same = b.iter().position(|other| is_same(value, index, other, b));
                let other = same.and_then(|at| b.get(at));
                compare(&format!("{at}[{}]", label(value, index)), Some(value), other, found);
            }
            for (index, value) in b.iter().enumerate() {
                if !a.iter().enumerate().any(|(at, shipped)| is_same(shipped, at, value, b)) {
                    compare(&format!("{at}[{}]", label(value, index)), None, Some(value), found);
                }
            }
        }
        (a, b) if a == b => {}
        (a, b) => found.push(Difference {
            at: at.to_owned(),
            shipped: a.map(ToString::to_string),
            there: b.map(ToString::to_string),
        }),
    }
}

/// Identifies a panel by its id, and a variable by its name. Other elements are identified by their index.
fn id(value: &Value) -> Option<&str> {
    ["id", "tabId", "name"].iter().find_map(|key| value.get(key)?.as_str())
}

fn is_same(shipped: &Value, index: usize, other: &Value, others: &[Value]) -> bool {
    match (id(shipped), id(other)) {
        (Some(a), Some(b)) => a == b,
        (None, None) => others.get(index).is_some_and(|there| std::ptr::eq(there, other)),
        _ => false,
    }
}

fn label(value: &Value, index: usize) -> String {
    id(value).map_or_else(|| index.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_difference_is_named_by_its_path() {
        let shipped = json!({"title": "a", "panels": [{"id": "x", "w": 1}, {"id": "y", "w": 2}], "list": [1, 2]});
        let there =
            json!({"title": "b", "panels": [{"id": "y", "w": 3}, {"id": "z"}], "list": [1, 2, 4]});
        let found: Vec<String> = differences(&shipped, &there)
            .into_iter()
            .map(|it| format!("{} {:?} {:?}", it.at, it.shipped, it.there))
            .collect();
        let mut expected = [
            r#"list[2] None Some("4")"#,
            r#"panels[x] Some("{\"id\":\"x\",\"w\":1}") None"#,
            r#"panels[y].w Some("2") Some("3")"#,
            r#"panels[z] None Some("{\"id\":\"z\"}")"#,
            r#"title Some("\"a\"") Some("\"b\"")"#,
        ];
        let mut sorted = found.clone();
        sorted.sort();
        expected.sort_unstable();
        assert_eq!(sorted, expected);
        assert_eq!(differences(&shipped, &shipped), []);
    }
}
