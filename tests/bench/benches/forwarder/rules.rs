//! Files of rules that match nothing or little, so that the events stay comparable.

pub(crate) struct Rules {
    pub(crate) name: &'static str,
    pub(crate) text: String,
    /// A file with a quarter of the rules, whose cost shows the growth.
    pub(crate) quarter: Option<String>,
}

/// The most rules or routes that a file may have.
const MAX_RULES: usize = 256;

pub(crate) fn all() -> [Rules; 7] {
    let presets = "[[rule]]\nname = \"presets\"\n\
        redact = [\"email\", \"ip\", \"card\", \"aws_keys\", \"bearer\", \"jwt\"]\n";
    let condition = "[[rule]]\nname = \"one\"\nmatch.attributes.\"http.route\" = { regex = \"^/nowhere\" }\ndrop = true\n";
    let traces = "[[rule]]\nname = \"traces\"\nmatch.trace.failed = true\nkeep = true\n";
    [
        Rules { name: "six redaction presets", text: presets.to_owned(), quarter: None },
        Rules { name: "one condition on items", text: condition.to_owned(), quarter: None },
        Rules { name: "one condition on whole traces", text: traces.to_owned(), quarter: None },
        many("256 conditions on text", |number| {
            format!("match.attributes.\"http.route\" = \"/health/{number}*\"\ndrop = true\n")
        }),
        many("256 conditions on numbers", |number| {
            let least = 600 + number;
            format!(
                "match.attributes.\"http.response.status_code\" = {{ at_least = {least} }}\ndrop = true\n"
            )
        }),
        many("256 rules of other functions", |number| {
            format!("match.function = \"other-{number}\"\ndrop = true\n")
        }),
        Rules {
            name: "256 routes of other functions",
            text: routes(MAX_RULES),
            quarter: Some(routes(MAX_RULES / 4)),
        },
    ]
}

fn many(name: &'static str, rule: impl Fn(usize) -> String) -> Rules {
    let of_number = |number: usize| format!("[[rule]]\nname = \"r{number}\"\n{}", rule(number));
    let file = |count: usize| (0..count).map(of_number).collect::<Vec<_>>().concat();
    Rules { name, text: file(MAX_RULES), quarter: Some(file(MAX_RULES / 4)) }
}

fn routes(count: usize) -> String {
    let route = |number: usize| {
        format!(
            "[[route]]\nfunction = \"other-{number}\"\nto = [\"default\"]\nstream = \"s{number}\"\n"
        )
    };
    (0..count).map(route).collect::<Vec<_>>().concat()
}
