//! Writes JSON objects as text. `serde_json::Value` would add its map and its writer to the binary.

pub(crate) fn string(text: &str) -> String {
    // Writing a string into memory cannot fail.
    serde_json::to_string(text).unwrap_or_else(|_| "\"\"".to_owned())
}

pub(crate) fn object(members: &[(&str, &str)]) -> String {
    let mut object = String::from("{");
    for (position, (key, value)) in members.iter().enumerate() {
        if position > 0 {
            object.push(',');
        }
        object.push_str(&string(key));
        object.push(':');
        object.push_str(value);
    }
    object.push('}');
    object
}
