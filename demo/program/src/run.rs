//! Runs the whole path: invocations, log groups, the forwarder, a backend.

use crate::Arguments;
use crate::accounting::{self, Accounts, CountedItem, LedgerLine};
use crate::functions::Warehouse;
use crate::functions::{
    CALLED, CHECKOUT, CHECKOUT_LABEL, NoPython, ORDERS, ORDERS_INVOCATIONS, PARCELS,
    PARCELS_DELIVERIES, SHOP, SHOP_INVOCATIONS, STOCK, STOCK_INVOCATIONS, Surroundings,
    checkout_event, orders_event, python, shop_event,
};
use crate::made;
use crate::stored::{Arrived, IGNORED};
use anyhow::{Context as _, bail};
use console::{layer, reach};
use local_lambda::queue::{Queue, QueueServer};
use local_lambda::{FunctionSpec, Invocation, InvocationResult, Lambda, LogEvent, binaries};
use settings::{Check, Env, Source as _};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;
use test_support::openobserve::FakeOpenObserve;

pub(crate) struct Run {
    pub(crate) invocations: Vec<Labelled>,
    pub(crate) forwarder_invocations: usize,
    /// The text of the functions' log events, including Lambda's own, by id.
    pub(crate) lines: BTreeMap<String, String>,
    pub(crate) ledger: Vec<LedgerLine>,
    /// Items that are not in `ledger`: other lines of the log groups, and items that follow from Lambda's reports.
    pub(crate) others: Vec<CountedItem>,
    pub(crate) arrived: Arrived,
    /// The endpoint of the user's own backend.
    pub(crate) elsewhere: Option<String>,
    /// The reasons why the forwarder to it failed.
    pub(crate) refused_elsewhere: BTreeSet<String>,
    /// Number of records that the backend had to lose (`--lose`).
    pub(crate) requested_losses: u64,
    /// Number of records that the backend lost.
    pub(crate) made_losses: u64,
}

pub(crate) struct Labelled {
    pub(crate) function: &'static str,
    pub(crate) label: &'static str,
    pub(crate) invocation: Invocation,
}

impl Labelled {
    /// The result in words: of a failure, the message that the function's caller sees.
    pub(crate) fn result(&self) -> String {
        match &self.invocation.result {
            InvocationResult::Response(_) => "response".to_owned(),
            InvocationResult::FunctionError { body, .. } => error_message(body),
            InvocationResult::Timeout => "timed out".to_owned(),
            InvocationResult::Crash { .. } => "crashed".to_owned(),
        }
    }
}

impl Run {
    pub(crate) fn accounts(&self) -> Accounts {
        accounting::compare(&self.ledger, &self.others, &self.arrived.items())
    }

    /// Returns `true` if every item was found, and the user's backend accepted all of them.
    pub(crate) fn is_fine(&self, accounts: &Accounts) -> bool {
        accounts.balance() && self.refused_elsewhere.is_empty()
    }
}

/// The text of `{"errorMessage": …}`, which the function's caller sees.
pub(crate) fn error_message(body: &[u8]) -> String {
    serde_json::from_slice::<serde_json::Value>(body)
        .ok()
        .and_then(|error| error.get("errorMessage")?.as_str().map(str::to_owned))
        .unwrap_or_else(|| String::from_utf8_lossy(body).into_owned())
}

const FORWARDER: &str = "lambda-otlp-forwarder";
const FORWARDER_ELSEWHERE: &str = "lambda-otlp-forwarder-elsewhere";
const USER: &str = "root@example.com";
const PASSWORD: &str = "demo";

/// Installs the packages of the Python functions "shop" and "stock". Returns their interpreters, or the reasons why there
/// are none.
fn install(workspace: &Path) -> [Result<PathBuf, NoPython>; 2] {
    progress("installing the packages of the Python functions (pip install, once)");
    std::thread::scope(|scope| {
        let installs =
            ["python", "unchanged"].map(|sources| scope.spawn(move || python(workspace, sources)));
        let panicked = |_| Err(NoPython::Panic);
        installs.map(|install| install.join().unwrap_or_else(panicked))
    })
}

pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<Run> {
    check_elsewhere(arguments).await?;
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    progress(
        "building the functions, the extension and the forwarder (cargo build, about a minute the first time)",
    );
    let built = binaries::build(
        &workspace,
        &["demo-function", "demo-checkout", "demo-parcels", binaries::EXTENSION, FORWARDER],
    )?;
    let program = |name| binaries::find(&built, name);
    let forwarder = program(FORWARDER)?;
    let pythons = install(&workspace);
    let directory = tempfile::tempdir().context("cannot make a temporary directory")?;
    let ledger = directory.path().join("made.jsonl");
    let layer = layer::assemble(directory.path(), &program(binaries::EXTENSION)?)?;

    let fake = FakeOpenObserve::builder().user(USER, PASSWORD).start().await?;
    let process = std::process::id();
    progress(&format!("backend: a fake OpenObserve on {} (process {process})", fake.base()));
    // The accounting would not notice their loss.
    fake.never_lose(&IGNORED);
    fake.lose(arguments.lose);
    let servers = Servers::start().await?;
    let Servers { lambda, queue, warehouse } = &servers;
    let line_format = Env.get("LAMBDA_OTLP_LINE").unwrap_or_else(|| "standard".to_owned());
    let surroundings = Surroundings { layer: &layer, ledger: &ledger, line_format: &line_format };
    let mut names = servers.create_rust_functions(&built, &surroundings)?;
    names.extend(servers.create_python_functions(&pythons, &workspace, &surroundings)?);
    let authorization = format!("authorization=Basic {}", base64(&format!("{USER}:{PASSWORD}")));
    subscribe(lambda, &names, &forwarder, FORWARDER, fake.base(), &authorization)?;
    if let Some(endpoint) = &arguments.endpoint {
        let headers = arguments.headers.join(",");
        subscribe(lambda, &names, &forwarder, FORWARDER_ELSEWHERE, endpoint, &headers)?;
    }

    let mut caller = Caller { lambda, invocations: Vec::new() };
    caller.invoke_all(&names, queue.queue()).await?;
    let Caller { invocations, .. } = caller;
    progress(
        "Lambda shuts the environments down, CloudWatch Logs delivers the log groups to the forwarder",
    );
    for name in &names {
        lambda.recycle(name).await?;
    }
    lambda.flush_subscriptions().await;

    let log_events: Vec<LogEvent> = names.iter().flat_map(|name| lambda.log_events(name)).collect();
    let run = Run {
        invocations,
        forwarder_invocations: lambda.invocations(FORWARDER).len(),
        lines: log_events.into_iter().map(|event| (event.id, event.message)).collect(),
        ledger: read_ledger(&ledger)?,
        others: others(lambda, &names, warehouse),
        arrived: Arrived::at(&fake),
        refused_elsewhere: refused_elsewhere(lambda),
        elsewhere: arguments.endpoint.clone(),
        requested_losses: arguments.lose,
        made_losses: fake.counts().lost,
    };
    servers.lambda.shut_down().await;
    Ok(run)
}

/// The servers that the functions use.
struct Servers {
    lambda: Lambda,
    /// The queue of "parcels".
    queue: QueueServer,
    warehouse: Warehouse,
}

impl Servers {
    async fn start() -> anyhow::Result<Self> {
        let warehouse = Warehouse::open().await.context("cannot open the warehouse")?;
        let lambda = Lambda::start().await?;
        // The queue delivers failed messages again at once.
        let queue = Queue::new(PARCELS).visibility_timeout(Duration::ZERO);
        Ok(Self { lambda, queue: QueueServer::start(queue).await?, warehouse })
    }

    /// Creates the functions in Rust. Returns their names.
    fn create_rust_functions(
        &self,
        built: &HashMap<String, PathBuf>,
        surroundings: &Surroundings<'_>,
    ) -> anyhow::Result<Vec<&'static str>> {
        let program = |name| binaries::find(built, name);
        self.lambda.create_function(surroundings.orders(&program("demo-function")?))?;
        let queue_url = self.queue.queue_url();
        let checkout = surroundings.checkout(&program("demo-checkout")?, &queue_url);
        self.lambda.create_function(checkout)?;
        self.lambda.create_function(surroundings.parcels(&program("demo-parcels")?))?;
        Ok(vec![ORDERS, CHECKOUT, PARCELS])
    }

    /// Creates the functions in Python. Returns the names of those that have an interpreter.
    fn create_python_functions(
        &self,
        [shop, stock]: &[Result<PathBuf, NoPython>; 2],
        workspace: &Path,
        surroundings: &Surroundings<'_>,
    ) -> anyhow::Result<Vec<&'static str>> {
        let mut names = Vec::new();
        match shop {
            Ok(python) => {
                let endpoint = format!("http://{}", self.lambda.endpoint());
                let sources = workspace.join("demo/python");
                self.lambda.create_function(surroundings.shop(python, &sources, &endpoint))?;
                names.push(SHOP);
            }
            Err(why) => progress(&format!("without the Python function \"{SHOP}\": {why}")),
        }
        match stock {
            Ok(python) => {
                let sources = workspace.join("demo/unchanged");
                let warehouse = self.warehouse.base();
                self.lambda.create_function(surroundings.stock(python, &sources, &warehouse))?;
                names.push(STOCK);
            }
            Err(why) => progress(&format!("without the Python function \"{STOCK}\": {why}")),
        }
        Ok(names)
    }
}

struct Caller<'a> {
    lambda: &'a Lambda,
    invocations: Vec<Labelled>,
}

impl Caller<'_> {
    /// Makes the demo's invocations of these functions. `parcels` is the queue of "parcels".
    async fn invoke_all(&mut self, names: &[&str], parcels: &Queue) -> anyhow::Result<()> {
        for ((label, action), index) in ORDERS_INVOCATIONS.into_iter().zip(0..) {
            self.invoke(ORDERS, label, &orders_event(index, action)).await?;
        }
        if names.contains(&SHOP) {
            for ((label, action), index) in SHOP_INVOCATIONS.into_iter().zip(0..) {
                self.invoke(SHOP, label, &shop_event(index, action)).await?;
            }
        }
        if names.contains(&STOCK) {
            for (label, item) in STOCK_INVOCATIONS {
                self.invoke(STOCK, label, &serde_json::json!({ "item": item })).await?;
            }
        }
        self.invoke(CHECKOUT, CHECKOUT_LABEL, &checkout_event()).await?;
        for label in PARCELS_DELIVERIES {
            self.deliver(parcels, label).await?;
        }
        Ok(())
    }

    async fn invoke(
        &mut self,
        function: &'static str,
        label: &'static str,
        event: &serde_json::Value,
    ) -> anyhow::Result<()> {
        progress(&format!("invoking {function}: {label}"));
        let invocation = self.lambda.invoke(function, event.to_string()).await?;
        self.invocations.push(Labelled { function, label, invocation });
        // The function responds before its extensions are done.
        self.lambda.wait_for_invocations().await;
        let is_known = |invocation: &Invocation| {
            let request_id = &invocation.request_id;
            self.invocations.iter().any(|known| known.invocation.request_id == *request_id)
        };
        let called: Vec<Invocation> = self
            .lambda
            .invocations(ORDERS)
            .into_iter()
            .filter(|invocation| !is_known(invocation))
            .collect();
        self.invocations.extend(called.into_iter().map(|invocation| Labelled {
            function: ORDERS,
            label: CALLED,
            invocation,
        }));
        Ok(())
    }

    /// Invokes "parcels" with the messages in the queue, like Lambda's event source mapping with
    /// `ReportBatchItemFailures`.
    async fn deliver(&mut self, queue: &Queue, label: &'static str) -> anyhow::Result<()> {
        let messages = queue.receive(10);
        self.invoke(PARCELS, label, &queue.lambda_event(&messages)).await?;
        let own = self.invocations.iter().rfind(|known| known.function == PARCELS);
        let Some(Labelled { invocation, .. }) = own else { bail!("\"{PARCELS}\" was not invoked") };
        let Some(response) = invocation.response() else { bail!("\"{PARCELS}\" failed") };
        let deleted = queue.delete_handled(&messages, response);
        deleted.map_err(|refusal| anyhow::anyhow!("{}", refusal.message))
    }
}

/// Returns the items that the functions' file does not list.
fn others(lambda: &Lambda, names: &[&str], warehouse: &Warehouse) -> Vec<CountedItem> {
    let mut others: Vec<CountedItem> =
        made::of_stock(&lambda.invocations(STOCK), warehouse.asked()).collect();
    others.extend(made::of_parcels(&lambda.invocations(PARCELS)));
    for name in [ORDERS, CHECKOUT, PARCELS] {
        others.extend(made::error_records(&lambda.invocations(name)));
    }
    for name in names {
        let invocations = lambda.invocations(name);
        others.extend(made::of_log(name, &lambda.log_events(name), &invocations));
        others.extend(made::of_invocations(&lambda.invocations(name)));
    }
    others
}

fn refused_elsewhere(lambda: &Lambda) -> BTreeSet<String> {
    let invocations = lambda.invocations(FORWARDER_ELSEWHERE);
    let failed = invocations.iter().filter(|invocation| !invocation.is_success());
    failed
        .map(|invocation| match &invocation.result {
            InvocationResult::FunctionError { body, .. } => error_message(body),
            other => format!("{other:?}"),
        })
        .collect()
}

async fn check_elsewhere(arguments: &Arguments) -> anyhow::Result<()> {
    let Some(endpoint) = &arguments.endpoint else { return Ok(()) };
    if let Some(header) = arguments.headers.iter().find(|header| !header.contains('=')) {
        bail!("--header {header}: expected K=V, for example \"authorization=Basic …\"");
    }
    let variables = HashMap::from([
        ("LAMBDA_OTLP_ENDPOINT".to_owned(), endpoint.clone()),
        ("LAMBDA_OTLP_HEADERS".to_owned(), arguments.headers.join(",")),
    ]);
    let (read, _) = forwarder::Config::from_source(&variables);
    let config = read.context("--endpoint and --header, which become the forwarder's variables")?;
    let reach = reach::of_settings(config.destination, &variables).context("--endpoint")?;
    progress(&format!("checking that {endpoint} accepts OTLP"));
    match reach::check(&reach).await.into_iter().find(Check::is_failed) {
        Some(Check { text, .. }) => bail!("--endpoint {endpoint}: {text}"),
        None => Ok(()),
    }
}

fn progress(text: &str) {
    let text = console::screen::on_lines(text);
    // The reader of stderr may be gone.
    let _written = writeln!(io::stderr(), "· {text}");
}

/// Subscribes a forwarder to the log groups of these functions.
fn subscribe(
    lambda: &Lambda,
    functions: &[&str],
    forwarder: &Path,
    name: &str,
    endpoint: &str,
    headers: &str,
) -> anyhow::Result<()> {
    lambda.create_function(
        FunctionSpec::new(name, forwarder)
            .timeout(Duration::from_secs(30))
            .memory_mb(256)
            .env("LAMBDA_OTLP_ENDPOINT", endpoint)
            .env("LAMBDA_OTLP_HEADERS", headers),
    )?;
    for function in functions {
        lambda.subscribe(&format!("/aws/lambda/{function}"), name)?;
    }
    Ok(())
}

fn read_ledger(path: &Path) -> anyhow::Result<Vec<LedgerLine>> {
    let text = std::fs::read_to_string(path).context("the functions wrote no ledger")?;
    text.lines().map(|line| serde_json::from_str(line).context("the functions' ledger")).collect()
}

fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}
