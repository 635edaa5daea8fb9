//! The exporter's own log: single lines on stderr, which Lambda ships like any log line.

use super::stdout::wait_until_writable;
use std::os::fd::AsFd;
use std::time::Duration;

/// Writes one line, or nothing if stderr is closed or full, because the exporter's own log must not disturb the function.
pub(crate) fn warn(text: &str) {
    print(&format!("lambda-otlp-exporter: {text}"));
}

/// Writes a line of the application as it is.
pub(crate) fn print(text: &str) {
    write_if_writable(std::io::stderr(), text);
}

/// Writes without the lock of `eprintln!`, whose holder may be waiting for stderr's reader. Skips the line if a write would
/// block.
fn write_if_writable(fd: impl AsFd, text: &str) {
    let line = format!("{}\n", text.replace('\n', " "));
    if wait_until_writable(&fd, line.len(), Duration::ZERO).is_ok() {
        rustix::io::write(&fd, line.as_bytes()).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::{Read as _, Write as _};

    #[test]
    fn a_full_stderr_is_not_awaited() {
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        let mut reader = File::from(reader);
        let mut writer = File::from(writer);
        writer.write_all(&vec![b'x'; 64 * 1024]).unwrap();
        write_if_writable(&writer, "would wait");
        drop(writer);
        let mut all = Vec::new();
        reader.read_to_end(&mut all).unwrap();
        assert_eq!(all.len(), 64 * 1024);
    }
}
