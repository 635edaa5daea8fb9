//! How soon an extension asks for its first event, and how much memory it keeps: ours beside the peer's, against the same Lambda.

use anyhow::{Context as _, ensure};
use lambda_otlp_bench::harness::{Series, float, load, order};
use local_lambda::{FunctionSpec, Lambda};
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

#[derive(Default)]
struct Side {
    ready_ms: Series,
    rss_kib: Series,
}

/// Starts both in turns, each in a new environment with an idle function, and prints the results.
pub(crate) async fn print(ours: &Path, peer: &Path, runs: u64) -> anyhow::Result<()> {
    println!("{runs} runs of each, interleaved; load {} at the beginning.\n", load());
    let mut sides = [Side::default(), Side::default()];
    for run in 0..runs {
        for place in order(run) {
            let path = [ours, peer][place];
            start(path, &mut sides[place]).await.with_context(|| path.display().to_string())?;
        }
    }
    println!("| | ours | peer's | ratio |\n|---|---|---|---|");
    let row = |what: &str, [ours, peer]: [f64; 2], digits: usize| {
        println!("| {what} | {ours:.digits$} | {peer:.digits$} | **{:.2}** |", ours / peer);
    };
    let ready = sides.each_ref().map(|side| side.ready_ms.median());
    row("process start to the first `next`, ms, median", ready, 2);
    let rss = sides.each_ref().map(|side| side.rss_kib.max() / 1024.0);
    row("idle RSS, MiB, maximum", rss, 2);
    row("binary, bytes", [float(ours.metadata()?.len()), float(peer.metadata()?.len())], 0);
    println!("\nLoad {} at the end.", load());
    Ok(())
}

async fn start(extension: &Path, side: &mut Side) -> anyhow::Result<()> {
    let layer = tempfile::tempdir()?;
    let extensions = layer.path().join("extensions");
    std::fs::create_dir_all(&extensions)?;
    let name = extension.file_name().context("no file")?;
    std::os::unix::fs::symlink(extension, extensions.join(name))?;
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port().to_string();
    let mut spec = FunctionSpec::new("f", std::env::current_exe()?)
        .init_timeout(Duration::from_mins(1))
        .layer(layer.path())
        // Each extension knows the port under a name of its own.
        .env("OTEL_LAMBDA_RECEIVER_PORT", &port)
        .env("LAMBDA_OTEL_RECEIVER_HTTP_PORT", &port);
    for argument in crate::FUNCTION {
        spec = spec.argument(*argument);
    }
    let lambda = Lambda::start().await?;
    lambda.create_function(spec)?;
    ensure!(lambda.initialise("f").await?, "init failed");
    let environments = lambda.environments("f");
    let state = environments.first().and_then(|known| known.extensions.first());
    let state = state.context("the extension is gone")?;
    side.ready_ms.push_millis(state.ready_after.context("it has not asked for an event")?);
    side.rss_kib.push(memory_kib(state.pid, "VmRSS:")?);
    // Kills the environment, because shutdown is not measured here.
    lambda.kill_idle("f").await?;
    lambda.shut_down().await;
    Ok(())
}

/// A figure of `/proc/PID/status`.
pub(crate) fn memory_kib(pid: u32, key: &str) -> anyhow::Result<f64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(key)).context("no such line")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
