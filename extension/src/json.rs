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

pub(crate) fn strings(texts: &[&str]) -> String {
    let strings: Vec<String> = texts.iter().map(|text| string(text)).collect();
    ["[", &strings.join(","), "]"].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_objects_are_valid_json() {
        assert_eq!(object(&[]), "{}");
        let text =
            object(&[("a\"b", "1"), ("c", &string("x\n\"y\"")), ("d", &strings(&["e", "f"]))]);
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value, serde_json::json!({"a\"b": 1, "c": "x\n\"y\"", "d": ["e", "f"]}));
    }
}
