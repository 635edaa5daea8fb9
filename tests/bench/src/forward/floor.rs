//! The least that a forwarder can do with an event: inflate it, inflate each line of it, deflate the body; each by the
//! faster of libdeflate and zlib-rs, with states and buffers that are kept. Everything else is prepared before.
//!
//! Arguments: the event's file, how often, the body to deflate (as `forward-ours` wrote it), and its level. On stdout:
//! for each step and library `STEP LIBRARY BYTES nanos …`.

use anyhow::{Context as _, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use libdeflater::{CompressionLvl, Compressor, Decompressor};
use serde_json::Value;
use std::fmt::Write as _;
use std::io::Write as _;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [event, times, body, level] = arguments.as_slice() else {
        bail!("four arguments: event, times, body, level");
    };
    let times: u32 = times.parse().context("how often is no number")?;
    let level: u32 = level.parse().context("the level is no number")?;
    let event: Value = serde_json::from_slice(&std::fs::read(event)?)?;
    let data = event.pointer("/awslogs/data").and_then(Value::as_str).context("no event")?;
    let outer = STANDARD.decode(data)?;
    let lines = lines(&outer)?;
    let body = inflated(&std::fs::read(body)?)?;
    let outer = std::slice::from_ref(&outer);

    let mut steps = Vec::new();
    for _ in 0..times {
        steps.push(("event", "libdeflate", libdeflate_inflate(outer)?));
        steps.push(("event", "zlib-rs", zlib_rs_inflate(outer)?));
        steps.push(("lines", "libdeflate", libdeflate_inflate(&lines)?));
        steps.push(("lines", "zlib-rs", zlib_rs_inflate(&lines)?));
        steps.push(("body", "libdeflate", libdeflate_deflate(&body, level)?));
        steps.push(("body", "zlib-rs", zlib_rs_deflate(&body, level)?));
    }
    let mut report = String::new();
    for (step, library, (bytes, nanos)) in steps {
        writeln!(report, "{step} {library} {bytes} {nanos}")?;
    }
    std::io::stdout().lock().write_all(report.as_bytes())?;
    Ok(())
}

fn lines(outer: &[u8]) -> anyhow::Result<Vec<Vec<u8>>> {
    let delivery: Value = serde_json::from_slice(&inflated(outer)?)?;
    let log_events =
        delivery.get("logEvents").and_then(Value::as_array).context("no log events")?;
    let mut lines = Vec::new();
    for message in log_events.iter().filter_map(|event| event.get("message")?.as_str()) {
        let line: Option<Value> = serde_json::from_str(message).ok();
        let payload = line.as_ref().and_then(|line| line.get("payload")?.as_str());
        if let Some(payload) = payload {
            lines.push(STANDARD.decode(payload)?);
        }
    }
    Ok(lines)
}

/// Bytes that came out, and nanoseconds of the fastest of a few runs.
type Took = (usize, u128);

fn timed(mut run: impl FnMut() -> anyhow::Result<usize>) -> anyhow::Result<Took> {
    run()?;
    let start = lambda_otlp_bench::forward::cpu_time::cpu_time();
    let bytes = run()?;
    Ok((bytes, lambda_otlp_bench::forward::cpu_time::cpu_time().saturating_sub(start).as_nanos()))
}

fn inflated(gzip: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut out = vec![0; inflated_bytes(gzip)?];
    Decompressor::new().gzip_decompress(gzip, &mut out)?;
    Ok(out)
}

/// ISIZE (RFC 1952): both libraries are told how much room they need.
fn inflated_bytes(gzip: &[u8]) -> anyhow::Result<usize> {
    let size = gzip.last_chunk().context("no gzip")?;
    Ok(usize::try_from(u32::from_le_bytes(*size))?)
}

fn room(members: &[Vec<u8>]) -> anyhow::Result<Vec<u8>> {
    let sizes: anyhow::Result<Vec<usize>> =
        members.iter().map(|member| inflated_bytes(member)).collect();
    Ok(vec![0; sizes?.into_iter().max().unwrap_or_default()])
}

fn libdeflate_inflate(members: &[Vec<u8>]) -> anyhow::Result<Took> {
    let (mut state, mut out) = (Decompressor::new(), room(members)?);
    timed(|| {
        let mut bytes = 0;
        for member in members {
            bytes += state.gzip_decompress(member, &mut out)?;
        }
        Ok(bytes)
    })
}

fn zlib_rs_inflate(members: &[Vec<u8>]) -> anyhow::Result<Took> {
    // A raw stream with a state that can be reset: header and trailer are ours and of fixed size.
    let (mut state, mut out) = (Decompress::new(false), room(members)?);
    timed(|| {
        let mut bytes = 0;
        for member in members {
            state.reset(false);
            let raw = member.get(10..).context("no gzip")?;
            let status = state.decompress(raw, &mut out, FlushDecompress::Finish)?;
            ensure!(status == Status::StreamEnd, "{status:?}");
            let length = usize::try_from(state.total_out())?;
            let mut crc = flate2::Crc::new();
            crc.update(out.get(..length).unwrap_or_default());
            bytes += length + usize::from(crc.sum() == 0);
        }
        Ok(bytes)
    })
}

fn libdeflate_deflate(body: &[u8], level: u32) -> anyhow::Result<Took> {
    let level =
        CompressionLvl::new(i32::try_from(level)?).map_err(|_| anyhow::anyhow!("bad level"))?;
    let mut state = Compressor::new(level);
    let mut out = vec![0; state.gzip_compress_bound(body.len())];
    timed(|| Ok(state.gzip_compress(body, &mut out)?))
}

fn zlib_rs_deflate(body: &[u8], level: u32) -> anyhow::Result<Took> {
    let mut state = Compress::new(Compression::new(level), false);
    let mut out = vec![0; body.len() + 1024];
    timed(|| {
        state.reset();
        let status = state.compress(body, &mut out, FlushCompress::Finish)?;
        ensure!(status == Status::StreamEnd, "{status:?}");
        let mut crc = flate2::Crc::new();
        crc.update(body);
        Ok(usize::try_from(state.total_out())? + usize::from(crc.sum() == 0))
    })
}
