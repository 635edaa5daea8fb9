//! The deviations of the local Lambda from AWS.
//!
//! The reference is the code of Lambda's execution environment, as AWS publishes it: the runtime interface emulator
//! (`aws/aws-lambda-runtime-interface-emulator` at 4fa2157, January 2026), whose `internal/lambda` serves classic functions and
//! `internal/lambda-managed-instances` managed instances. AWS's documentation decides what the emulator does not have.
//!
//! The local Lambda deviates on purpose:
//!
//! | here | AWS | reason |
//! |---|---|---|
//! | a telemetry listener may be named by a loopback name | `sandbox` and `sandbox.localdomain` only | this machine does not know Lambda's names |
//! | no subscriptions by TCP | HTTP and TCP | our extension uses HTTP |
//! | three schema versions on managed instances | the emulator: 2025-01-29 only | AWS documents older versions as supported |
//! | a subscriber that answers slowly loses batches | the emulator's relay deadlocks | a bug of the emulator |
//! | the deadline of an invocation on managed instances is its time limit | the emulator: 10⁶ times as far away | a bug of the emulator |
//! | `Sequence-Id` is unique | a digest of the body | subscribers compare it, and cannot compute it |
//! | an invocation waits if no worker of a managed instance asks for an event | it is refused | Lambda's front end retries it |
//! | 500 ms for a runtime with an internal extension alone | the emulator: 600 ms | AWS documents 500 ms ("Shutdown phase") |
//! | SHUTDOWN after a failed init has the reason `failure` | the emulator: `spindown` | the emulator ends with the init |
//! | calls of frozen processes wait for the next invocation | the API answers at any time | a frozen process makes no calls |
//! | lines of any length are read | a managed instance's pipe blocks after 64 KiB without a line feed | our lines are shorter |
//! | the report of a failed invocation comes before SHUTDOWN | not published | extensions get it while they listen |
//! | no text lines `RequestId: … Error: …` and `Task timed out …` | the form of the first without a caller (`FaultData`) | their places in the log are not published |
//! | a failed delivery is repeated after 20 ms, doubled up to 1 s; 16 MiB wait | not published for classic functions | – |
//!
//! Not simulated: log levels, the Logs API, `/opt`, memory limits, SnapStart, and a private `/tmp`.

/// Behaviour of production that AWS's emulator does not show and no document describes. The product must be right under each value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Unpublished {
    pub handler_error_report: HandlerErrorReport,
    pub telemetry_at_shutdown: TelemetryAtShutdown,
    pub managed_delivery: ManagedDelivery,
}

/// The status of `platform.report` after the runtime posted an error of the handler. `platform.runtimeDone` has `success` then
/// (runtime interface emulator; aws-samples/aws-lambda-extensions #85), and REPORT in text format has no status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HandlerErrorReport {
    /// `error`, with the error type.
    #[default]
    Error,
    /// `success`, as in `platform.runtimeDone`.
    Success,
}

/// The telemetry of a classic function that waits when its environment ends. The emulator has no telemetry there. On managed
/// instances it is flushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TelemetryAtShutdown {
    /// Lambda delivers it before SHUTDOWN, within a second.
    #[default]
    Flushed,
    /// Lambda delivers it at the time that the subscription's buffering sets, if a listener is there.
    Buffered,
}

/// Deliveries of telemetry on managed instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ManagedDelivery {
    /// As the emulator delivers it: to the path `/`, once, and not at all while the batch before is on its way.
    #[default]
    Emulator,
    /// As documented for all functions: to the agreed path, until the subscriber accepts it.
    Documented,
}

impl Unpublished {
    #[must_use]
    pub fn handler_error_report(mut self, report: HandlerErrorReport) -> Self {
        self.handler_error_report = report;
        self
    }

    #[must_use]
    pub fn telemetry_at_shutdown(mut self, telemetry: TelemetryAtShutdown) -> Self {
        self.telemetry_at_shutdown = telemetry;
        self
    }

    #[must_use]
    pub fn managed_delivery(mut self, delivery: ManagedDelivery) -> Self {
        self.managed_delivery = delivery;
        self
    }
}
