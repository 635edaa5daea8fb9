//! Sends fixtures, generated edge cases and the demo into an OpenObserve by every way there is, and compares each column of
//! each row with a model of what was sent.

mod alerts;
mod compare;
mod edge;
mod executions;
mod figures;
mod panels;
mod sampled;
mod senders;
mod server;
mod tee;

use crate::checks;
use anyhow::{Context as _, bail, ensure};
use compare::Account;
use senders::{Round, Senders};
pub(crate) use server::Server;
use server::{Columns, Stream};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use tee::Tee;
use test_support::openobserve::FakeOpenObserve;
use test_support::openobserve::grpc::GrpcFront;

/// The ways into the backend. Each has an organization of its own.
const WAYS: [&str; 8] = [
    "fixtures",
    "edge cases",
    "redrive",
    EXECUTIONS,
    "direct http/protobuf",
    "direct http/json",
    GRPC,
    DEMO,
];
const EXECUTIONS: &str = "executions";
const GRPC: &str = "direct grpc";
const DEMO: &str = "demo";

/// One row in this many may lack columns or be stored twice, where several environments add columns at once (`docs/openobserve.md`). A
/// machine with other work stored up to 362 of the demo's 7,439 data points twice.
const MAX_RACED: usize = 20;

/// The characters that are shown of a difference.
const LONGEST_SHOWN: usize = 300;

pub(crate) fn run(arguments: &[&str]) -> anyhow::Result<()> {
    let ["--url", url, "--grpc", grpc, "--user", user, "--password", password] = arguments else {
        bail!("the server's arguments are missing; cargo xtask --help lists them")
    };
    let server = Server::new(url, user, password)?;
    let runtime = tokio::runtime::Runtime::new().context("cannot start tokio")?;
    runtime.block_on(check(server, (*grpc).to_owned()))
}

fn organization(way: &str) -> String {
    let way: String = way
        .chars()
        .map(|character| if character.is_ascii_alphanumeric() { character } else { '_' })
        .collect();
    format!("lambda_otlp_{}_{way}", std::process::id())
}

async fn check(server: Server, grpc: String) -> anyhow::Result<()> {
    let root = checks::root()?;
    let organizations = WAYS.iter().map(|way| organization(way));
    let builder =
        organizations.fold(FakeOpenObserve::builder(), |builder, name| builder.organization(&name));
    let fake = builder.start().await?;
    let model = Server::new(fake.url(), "", "")?;
    let tee = Tee::start(server.clone(), model.clone()).await?;
    let grpc = GrpcFront::recording(&fake, grpc).await.address();
    let senders = Senders::new(&root, &tee, &server.authorization)?;
    let mut accounts = Vec::new();
    for way in WAYS {
        println!("sending: {way}");
        let organization = organization(way);
        server.create(&organization).await?;
        let sent = send_by(way, &senders, &organization, grpc, &root).await;
        let mut account = Account::default();
        account.differences.extend(sent.err().map(|error| format!("{error:#}")));
        account.differences.extend(tee.take_differences());
        if let Err(error) = read_back(&server, &model, &organization, &mut account).await {
            account.differences.push(format!("{error:#}"));
        }
        accounts.push((way, account));
    }
    let errors = check_console(&server, &senders, &organization(DEMO), &root).await?;
    for (way, account) in &mut accounts {
        let removed = server.remove(&organization(way)).await;
        account.differences.extend(removed.err().map(|error| format!("not removed: {error:#}")));
    }
    for error in &errors {
        println!("{error}");
    }
    print(&accounts)?;
    ensure!(errors.is_empty(), "{} queries or alerts failed", errors.len());
    Ok(())
}

async fn send_by(
    way: &str,
    senders: &Senders<'_>,
    organization: &str,
    grpc: SocketAddr,
    root: &Path,
) -> anyhow::Result<()> {
    match way {
        "fixtures" => senders.fixtures(organization).await,
        "edge cases" => senders.edge_cases(organization).await,
        "redrive" => senders.redrive(organization).await,
        EXECUTIONS => executions::send(senders, organization, root).await,
        GRPC => senders.grpc(organization, grpc).await,
        DEMO => senders.demo(organization).await,
        direct => senders.direct(organization, direct.trim_start_matches("direct ")).await,
    }
}

/// Checks dashboards, figures and alerts with telemetry of each kind that they show. Returns what failed.
async fn check_console(
    server: &Server,
    senders: &Senders<'_>,
    organization: &str,
    root: &Path,
) -> anyhow::Result<Vec<String>> {
    // The forwarder's own figures, for the dashboard of the pipeline.
    senders.edge_cases(organization).await?;
    // Failures of each kind, for panels and alerts.
    senders.fixtures(organization).await?;
    senders.failures(organization, Round::First).await?;
    senders.changes(organization, Round::First).await?;
    figures::send(senders, organization).await?;
    sampled::send(senders, organization, root).await?;
    executions::send(senders, organization, root).await?;
    senders.install(&server.endpoint(organization), &["dashboards", "install"]).await?;
    let panels = panels::run(server, organization, root).await?;
    println!("dashboards: {} queries", panels.queries);
    let mut errors = panels.errors;
    errors.extend(figures::check(server, organization, root).await?);
    errors.extend(sampled::check(server, organization, root).await?);
    errors.extend(executions::check(server, organization, root).await?);
    match alerts::check(server, senders, organization).await {
        Ok(number) => println!("alerts: {number} notified of two functions each"),
        Err(error) => errors.push(format!("{error:#}")),
    }
    Ok(errors)
}

/// Reads every stream of an organization by SQL.
async fn read_back(
    server: &Server,
    model: &Server,
    organization: &str,
    account: &mut Account,
) -> anyhow::Result<()> {
    let streams = model.streams(organization).await?;
    for stream in server.streams(organization).await? {
        if !streams.contains(&stream) {
            account.differences.push(format!("{} {}: not sent", stream.signal, stream.name));
        }
    }
    for Stream { signal, name: stream } in streams {
        let sql = format!("SELECT * FROM \"{stream}\"");
        let sent = model.search(organization, &signal, &sql).await;
        let stored = server.search(organization, &signal, &sql).await;
        let name = format!("{signal} {stream}");
        match (sent, stored) {
            // The name of a histogram is a stream without rows.
            (Err(_), Err(_)) => {}
            (Ok(sent), Ok(stored)) => {
                account.add(&name, sent, stored);
            }
            (sent, stored) => {
                let text = |rows: anyhow::Result<Vec<Columns>>| match rows {
                    Ok(rows) => format!("{} rows", rows.len()),
                    Err(error) => format!("{error:#}"),
                };
                let difference = format!("{name}: sent {}, stored {}", text(sent), text(stored));
                account.differences.push(difference);
            }
        }
    }
    Ok(())
}

/// The stream, and the column or the reason.
fn kind(difference: &str) -> String {
    difference.splitn(3, ": ").take(2).collect()
}

fn print(accounts: &[(&str, Account)]) -> anyhow::Result<()> {
    println!(
        "\n{:<22} {:>8} {:>8} {:>8} {:>8} {:>12}",
        "rows", "sent", "stored", "equal", "raced", "differences"
    );
    for (way, Account { sent, stored, equal, raced, differences }) in accounts {
        println!("{way:<22} {sent:>8} {stored:>8} {equal:>8} {raced:>8} {:>12}", differences.len());
    }
    for (way, account) in accounts {
        let mut by_kind: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for difference in &account.differences {
            by_kind.entry(kind(difference)).or_default().push(difference);
        }
        for differences in by_kind.into_values() {
            let times = differences.len();
            let first = differences.first().copied().unwrap_or_default();
            let shown: String = first.chars().take(LONGEST_SHOWN).collect();
            println!("{way}: {times} times: {shown}");
        }
    }
    let differences: usize = accounts.iter().map(|(_, account)| account.differences.len()).sum();
    ensure!(differences == 0, "{differences} differences");
    // Only the demo has concurrent environments.
    for (way, Account { sent, raced, .. }) in accounts {
        let most = if *way == DEMO { sent / MAX_RACED } else { 0 };
        ensure!(
            *raced <= most,
            "{way}: {raced} rows lack columns or are stored twice, more than {most}"
        );
    }
    let nothing = accounts.iter().find(|(_, account)| account.sent == 0);
    ensure!(nothing.is_none(), "{}: nothing was sent", nothing.map_or("", |(way, _)| *way));
    Ok(())
}
