//! The mistakes of invalid rules files. `UPDATE_EXPECT=1` writes them after `=>` into the table of files.

use expect_test::expect_file;
use lambda_otlp_forwarder::RuleSet;
use std::fmt::Write as _;

fn mistakes(text: &str) -> String {
    match RuleSet::parse(text) {
        Ok(_) => String::new(),
        Err(mistakes) => mistakes.iter().map(|mistake| format!("=> {mistake}\n")).collect(),
    }
}

#[test]
fn each_mistake_in_a_rules_file_is_reported_with_its_position() {
    let files = expect_file!["../../fixtures/rules-mistakes.txt"];
    let mut found = String::new();
    for file in files.data().trim_end().split("\n\n") {
        let lines = file.lines().filter(|line| !line.starts_with("=> "));
        let text: String = lines.map(|line| format!("{line}\n")).collect();
        let mistakes = mistakes(&text);
        assert_ne!(mistakes, "", "{text}");
        writeln!(found, "{text}{mistakes}").unwrap();
    }
    files.assert_eq(&format!("{}\n", found.trim_end()));
}

#[test]
fn rule_pattern_and_file_size_limits_are_enforced() {
    let rule = |n: usize| format!("[[rule]]\nname = \"{n}\"\ndrop = true\n");
    let rules: String = (0..257).map(rule).collect();
    assert_eq!(mistakes(&rules), "=> 1:1: rule: there are 257, at most 256 are read\n");
    let patterns = |rules: usize, of_each: usize| -> String {
        let patterns: String = (0..of_each).map(|n| format!("p{n} = \"x{n}\"\n")).collect();
        let begin = |n| format!("[[rule]]\nname = \"{n}\"\nmatch.body.regex = \"x\"\n");
        (0..rules).map(|n| format!("{}[rule.redact.patterns]\n{patterns}", begin(n))).collect()
    };
    assert_eq!(mistakes(&patterns(2, 31)), "");
    let too_many = "=> 1:1: rule: more than 64 patterns in one file, with those of presets\n";
    assert_eq!(mistakes(&patterns(2, 32)), too_many);
    assert_eq!(mistakes(&patterns(1, 70)), "=> 4:7: rule: more than 64 patterns\n");
    let too_large = "=> 1:1: the file has more than 65536 bytes\n";
    assert_eq!(mistakes(&"#".repeat(70_000)), too_large);
}
