//! How telemetry is shown, as the command line says it: as text, as JSON, or in the whole terminal.

use crate::screen::Screen;
use crate::shown::choice::Choice;
use crate::shown::json::Json;
use crate::shown::text::Text;
use crate::shown::{Incoming, show_all};
use std::sync::mpsc::Receiver;

/// What is shown, and how.
#[derive(clap::Args)]
pub(crate) struct OutputArguments {
    #[command(flatten)]
    choice: Choice,
    /// Leave out the lines that are no telemetry.
    #[arg(long)]
    telemetry_only: bool,
    /// Print a JSON object a line.
    #[arg(long, conflicts_with = "full_screen")]
    json: bool,
    /// Fill the terminal: a list of traces, and one of them opened.
    #[arg(long)]
    pub(crate) full_screen: bool,
}

impl OutputArguments {
    /// Shows what comes until nothing more does; whether all of it could be read.
    pub(crate) fn show(&self, incoming: &Receiver<Incoming>) -> anyhow::Result<bool> {
        let (choice, telemetry_only) = (self.choice.clone(), self.telemetry_only);
        let ended = if self.full_screen {
            let mut screen = Screen::open(choice)?;
            let ended = show_all(incoming, &mut screen)?;
            // What came stays to be looked at.
            screen.wait(&ended.failed)?;
            ended
        } else {
            // Colours on a terminal only, and none under NO_COLOR.
            let out = &mut anstream::stdout().lock();
            if self.json {
                show_all(incoming, &mut Json { out, choice, telemetry_only })?
            } else {
                show_all(incoming, &mut Text { out, choice, telemetry_only })?
            }
        };
        for error in &ended.failed {
            eprintln!("lambda-otlp: {error:#}");
        }
        Ok(ended.is_fine())
    }
}
