//! The forwarder's own figures: a line in CloudWatch's embedded metric format an invocation, OTLP metrics once a minute, or
//! both. None of them is a customer's, and whatever happens to them changes no invocation's result.

mod emf;
mod otlp;
mod sums;

use crate::destination::{Destination, Export};
use crate::pipeline::invocation::InvocationContext;
use crate::pipeline::report::Report;
use otlp::OtlpVitals;
use settings::{Kind, Reader, Variable};
use std::io::Write as _;

const NAME: &str = "LAMBDA_OTLP_VITALS";

/// The variable.
pub(crate) const VITALS: Variable = Variable {
    name: NAME,
    default: Some("emf"),
    kind: Kind::Choice(&["emf", "otlp", "both", "none", "true", "false"]),
    doc: "The forwarder's own [metrics](vitals.md). `emf` writes them to its log, from where CloudWatch reads four metrics. Set `otlp` to send them to the backend, at most once a minute, or `both`. `true` is `emf`, `false` is `none`.",
};

/// Whose figures are told, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VitalsSettings {
    /// The forwarder's name.
    pub function: String,
    /// Its region.
    pub region: Option<String>,
    /// Whether each invocation writes a line.
    pub emf: bool,
    /// Whether metrics are sent to the default destination.
    pub otlp: bool,
}

impl VitalsSettings {
    /// What the variables say; `None` where nothing is told, or the function has no name.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let (emf, otlp) = ((true, false), (false, true));
        let (both, none) = ((true, true), (false, false));
        let choices = [
            ("emf", emf),
            ("otlp", otlp),
            ("both", both),
            ("none", none),
            ("true", emf),
            ("false", none),
        ];
        let (emf, otlp) = reader.choice(NAME, &choices, emf);
        let region = reader.string_if_set("AWS_REGION");
        let function = reader.string_if_set("AWS_LAMBDA_FUNCTION_NAME")?;
        (emf || otlp).then_some(Self { function, region, emf, otlp })
    }
}

/// Tells the figures of one execution environment.
#[derive(Debug)]
pub struct Vitals {
    emf_of: Option<String>,
    otlp: Option<OtlpVitals>,
}

impl Vitals {
    /// Tells them as these settings say.
    pub fn new(settings: VitalsSettings) -> Self {
        let VitalsSettings { function, region, emf, otlp } = settings;
        Self {
            emf_of: emf.then(|| function.clone()),
            otlp: otlp.then(|| OtlpVitals::new(function, region)),
        }
    }

    /// Tells what this invocation did, `default` being the destination of the variables. Takes until
    /// [`InvocationContext::queue_deadline`] at most.
    pub async fn tell<E: Export>(
        &self,
        report: &Report,
        invocation: &InvocationContext,
        default: &Destination<E>,
    ) {
        if let Some(function) = &self.emf_of {
            let line = emf::line(report, function, invocation.observed_unix_nano) + "\n";
            // Whole, in one write: the log writes to stdout too.
            if let Err(error) = std::io::stdout().lock().write_all(line.as_bytes()) {
                tracing::warn!(%error, "cannot write the forwarder's own figures");
            }
        }
        if let Some(otlp) = &self.otlp {
            otlp.tell(report, invocation, default).await;
        }
    }
}
