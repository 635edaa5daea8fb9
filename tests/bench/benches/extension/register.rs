//! How soon an extension registers, and how much memory it keeps: ours beside the peer's, against the same Lambda.

use anyhow::{Context as _, ensure};
use lambda_otlp_bench::series::{Series, load};
use simulator::{FunctionSpec, Lambda};
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

#[derive(Default)]
struct Side {
    registered_ms: Series,
    ready_ms: Series,
    rss_kib: Series,
    pss_kib: Series,
}

/// Starts both in turns, each in a new environment with an idle function, and prints the results.
pub(crate) async fn print(ours: &Path, peer: &Path, runs: usize) -> anyhow::Result<()> {
    println!("{runs} runs of each, interleaved; load {} at the beginning.\n", load());
    let mut sides = [Side::default(), Side::default()];
    for run in 0..runs {
        for place in if run % 2 == 0 { [0, 1] } else { [1, 0] } {
            let path = [ours, peer][place];
            start(path, &mut sides[place]).await.with_context(|| path.display().to_string())?;
        }
    }
    let [our, peers] = &sides;
    println!("| | ours | peer's | ratio |");
    println!("|---|---|---|---|");
    let row = |what: &str, our: f64, peers: f64, digits: usize| {
        println!("| {what} | {our:.digits$} | {peers:.digits$} | **{:.2}** |", our / peers);
    };
    for (what, a, b) in [
        ("register", &our.registered_ms, &peers.registered_ms),
        ("first `next`", &our.ready_ms, &peers.ready_ms),
    ] {
        row(&format!("spawn to {what}, ms, minimum"), a.min(), b.min(), 2);
        row(&format!("spawn to {what}, ms, median"), a.median(), b.median(), 2);
    }
    row("idle RSS, MiB, maximum", our.rss_kib.max() / 1024.0, peers.rss_kib.max() / 1024.0, 2);
    row("idle PSS, MiB, maximum", our.pss_kib.max() / 1024.0, peers.pss_kib.max() / 1024.0, 2);
    let bytes = |path: &Path| -> anyhow::Result<f64> {
        Ok(f64::from(u32::try_from(path.metadata()?.len())?))
    };
    row("binary, bytes", bytes(ours)?, bytes(peer)?, 0);
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
    side.registered_ms.push_millis(state.registered_after.context("it has not registered")?);
    side.ready_ms.push_millis(state.ready_after.context("it has not asked for an event")?);
    side.rss_kib.push(memory(state.pid, "status", "VmRSS:")?);
    side.pss_kib.push(memory(state.pid, "smaps_rollup", "Pss:")?);
    // Kills the environment, because shutdown is not measured here.
    lambda.kill_idle("f").await?;
    lambda.shut_down().await;
    Ok(())
}

/// A figure of `/proc`, in KiB.
pub(crate) fn memory(pid: u32, file: &str, key: &str) -> anyhow::Result<f64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/{file}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(key)).context("no such line")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
