//! The full-screen view: a list of traces, the open trace, and other lines. A thread draws it and reads keys, so that
//! input never waits for a person.

mod draw;
mod listed;

use crate::shown::View;
use crate::shown::choice::Choice;
use crate::shown::held::Held;
use anyhow::{Context as _, bail};
use listed::Listed;
use ratatui::crossterm::event::{self, Event, KeyEventKind};
use std::io::{self, IsTerminal as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

const REDRAWN: Duration = Duration::from_millis(100);

pub(crate) struct Screen {
    choice: Choice,
    listed: Arc<Mutex<Listed>>,
    is_closed: Arc<AtomicBool>,
    drawing: Option<JoinHandle<io::Result<()>>>,
}

impl Screen {
    pub(crate) fn open(choice: Choice) -> anyhow::Result<Self> {
        let stdout = io::stdout();
        if !stdout.is_terminal() {
            bail!("--full-screen needs a terminal");
        }
        let is_coloured = anstream::AutoStream::choice(&stdout) != anstream::ColorChoice::Never;
        let terminal = ratatui::try_init().context("cannot use the terminal")?;
        let listed = Arc::new(Mutex::new(Listed::default()));
        let is_closed = Arc::new(AtomicBool::new(false));
        let drawing = {
            let (listed, is_closed) = (Arc::clone(&listed), Arc::clone(&is_closed));
            std::thread::spawn(move || {
                let drawn = drawing(terminal, &listed, &is_closed, is_coloured);
                is_closed.store(true, Ordering::Relaxed);
                ratatui::restore();
                drawn
            })
        };
        Ok(Self { choice, listed, is_closed, drawing: Some(drawing) })
    }

    /// Waits at the end of the input until the person closes the view.
    pub(crate) fn wait(mut self, errors: &[anyhow::Error]) -> anyhow::Result<()> {
        match errors.first() {
            Some(error) => self.listed().say(&format!("{error:#}")),
            None => self.listed().say("that was all"),
        }
        match self.drawing.take().map(JoinHandle::join) {
            Some(Ok(drawn)) => drawn.context("cannot use the terminal"),
            Some(Err(_)) => bail!("drawing panicked; please report this"),
            None => Ok(()),
        }
    }

    fn listed(&self) -> MutexGuard<'_, Listed> {
        lock(&self.listed)
    }
}

fn lock(listed: &Mutex<Listed>) -> MutexGuard<'_, Listed> {
    listed.lock().unwrap_or_else(PoisonError::into_inner)
}

fn drawing(
    mut terminal: ratatui::DefaultTerminal,
    listed: &Mutex<Listed>,
    is_closed: &AtomicBool,
    is_coloured: bool,
) -> io::Result<()> {
    while !is_closed.load(Ordering::Relaxed) {
        terminal.draw(|frame| draw::draw(&lock(listed), is_coloured, frame))?;
        if event::poll(REDRAWN)?
            && let Event::Key(key) = event::read()?
            && key.kind == KeyEventKind::Press
            && lock(listed).press(key).is_break()
        {
            return Ok(());
        }
    }
    Ok(())
}

impl View for Screen {
    fn show(&mut self, held: Held) -> io::Result<()> {
        let held = self.choice.of(held);
        self.listed().add(held);
        Ok(())
    }

    fn line(&mut self, line: &str) -> io::Result<()> {
        self.listed().add_line(line.to_owned());
        Ok(())
    }

    fn say(&mut self, text: &str) {
        self.listed().say(text);
    }

    fn is_open(&self) -> bool {
        !self.is_closed.load(Ordering::Relaxed)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // The terminal is restored after an error too.
        self.is_closed.store(true, Ordering::Relaxed);
        if let Some(drawing) = self.drawing.take() {
            drop(drawing.join());
        }
    }
}

#[cfg(test)]
mod tests;
