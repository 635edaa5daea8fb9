//! The states of function and extension: instructions of the function, and disturbances around it. The tests run
//! each state with the layer and without; `bench` measures some.

use local_lambda::Initialization;
use local_lambda::fidelity::{ManagedDelivery, TelemetryAtShutdown, Unpublished};
use serde_json::{Value, json};
use std::time::Duration;

/// Long enough for every machine: nothing that a test waits for takes it up.
pub const AMPLE: Duration = Duration::from_mins(1);
pub const SHORT: Duration = Duration::from_secs(1);

pub struct State {
    pub name: &'static str,
    pub timeout: Duration,
    pub variables: &'static [(&'static str, &'static str)],
    pub initialization: Initialization,
    pub unpublished: Unpublished,
    pub around: Around,
    pub steps: Vec<Step>,
    pub end: End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Around {
    Nothing,
    /// Another program has the receiver's port, and never answers.
    BusyPort,
    /// Another program has 4317, 4318 and 8080, and the function names no other port.
    BusyDefaultPorts,
    /// Lambda tells of events of a mebibyte each.
    LargeEvents,
    /// Lambda answers the subscription with this status.
    Subscription(u16),
}

pub enum Step {
    /// An invocation. Results with the same label are summed; invocations without a label are preparation.
    Invoke { label: &'static str, payload: Value },
    /// This many invocations at the same time.
    Together { label: &'static str, payload: Value, invocations: usize },
    /// An invocation with exhausted memory once it hangs.
    ExhaustMemory { label: &'static str, payload: Value },
    /// A pause without invocations.
    Pause(Duration),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Shutdown,
    /// It is never thawed again.
    Killed,
}

impl State {
    fn new(name: &'static str, steps: Vec<Step>) -> Self {
        let initialization = Initialization::OnDemand;
        Self {
            name,
            timeout: AMPLE,
            variables: &[],
            initialization,
            unpublished: Unpublished::default(),
            around: Around::Nothing,
            steps,
            end: End::Shutdown,
        }
    }

    fn variables(mut self, variables: &'static [(&'static str, &'static str)]) -> Self {
        self.variables = variables;
        self
    }

    fn around(mut self, around: Around) -> Self {
        self.around = around;
        self
    }
}

fn invoke(label: &'static str, payload: Value) -> Step {
    Step::Invoke { label, payload }
}

/// A successful invocation that sends an SDK's spans: the root and two children.
fn otlp(label: &'static str) -> Step {
    invoke(label, json!({"spans": [3], "root": true}))
}

/// A successful invocation without telemetry.
fn quiet(label: &'static str) -> Step {
    invoke(label, json!({}))
}

/// The states whose times `docs/figures.md` has, with this number of invocations of each kind under steady traffic.
pub fn measured(steady: usize) -> Vec<State> {
    vec![
        cold(),
        cold_and_quiet(),
        warm_steady(steady),
        warm_rare(),
        panic(),
        timeout(),
        out_of_memory(),
        crash(),
        mebibyte_of_otlp(),
        many_lines(),
    ]
}

pub fn cold() -> State {
    State::new("cold", vec![otlp("the first invocation, OTLP sent")])
}

pub fn cold_and_quiet() -> State {
    State::new("cold", vec![quiet("the first invocation, no OTLP")])
}

pub fn warm_steady(invocations: usize) -> State {
    let mut steps = vec![otlp("")];
    steps.extend((0..invocations).map(|_| otlp("OTLP sent")));
    steps.extend((0..invocations).map(|_| quiet("no OTLP")));
    State::new("warm steady", steps)
}

pub fn warm_rare() -> State {
    const RARE: Duration = Duration::from_secs(31);
    let steps =
        vec![otlp(""), Step::Pause(RARE), otlp("OTLP sent"), Step::Pause(RARE), quiet("no OTLP")];
    State::new("warm rare", steps)
}

/// An invocation that ends badly, between others that do not.
fn failing(name: &'static str, end: &str) -> State {
    let bad = json!({"spans": [5], "end": end});
    let steps = vec![otlp(""), otlp(""), invoke("it", bad), otlp("the one after it")];
    State::new(name, steps)
}

pub fn handler_error() -> State {
    failing("handler error", "fail")
}

pub fn panic() -> State {
    failing("panic", "panic")
}

pub fn crash() -> State {
    failing("crash", "exit")
}

pub fn timeout() -> State {
    State { timeout: SHORT, ..failing("timeout", "hang") }
}

pub fn out_of_memory() -> State {
    let mut state = failing("out of memory", "hang");
    for step in &mut state.steps {
        if let Step::Invoke { label: "it", payload } = step {
            *step = Step::ExhaustMemory { label: "it", payload: payload.take() };
        }
    }
    state
}

pub fn frozen() -> State {
    let steps = vec![
        otlp(""),
        otlp("before"),
        Step::Pause(Duration::from_secs(2)),
        otlp("after, OTLP sent"),
        Step::Pause(Duration::from_secs(2)),
        quiet("after, no OTLP"),
    ];
    State::new("frozen", steps).variables(&[("OTEL_LAMBDA_FLUSH_TIMEOUT", "0")])
}

pub fn never_thawed() -> State {
    let steps =
        vec![otlp(""), invoke("the last ones", json!({"spans": [4]})), otlp("the last ones")];
    let state = State::new("never thawed", steps).variables(&[("OTEL_LAMBDA_FLUSH_TIMEOUT", "0")]);
    State { end: End::Killed, ..state }
}

pub fn busy_port() -> State {
    State::new("busy port", vec![quiet(""), quiet("it")]).around(Around::BusyPort)
}

pub fn busy_default_ports() -> State {
    State::new("ports 4317, 4318 and 8080 busy", vec![otlp(""), otlp("it")])
        .around(Around::BusyDefaultPorts)
}

pub fn wrong_settings() -> State {
    State::new("wrong settings", vec![otlp(""), otlp("it")]).variables(&[
        ("LAMBDA_OTLP_SPAN_END", "sometimes"),
        ("LAMBDA_OTLP_ENDPOINT", "o2.example.com"),
        ("LAMBDA_OTLP_INVOCATION_SPAN", "never ever"),
    ])
}

pub fn subscription(status: u16) -> State {
    let name = match status {
        202 => "subscription 202",
        404 => "subscription 404",
        _ => "subscription 500",
    };
    let steps = vec![otlp("cold, OTLP sent"), otlp("warm, OTLP sent"), quiet("warm, no OTLP")];
    State::new(name, steps).around(Around::Subscription(status))
}

pub fn mebibyte_of_otlp() -> State {
    let mebibyte = json!({"spans": [500], "bytes": 2048});
    State::new(
        "1 MiB of OTLP in one request",
        vec![otlp(""), invoke("it", mebibyte), otlp("the one after it")],
    )
}

/// The function prints more than a mebibyte of lines in one invocation.
pub fn mebibyte_of_telemetry() -> State {
    let lines = json!({"lines": 4000, "line_bytes": 400});
    let steps = vec![otlp(""), invoke("it", lines), otlp("the one after it")];
    State::new("1 MiB telemetry batch", steps)
        .variables(&[("O2_TELEMETRY_TYPES", "platform,function")])
}

pub fn events_of_a_mebibyte() -> State {
    let steps = vec![otlp(""), otlp("it"), otlp("the one after it")];
    State::new("events of 1 MiB", steps).around(Around::LargeEvents)
}

pub const MANY_LINES: usize = 100_000;

pub fn many_lines() -> State {
    let lines = json!({"spans": [3], "root": true, "lines": MANY_LINES});
    State::new("100,000 log lines", vec![otlp(""), invoke("it", lines), otlp("the one after it")])
}

/// How many invocations the managed instance runs at a time.
pub const CONCURRENT: usize = 8;

pub fn managed_instance() -> State {
    let payload = json!({"spans": [3], "root": true});
    let together = Step::Together { label: "OTLP sent", payload, invocations: CONCURRENT };
    let steps = vec![otlp(""), quiet("no OTLP"), otlp("OTLP sent"), together];
    State {
        initialization: Initialization::ManagedInstances,
        unpublished: Unpublished::default().managed_delivery(ManagedDelivery::Documented),
        ..State::new("managed instance", steps)
    }
}

/// The managed instance with the deliveries of AWS's emulator: to the path `/`, each once.
pub fn managed_instance_of_the_emulator() -> State {
    State {
        name: "managed instance, deliveries of the emulator",
        unpublished: Unpublished::default().managed_delivery(ManagedDelivery::Emulator),
        ..managed_instance()
    }
}

/// The function's process ends before it asks for an event.
pub fn failed_init(telemetry: TelemetryAtShutdown) -> State {
    let name = match telemetry {
        TelemetryAtShutdown::Flushed => "failed init, telemetry flushed at SHUTDOWN",
        TelemetryAtShutdown::Buffered => "failed init, telemetry buffered at SHUTDOWN",
    };
    State {
        unpublished: Unpublished::default().telemetry_at_shutdown(telemetry),
        ..State::new(name, vec![quiet("it")]).variables(&[("FAILS_AT_INIT", "1")])
    }
}

pub fn many_lines_subscribed() -> State {
    let state = State { name: "100,000 log lines, subscribed to", ..many_lines() };
    state.variables(&[("O2_TELEMETRY_TYPES", "platform,function")])
}
