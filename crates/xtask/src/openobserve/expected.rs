//! The results that queries of panels must have, computed from the rows of the model.
//!
//! Only the forms that panels use are known: sums, counts, minima and maxima of rows that satisfy a condition, lists of such
//! rows, and sums over time.

use super::server::Columns;
use serde_json::Value;

/// A result as numbers: each is the total of a column over all rows of the result, or the number of rows.
pub(super) type Numbers = Vec<(String, f64)>;

/// The stream that an SQL query reads.
pub(super) fn stream(sql: &str) -> Option<&str> {
    between(sql, "FROM \"", "\"")
}

/// Returns the numbers of an SQL query over the rows of its stream; `None` if the form of the query is unknown.
pub(super) fn of_sql(sql: &str, rows: &[Columns]) -> Option<Numbers> {
    let condition = between(sql, " WHERE ", " GROUP BY ").or(between(sql, " WHERE ", " ORDER BY "));
    let condition = condition.or(sql.split_once(" WHERE ").map(|(_, condition)| condition));
    let conditions: Vec<Condition<'_>> =
        condition.map_or(Some(Vec::new()), |it| it.split(" AND ").map(Condition::of).collect())?;
    let rows: Vec<&Columns> =
        rows.iter().filter(|row| conditions.iter().all(|condition| condition.holds(row))).collect();
    let columns = between(sql, "SELECT ", " FROM ")?;
    let aggregates: Vec<(&str, &str)> = columns
        .split("\", ")
        .filter_map(|column| column.split_once(" AS \""))
        .map(|(expression, name)| (expression, name.trim_end_matches('"')))
        .filter(|(expression, _)| expression.contains('('))
        .collect();
    if aggregates.is_empty() {
        let limit: usize = sql.split_once(" LIMIT ")?.1.parse().ok()?;
        return Some(vec![(ROWS.to_owned(), float(rows.len().min(limit)))]);
    }
    let is_grouped = sql.contains(" GROUP BY ");
    let aggregates = aggregates.into_iter().filter(|(it, _)| !is_grouped || !it.contains("max("));
    let numbers = aggregates
        .filter_map(|(expression, name)| Some((name.to_owned(), aggregate(expression, &rows)?)));
    let numbers: Numbers = numbers.collect();
    (!numbers.is_empty()).then_some(numbers)
}

/// The name of the number of rows.
pub(super) const ROWS: &str = "rows";

/// Returns the same numbers of the rows that the server returned.
pub(super) fn of_rows(expected: &Numbers, rows: &[Columns]) -> Numbers {
    let number = |name: &String| {
        if name == ROWS {
            return float(rows.len());
        }
        rows.iter().filter_map(|row| row.get(name)?.as_f64()).sum()
    };
    expected.iter().map(|(name, _)| (name.clone(), number(name))).collect()
}

/// A sum over time in a PromQL query: the metric with its labels, and its factor.
pub(super) struct Sum<'q> {
    pub(super) metric: &'q str,
    label: Option<(&'q str, &'q str)>,
    factor: f64,
}

impl Sum<'_> {
    pub(super) fn of(&self, rows: &[Columns]) -> f64 {
        let is_asked = |row: &&Columns| {
            self.label.is_none_or(|(label, value)| row.get(label).is_some_and(|it| it == value))
        };
        let values = rows.iter().filter(is_asked).filter_map(|row| row.get("value")?.as_f64());
        self.factor * values.sum::<f64>()
    }
}

/// Returns the sums that a PromQL query adds; `None` if the form of the query is unknown.
pub(super) fn of_promql(query: &str) -> Option<Vec<Sum<'_>>> {
    query.split(" + ").map(sum).collect()
}

fn sum(term: &str) -> Option<Sum<'_>> {
    let sums = ["sum(sum_over_time(", "sum by (faas_name) (sum_over_time("];
    let term = sums.into_iter().find_map(|prefix| term.strip_prefix(prefix))?;
    let (selector, factor) = term.split_once("[5m]))")?;
    let (metric, label) = match selector.split_once('{') {
        Some((metric, label)) => (metric, Some(label.strip_suffix("\"}")?.split_once("=\"")?)),
        None => (selector, None),
    };
    Some(Sum { metric, label, factor: factored(factor, 1.0)? })
}

/// Applies ` * 2 / 3` to a number.
fn factored(mut factors: &str, mut number: f64) -> Option<f64> {
    while !factors.is_empty() {
        let (operator, rest) = factors.split_at_checked(3)?;
        let end = rest.find(' ').unwrap_or(rest.len());
        let (factor, rest) = rest.split_at_checked(end)?;
        let factor: f64 = factor.parse().ok()?;
        number = match operator {
            " * " => number * factor,
            " / " => number / factor,
            _ => return None,
        };
        factors = rest;
    }
    Some(number)
}

fn aggregate(expression: &str, rows: &[&Columns]) -> Option<f64> {
    if expression == "count(*)" {
        return Some(float(rows.len()));
    }
    let (function, rest) = expression.split_once('(')?;
    let (argument, factors) = rest.split_once(')')?;
    let number = match (function, argument) {
        ("sum", argument) if argument.starts_with("CASE WHEN ") => {
            let condition = between(argument, "CASE WHEN ", " THEN 1 ELSE 0 END")?;
            let condition = Condition::of(condition)?;
            float(rows.iter().filter(|row| condition.holds(row)).count())
        }
        ("sum", column) => rows.iter().filter_map(|row| number(row.get(column)?)).sum(),
        ("max", column) if !factors.contains("max") => {
            rows.iter().filter_map(|row| number(row.get(column)?)).fold(0.0, f64::max)
        }
        _ => return None,
    };
    factored(factors, number)
}

fn number(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str()?.parse().ok())
}

/// `column = 'value'` or `column IN ('value', 'value')`.
struct Condition<'q> {
    column: &'q str,
    values: Vec<&'q str>,
}

impl<'q> Condition<'q> {
    fn of(text: &'q str) -> Option<Self> {
        let (column, values) = text.split_once(" = ").or_else(|| text.split_once(" IN "))?;
        let values = values.split('\'').skip(1).step_by(2).collect();
        Some(Self { column: column.trim(), values })
    }

    fn holds(&self, row: &Columns) -> bool {
        let text = match row.get(self.column) {
            Some(Value::String(text)) => text.clone(),
            Some(value) => value.to_string(),
            None => return false,
        };
        self.values.contains(&text.as_str())
    }
}

fn between<'q>(text: &'q str, start: &str, end: &str) -> Option<&'q str> {
    text.split_once(start)?.1.split_once(end).map(|(between, _)| between)
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn float(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rows() -> Vec<Columns> {
        let row = |name: &str, value: f64, status: &str| {
            let columns = [
                ("faas_name", json!(name)),
                ("value", json!(value)),
                ("span_status", json!(status)),
            ];
            columns.map(|(name, value)| (name.to_owned(), value)).into()
        };
        vec![row("a", 2.0, "OK"), row("a", 3.0, "ERROR"), row("b", 10.0, "ERROR")]
    }

    #[test]
    fn expected_values_are_computed_from_panel_queries() {
        let check = |sql: &str, expected: Option<&[(&str, f64)]>| {
            let found = of_sql(sql, &rows());
            let expected = expected.map(|numbers| {
                numbers.iter().map(|(name, number)| ((*name).to_owned(), *number)).collect()
            });
            assert_eq!(found, expected, "{sql}");
        };
        check(r#"SELECT sum(value) * 0.5 / 5 AS "y_axis_1" FROM "s""#, Some(&[("y_axis_1", 1.5)]));
        check(r#"SELECT max(value) AS "y" FROM "s" WHERE faas_name = 'a'"#, Some(&[("y", 3.0)]));
        check(
            r#"SELECT histogram(_timestamp) AS "x", faas_name AS "b", count(*) AS "y", sum(CASE WHEN span_status = 'ERROR' THEN 1 ELSE 0 END) AS "z" FROM "s" WHERE faas_name IN ('a', 'c') AND span_status = 'ERROR' GROUP BY x, b ORDER BY x"#,
            Some(&[("y", 1.0), ("z", 1.0)]),
        );
        check(
            r#"SELECT faas_name AS "x" FROM "s" WHERE value = '10.0' ORDER BY x LIMIT 50"#,
            Some(&[("rows", 1.0)]),
        );
        check(r#"SELECT approx_percentile_cont(value, 0.5) AS "y" FROM "s""#, None);
        let sums = of_promql(
            r#"sum(sum_over_time(m{faas_name="a"}[5m])) * 2 + sum by (faas_name) (sum_over_time(n[5m])) / 10"#,
        );
        let sums = sums.unwrap();
        assert_eq!(
            sums.iter().map(|sum| (sum.metric, sum.of(&rows()))).collect::<Vec<_>>(),
            [("m", 10.0), ("n", 1.5)]
        );
        assert!(of_promql("max(max_over_time(m[5m]))").is_none());
    }
}
