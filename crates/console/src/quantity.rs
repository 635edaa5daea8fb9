//! Formats numbers with units.

/// A multiple or a part of a unit.
struct Step {
    size: f64,
    name: &'static str,
}

const fn step(size: f64, name: &'static str) -> Step {
    Step { size, name }
}

/// Bytes in Lambda's multiples, largest first: 134217728 bytes are 128 MB.
const BYTES: [Step; 4] =
    [step(1_073_741_824.0, "GB"), step(1_048_576.0, "MB"), step(1024.0, "KB"), step(1.0, "B")];
/// Parts of a second, largest first.
const SECONDS: [Step; 4] = [step(1.0, "s"), step(1e-3, "ms"), step(1e-6, "µs"), step(1e-9, "ns")];

/// Formats a value with a UCUM unit: `128 MB` for 134217728 `By`, `1.5 ms` for 0.0015 `s`, `3` for 3 `{invocation}`.
pub fn quantity(value: f64, unit: &str) -> String {
    match unit {
        "By" => scaled(value, &BYTES, "B"),
        "KiBy" => scaled(value * 1024.0, &BYTES, "B"),
        "MiBy" => scaled(value * 1_048_576.0, &BYTES, "B"),
        "s" => scaled(value, &SECONDS, unit),
        "ms" => scaled(value * 1e-3, &SECONDS, unit),
        "us" => scaled(value * 1e-6, &SECONDS, unit),
        "ns" => scaled(value * 1e-9, &SECONDS, unit),
        "GiBy.s" => format!("{} GB-s", number(value)),
        // A ratio, or a count.
        "" | "1" => number(value),
        count if count.starts_with('{') => number(value),
        other => format!("{} {other}", number(value)),
    }
}

/// Formats a number of bytes or seconds in the largest step that it reaches. `unit_of_zero` is the unit of 0.
fn scaled(value: f64, steps: &[Step; 4], unit_of_zero: &str) -> String {
    let reached = steps.iter().find(|step| value.abs() >= step.size);
    match reached.or(steps.last()) {
        Some(Step { size, name }) if value != 0.0 => format!("{} {name}", number(value / size)),
        _ => format!("0 {unit_of_zero}"),
    }
}

/// Formats a number with at least three significant digits: `0.47`, not `0.47000000000000003`.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "2 to 12")]
fn number(value: f64) -> String {
    if value.fract() == 0.0 || !value.is_finite() {
        return value.to_string();
    }
    let decimals = (2.0 - value.abs().log10().floor()).clamp(2.0, 12.0) as usize;
    let padded = format!("{value:.decimals$}");
    let text = padded.trim_end_matches('0').trim_end_matches('.');
    if matches!(text, "0" | "-0") { format!("{value:e}") } else { text.to_owned() }
}

/// Formats a duration in milliseconds: `90.50 ms`, from a minute on `24h0m2.110s`.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at least a minute")]
pub fn duration(millis: f64) -> String {
    const MINUTE: u64 = 60_000;
    let whole = millis.round() as u64;
    if whole < MINUTE {
        return format!("{millis:.2} ms");
    }
    let minutes = whole / MINUTE;
    let rest = whole % MINUTE;
    let hours = if minutes < 60 { String::new() } else { format!("{}h", minutes / 60) };
    format!("{hours}{}m{}.{:03}s", minutes % 60, rest / 1000, rest % 1000)
}

/// Formats a count: `1 span`, `2 spans`.
pub fn plural(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::{duration, quantity};

    #[test]
    fn long_durations_have_hours_and_minutes() {
        let check = |millis, expected: &str| assert_eq!(duration(millis), expected);
        check(59_999.49, "59999.49 ms");
        check(59_999.5, "1m0.000s");
        check(86_402_110.4, "24h0m2.110s");
    }

    #[test]
    fn quantities_are_scaled_to_readable_units() {
        let check = |value, unit, expected| assert_eq!(quantity(value, unit), expected, "{unit}");
        check(134_217_728.0, "By", "128 MB");
        check(1536.0, "By", "1.5 KB");
        check(0.0, "By", "0 B");
        check(0.470_000_000_000_000_03, "1", "0.47");
        check(0.0015, "s", "1.5 ms");
        check(1500.0, "ms", "1.5 s");
        check(0.0, "ms", "0 ms");
        check(-0.25, "s", "-250 ms");
        check(0.2e-9, "s", "0.2 ns");
        check(3.0, "{invocation}", "3");
        check(0.005_13, "GiBy.s", "0.00513 GB-s");
        check(47.5, "%", "47.5 %");
        check(1e-20, "1", "1e-20");
        check(f64::NAN, "s", "NaN ns");
    }
}
