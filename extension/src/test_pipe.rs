//! A pipe in place of stdout, for tests.

use std::io::{self, ErrorKind, Write};
use std::sync::{Arc, Condvar, Mutex};
use wire::Limits;

/// A pipe with a slow or missing reader.
#[derive(Clone, Default)]
pub(crate) struct Pipe(Arc<(Mutex<Content>, Condvar)>);

#[derive(Default)]
struct Content {
    bytes: Vec<u8>,
    is_full: bool,
    /// Number of writes that a full pipe still takes.
    room: usize,
    /// The troubles of the next calls, last first.
    troubles: Vec<Trouble>,
}

#[derive(Clone, Copy)]
pub(crate) enum Trouble {
    Error(ErrorKind),
    /// The pipe accepts only this number of bytes.
    Part(usize),
    /// Like `Part`, and then the writer panics.
    Panic(usize),
    /// The bytes are accepted, but the flush after them fails.
    Flush(ErrorKind),
}

impl Pipe {
    pub(crate) fn troubled(troubles: &[Trouble]) -> Self {
        let pipe = Self::default();
        pipe.0.0.lock().unwrap().troubles = troubles.iter().rev().copied().collect();
        pipe
    }

    /// Stops or resumes reading.
    pub(crate) fn fill(&self, is_full: bool) {
        self.0.0.lock().unwrap().is_full = is_full;
        self.0.1.notify_all();
    }

    pub(crate) fn take_one_line(&self) {
        self.0.0.lock().unwrap().room += 1;
        self.0.1.notify_all();
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.0.lock().unwrap().bytes.clone()).unwrap()
    }

    /// Items of each line.
    pub(crate) fn items(&self) -> Vec<usize> {
        let items = |line| {
            let reading = wire::read_line(line, &Limits::default()).unwrap();
            reading.decoded.iter().map(wire::Request::items).sum()
        };
        self.text().lines().map(items).collect()
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let state = self.0.0.lock().unwrap();
        let is_full = |state: &mut Content| state.is_full && state.room == 0;
        let mut state = self.0.1.wait_while(state, is_full).unwrap();
        state.room = state.room.saturating_sub(1);
        let trouble = state.troubles.pop_if(|trouble| !matches!(trouble, Trouble::Flush(_)));
        let length = match trouble {
            Some(Trouble::Error(kind)) => return Err(kind.into()),
            Some(Trouble::Part(length) | Trouble::Panic(length)) => length,
            Some(Trouble::Flush(_)) | None => bytes.len(),
        };
        state.bytes.extend_from_slice(&bytes[..length]);
        drop(state);
        if matches!(trouble, Some(Trouble::Panic(_))) {
            // Without the hook: on a busy machine, printing a backtrace takes longer than a full pipe may.
            std::panic::resume_unwind(Box::new("on purpose"));
        }
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut state = self.0.0.lock().unwrap();
        match state.troubles.pop_if(|trouble| matches!(trouble, Trouble::Flush(_))) {
            Some(Trouble::Flush(kind)) => Err(kind.into()),
            _ => Ok(()),
        }
    }
}
