//! Output of telemetry as text or as JSON.

use crate::lines::Writer;
use crate::shown::choice::Choice;
use crate::shown::json::Json;
use crate::shown::text::Text;
use crate::shown::{Incoming, show_all};
use std::sync::mpsc::Receiver;

#[derive(clap::Args)]
pub(crate) struct OutputArguments {
    #[command(flatten)]
    choice: Choice,
    /// Leave out lines that are not telemetry.
    #[arg(long)]
    telemetry_only: bool,
    /// Print one JSON object per line.
    #[arg(long)]
    json: bool,
}

impl OutputArguments {
    /// Shows telemetry until the input ends. Returns `true` if all of it could be read.
    pub(crate) fn show(
        &self,
        incoming: &Receiver<Incoming>,
        writer: Writer,
    ) -> anyhow::Result<bool> {
        let (choice, telemetry_only) = (self.choice.clone(), self.telemetry_only);
        // anstream writes colours only to a terminal, and none if NO_COLOR is set.
        let out = &mut anstream::stdout().lock();
        let ended = if self.json {
            show_all(incoming, writer, &mut Json { out, choice, telemetry_only })?
        } else {
            show_all(incoming, writer, &mut Text { out, choice, telemetry_only })?
        };
        for error in &ended.failed {
            eprintln!("lambda-otlp: {error:#}");
        }
        Ok(ended.is_fine())
    }
}
