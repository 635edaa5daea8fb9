//! Each query is read by a parser, and each stream, column and label in it is in the rows that a real function leaves.

use super::shipped::{self, ANY, Language, Query, files, list, queries, signal, text};
use super::story;
use promql_parser::parser::{Expr as Promql, LabelModifier};
use promql_parser::util::{ExprVisitor, walk_expr};
use simulator::sink::{Row, Signal};
use sqlparser::ast::{
    BinaryOperator, Expr, SelectItem, SetExpr, Statement, Value, visit_expressions, visit_relations,
};
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::Parser;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

struct Stored(BTreeMap<(Signal, String), BTreeMap<String, BTreeSet<String>>>);

impl Stored {
    fn of(rows: Vec<Row>) -> Self {
        let mut streams: BTreeMap<_, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
        for row in rows {
            let columns = streams.entry((row.signal, row.stream)).or_default();
            for (name, value) in row.columns {
                let texts = columns.entry(name).or_default();
                texts.extend(value.as_str().map(str::to_owned));
            }
        }
        Self(streams)
    }

    /// The columns of a stream, or an error.
    fn columns(
        &self,
        signal: Signal,
        stream: &str,
    ) -> Result<&BTreeMap<String, BTreeSet<String>>, String> {
        let found = self.0.get(&(signal, stream.to_owned()));
        found.ok_or_else(|| format!("there is no stream {stream} of {}", signal.name()))
    }
}

fn mistakes(query: &Query, stored: &Stored) -> Vec<String> {
    let mistakes = match query.language {
        Language::Sql => of_sql(query, stored),
        Language::Promql => of_promql(query, stored),
    };
    mistakes.into_iter().map(|mistake| format!("{}: {mistake}", query.at)).collect()
}

fn of_sql(query: &Query, stored: &Stored) -> Vec<String> {
    let statements = match Parser::parse_sql(&PostgreSqlDialect {}, &query.text) {
        Ok(statements) => statements,
        Err(error) => return vec![error.to_string()],
    };
    let mut mistakes = Vec::new();
    let mut streams = BTreeSet::new();
    let _visited: ControlFlow<()> = visit_relations(&statements, |name| {
        streams.insert(name.to_string().replace('"', ""));
        ControlFlow::Continue(())
    });
    if streams != BTreeSet::from([query.stream.clone()]) {
        mistakes.push(format!("asks {streams:?}, the panel's stream is {}", query.stream));
    }
    let aliases = aliases(&statements);
    if let Some(shown) = &query.aliases
        && aliases.iter().collect::<BTreeSet<_>>() != shown.iter().collect()
    {
        mistakes.push(format!("selects {aliases:?}, the panel shows {shown:?}"));
    }
    let columns = match stored.columns(query.signal, &query.stream) {
        Ok(columns) => columns,
        Err(mistake) => return [mistakes, vec![mistake]].concat(),
    };
    let _visited: ControlFlow<()> = visit_expressions(&statements, |expression| {
        if let Expr::Identifier(column) = expression
            && !aliases.contains(&column.value)
            && !columns.contains_key(&column.value)
        {
            mistakes.push(format!("there is no column {} in {}", column.value, query.stream));
        }
        let (column, values): (_, Vec<&Expr>) = match expression {
            Expr::BinaryOp { left, op: BinaryOperator::Eq, right } => (left, vec![right]),
            Expr::InList { expr, list, .. } => (expr, list.iter().collect()),
            _ => return ControlFlow::Continue(()),
        };
        let values: Vec<&str> = values.into_iter().filter_map(literal).collect();
        if let Expr::Identifier(column) = column.as_ref()
            && let Some(known) = columns.get(&column.value)
            && !values.iter().any(|value| *value == ANY || known.contains(*value))
        {
            mistakes.push(format!("no row has one of {values:?} as {}", column.value));
        }
        ControlFlow::Continue(())
    });
    mistakes
}

fn literal(expression: &Expr) -> Option<&str> {
    match expression {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => Some(text),
            _ => None,
        },
        _ => None,
    }
}

fn aliases(statements: &[Statement]) -> Vec<String> {
    let [Statement::Query(query)] = statements else { panic!("no single query") };
    let SetExpr::Select(select) = query.body.as_ref() else { panic!("no SELECT") };
    let named = select.projection.iter().map(|item| match item {
        SelectItem::ExprWithAlias { alias, .. } => Some(alias.value.clone()),
        SelectItem::UnnamedExpr(Expr::Identifier(name)) => Some(name.value.clone()),
        _ => None,
    });
    named.map(|name| name.expect("a column without a name")).collect()
}

type Label = (String, Option<String>);

/// The stream of each selector of a query, and the labels that it needs.
struct Selectors<'a> {
    grouped: Vec<&'a str>,
    found: Vec<(String, Vec<Label>)>,
}

impl ExprVisitor for Selectors<'_> {
    type Error = ();

    fn pre_visit(&mut self, expression: &Promql) -> Result<bool, ()> {
        let selector = match expression {
            Promql::VectorSelector(selector) => selector,
            Promql::MatrixSelector(matrix) => &matrix.vs,
            _ => return Ok(true),
        };
        let grouped = self.grouped.iter().map(|label| ((*label).to_owned(), None));
        let matched = selector.matchers.matchers.iter();
        let matched = matched.map(|matcher| (matcher.name.clone(), Some(matcher.value.clone())));
        self.found.push((selector.name.clone().unwrap(), grouped.chain(matched).collect()));
        Ok(true)
    }
}

fn of_promql(query: &Query, stored: &Stored) -> Vec<String> {
    let expression = match promql_parser::parser::parse(&query.text) {
        Ok(expression) => expression,
        Err(error) => return vec![error],
    };
    let mut grouped = BTreeSet::new();
    groupings(&expression, &mut grouped);
    let grouped: Vec<&str> = grouped.iter().map(String::as_str).collect();
    let mut mistakes = Vec::new();
    let named = query.legend.split('{').skip(1).filter_map(|rest| rest.split('}').next());
    for label in named.filter(|label| !grouped.contains(label)) {
        mistakes.push(format!("the legend names {label}, by which nothing is grouped"));
    }
    // A label by which histograms are grouped is `le` too.
    let without_le = grouped.iter().copied().filter(|label| *label != "le").collect();
    let mut selectors = Selectors { grouped: without_le, found: Vec::new() };
    walk_expr(&mut selectors, &expression).unwrap();
    if !selectors.found.iter().any(|(stream, _)| *stream == query.stream) {
        mistakes.push(format!("does not ask the panel's stream {}", query.stream));
    }
    // OpenObserve repeats the first quantile at every step without samples; a factor of 1 is absent there.
    if query.text.starts_with("histogram_quantile(") && !query.text.contains(">= bool 0)") {
        mistakes.push("draws a quantile where there are no samples".to_owned());
    }
    for (stream, mut labels) in selectors.found {
        if stream.ends_with("_bucket") {
            labels.push(("le".to_owned(), None));
            if !grouped.contains(&"le") {
                mistakes.push(format!("{stream} is not grouped by le"));
            }
        }
        labels.push(("value".to_owned(), None));
        let columns = match stored.columns(Signal::Metrics, &stream) {
            Ok(columns) => columns,
            Err(mistake) => {
                mistakes.push(mistake);
                continue;
            }
        };
        for (label, value) in labels {
            match (columns.get(&label), value) {
                (None, _) => mistakes.push(format!("{stream} has no label {label}")),
                (Some(known), Some(value)) if value != ANY && !known.contains(&value) => {
                    mistakes.push(format!("no {stream} has {label}={value}"));
                }
                _ => {}
            }
        }
    }
    mistakes
}

fn groupings(expression: &Promql, labels: &mut BTreeSet<String>) {
    match expression {
        Promql::Aggregate(aggregate) => {
            if let Some(LabelModifier::Include(by)) = &aggregate.modifier {
                labels.extend(by.labels.iter().cloned());
            }
            groupings(&aggregate.expr, labels);
        }
        Promql::Binary(binary) => {
            groupings(&binary.lhs, labels);
            groupings(&binary.rhs, labels);
        }
        Promql::Paren(paren) => groupings(&paren.expr, labels),
        Promql::Call(call) => {
            for argument in &call.args.args {
                groupings(argument, labels);
            }
        }
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_query_finds_its_columns_in_stored_telemetry() {
    let stored = Stored::of(story::rows().await);
    let queries = queries();
    let mut mistakes: Vec<String> =
        queries.iter().flat_map(|query| self::mistakes(query, &stored)).collect();
    // Variables with values from the telemetry.
    for (name, dashboard) in files("dashboards") {
        for variable in list(&dashboard["variables"]["list"]) {
            let asked = &variable["query_data"];
            if asked.is_null() {
                continue;
            }
            let columns = stored.columns(signal(&asked["stream_type"]), text(&asked["stream"]));
            match columns.map(|columns| columns.contains_key(text(&asked["field"]))) {
                Ok(true) => {}
                Ok(false) => mistakes.push(format!("{name}: no column {}", asked["field"])),
                Err(mistake) => mistakes.push(format!("{name}: {mistake}")),
            }
        }
    }
    assert!(mistakes.is_empty(), "{}", mistakes.join("\n"));
    let languages = [Language::Sql, Language::Promql];
    let count = |language| queries.iter().filter(|query| query.language == language).count();
    assert!(languages.map(count).iter().all(|count| *count > 20), "{:?}", languages.map(count));
    is_particular(&stored);
}

fn is_particular(stored: &Stored) {
    let check = |language, stream: &str, text: &str, expected: &str| {
        let query = Query {
            at: "x".to_owned(),
            language,
            text: text.to_owned(),
            signal: Signal::Metrics,
            stream: stream.to_owned(),
            aliases: None,
            legend: String::new(),
        };
        assert_eq!(mistakes(&query, stored).join("; "), expected, "{text}");
    };
    let sql = |text, expected| check(Language::Sql, "faas_errors", text, expected);
    sql(r#"SELECT sum(value) AS a FROM "faas_errors" WHERE faas_name = 'orders'"#, "");
    sql(r#"SELECT sum(vale) AS a FROM "faas_errors""#, "x: there is no column vale in faas_errors");
    sql(
        r#"SELECT sum(value) AS a FROM "faas_errors" WHERE faas_name = 'order'"#,
        r#"x: no row has one of ["order"] as faas_name"#,
    );
    sql(
        r#"SELECT sum(value) AS a FROM "faas_timeouts""#,
        r#"x: asks {"faas_timeouts"}, the panel's stream is faas_errors"#,
    );
    check(
        Language::Sql,
        "faas_error",
        r#"SELECT sum(value) AS a FROM "faas_error""#,
        "x: there is no stream faas_error of metrics",
    );
    let promql = |text, expected| {
        check(Language::Promql, "faas_invoke_duration_bucket", text, expected);
    };
    promql("sum by (le) (sum_over_time(faas_invoke_duration_bucket[5m]))", "");
    promql(
        "histogram_quantile(0.5, sum by (le) (sum_over_time(faas_invoke_duration_bucket[5m])))",
        "x: draws a quantile where there are no samples",
    );
    promql(
        "sum by (le, name) (sum_over_time(faas_invoke_duration_bucket[5m]))",
        "x: faas_invoke_duration_bucket has no label name",
    );
    promql(
        "sum(sum_over_time(faas_invoke_duration_bucket[5m]))",
        "x: faas_invoke_duration_bucket is not grouped by le",
    );
    assert!(shipped::files("alerts").iter().all(|(_, alert)| alert["name"].is_string()));
}
