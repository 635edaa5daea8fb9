//! Output of telemetry as text, as JSON, or full-screen.

use crate::lines::Writer;
use crate::screen::Screen;
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
    #[arg(long, conflicts_with = "full_screen")]
    json: bool,
    /// Fill the terminal with a list of traces and the open trace.
    #[arg(long)]
    pub(crate) full_screen: bool,
}

impl OutputArguments {
    /// Shows telemetry until the input ends. Returns `true` if all of it could be read.
    pub(crate) fn show(
        &self,
        incoming: &Receiver<Incoming>,
        writer: Writer,
    ) -> anyhow::Result<bool> {
        let (choice, telemetry_only) = (self.choice.clone(), self.telemetry_only);
        let ended = if self.full_screen {
            let mut screen = Screen::open(choice)?;
            let ended = show_all(incoming, writer, &mut screen)?;
            // The screen stays open after the end of the input.
            screen.wait(&ended.failed)?;
            ended
        } else {
            // anstream writes colours only to a terminal, and none if NO_COLOR is set.
            let out = &mut anstream::stdout().lock();
            if self.json {
                show_all(incoming, writer, &mut Json { out, choice, telemetry_only })?
            } else {
                show_all(incoming, writer, &mut Text { out, choice, telemetry_only })?
            }
        };
        for error in &ended.failed {
            eprintln!("lambda-otlp: {error:#}");
        }
        Ok(ended.is_fine())
    }
}
