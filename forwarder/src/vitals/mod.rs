//! The forwarder's own metrics: lines in CloudWatch's embedded metric format, OTLP metrics once a minute, or both. They contain no
//! telemetry and never change the result of an invocation.

mod emf;
mod otlp;
mod sums;

use crate::delivery::destination::{Destination, Export};
use crate::invocation::InvocationContext;
use crate::report::Report;
use emf::Unwritten;
use otlp::Unsent;
use settings::{Reader, Setting, SettingWithDefault, Word, shared};
use std::io::Write as _;
use std::sync::{Mutex, PoisonError};

pub(crate) const VITALS: SettingWithDefault<Word> = Setting::choice(
    "LAMBDA_OTLP_VITALS",
    &["emf", "otlp", "both", "none"],
    "The forwarder's own [metrics](operations.md#metrics-of-the-forwarder). `emf` writes them to its log for CloudWatch, `otlp` sends them to the backend.",
)
.with_default("both");

pub(crate) const FUNCTION_NAME: Setting<String> = shared::AWS_LAMBDA_FUNCTION_NAME.with_doc(
    "Set by Lambda: the dimension, and the service name, of the forwarder's own metrics.",
);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VitalsSettings {
    pub function: String,
    pub region: Option<String>,
    pub emf: bool,
    /// `true` if metrics are sent to the default destination.
    pub otlp: bool,
}

impl VitalsSettings {
    /// Reads the variable. Returns `None` if it selects no form, or if the function has no name.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let both = VitalsForms { emf: true, otlp: true };
        let choices = [
            ("emf", VitalsForms { emf: true, otlp: false }),
            ("otlp", VitalsForms { emf: false, otlp: true }),
            ("both", both),
            ("none", VitalsForms { emf: false, otlp: false }),
        ];
        let VitalsForms { emf, otlp } = reader.choice(VITALS, &choices, both);
        let region = reader.read(aws::REGION);
        let function = reader.read(FUNCTION_NAME)?;
        (emf || otlp).then_some(Self { function, region, emf, otlp })
    }
}

/// The forms of metrics that a word of the variable selects.
#[derive(Clone, Copy)]
struct VitalsForms {
    emf: bool,
    otlp: bool,
}

/// Writes and sends the metrics of one execution environment.
#[derive(Debug)]
pub struct Vitals {
    settings: VitalsSettings,
    unwritten: Mutex<Unwritten>,
    unsent: Mutex<Unsent>,
}

impl Vitals {
    pub fn new(settings: VitalsSettings) -> Self {
        Self { settings, unwritten: Mutex::default(), unsent: Mutex::default() }
    }

    /// Reports one invocation; `default` is the default destination. Ends before [`InvocationContext::queue_deadline`].
    pub async fn record<E: Export>(
        &self,
        report: &Report,
        invocation: &InvocationContext,
        default: &Destination<E>,
    ) {
        let VitalsSettings { function, emf, otlp, .. } = &self.settings;
        let line = || {
            let mut unwritten = self.unwritten.lock().unwrap_or_else(PoisonError::into_inner);
            unwritten.line(report, function, invocation.observed_unix_nano)
        };
        if let Some(line) = emf.then(line).flatten() {
            // Written at once, because the log shares stdout.
            if let Err(error) = std::io::stdout().lock().write_all((line + "\n").as_bytes()) {
                tracing::warn!(%error, "cannot write the forwarder's own metrics");
            }
        }
        if *otlp {
            self.send(report, invocation, default).await;
        }
    }
}
