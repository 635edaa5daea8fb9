//! A flood in one invocation: 20,000 lines that the function prints, and 20,000 spans that it posts.

use crate::side::Side;
use lambda_otlp_bench::series::load;
use serde_json::{Value, json};
use simulator::sink::Sink;
use std::collections::BTreeSet;

const FLOOD: usize = 20_000;
const IN_A_REQUEST: usize = 100;

/// Has each side meet each flood once, and prints a row for it.
pub(crate) async fn print(sides: &[Side; 2]) -> anyhow::Result<()> {
    println!("One environment of 128 MB for each row; load {} at the beginning.\n", load());
    println!(
        "| flood | extension | acknowledged | at the backend | in the log | lost | peak RSS, MiB | CPU ms | kept, ms |"
    );
    println!("|{}", "---|".repeat(9));
    let lines = json!({"lines": FLOOD});
    let spans = json!({"spans": vec![IN_A_REQUEST; FLOOD / IN_A_REQUEST]});
    for side in sides {
        row("lines", side, &lines, &[("O2_TELEMETRY_TYPES", "platform,function")]).await?;
    }
    for side in sides {
        row("spans, 100 a request", side, &spans, &[]).await?;
    }
    println!("\nLoad {} at the end.", load());
    Ok(())
}

async fn row(
    flood: &str,
    side: &Side,
    payload: &Value,
    variables: &[(&str, &str)],
) -> anyhow::Result<()> {
    let sink = Sink::builder().no_window().start().await?;
    let mut story = side.begin(Some(&sink), variables).await;
    story.invoke(payload.clone()).await;
    let account = side.end(story, Some(&sink)).await?;
    let is_line = |body: &&String| body.contains("a line of the function");
    let [delivered, spilled] = account.bodies.each_ref();
    let there: BTreeSet<&String> = delivered.union(spilled).filter(is_line).collect();
    let lost = account.lost + if flood == "lines" { FLOOD - there.len() } else { 0 };
    let [delivered, spilled] =
        [delivered, spilled].map(|bodies| bodies.iter().filter(is_line).count());
    let kept: Vec<String> =
        account.kept.iter().map(|kept| format!("{:.0}", kept.as_secs_f64() * 1e3)).collect();
    println!(
        "| {FLOOD} {flood} | {} | {} | {} | {} | {lost} | {:.1} | {:.0} | {} |",
        side.name,
        account.acknowledged,
        account.delivered + delivered,
        account.written + spilled,
        account.peak_kib / 1024.0,
        account.cpu_ms,
        kept.join(", "),
    );
    Ok(())
}
