//! The exporter's own log: single lines on stderr, which Lambda ships like any log line.

use super::stdout::wait_until_writable;
use std::os::fd::AsFd;
use std::time::Duration;

/// A pipe accepts up to this many bytes atomically (pipe(7), PIPE_BUF).
const LONGEST: usize = 4096;

/// Writes one line, or nothing if stderr is closed or full, because the exporter's own log must not disturb the function.
pub(crate) fn warn(text: &str) {
    write_if_writable(std::io::stderr(), text);
}

/// Writes without the lock of `eprintln!`, whose holder may be waiting for stderr's reader. Skips the line if a write would
/// block.
fn write_if_writable(fd: impl AsFd, text: &str) {
    let mut line = format!("lambda-otlp-exporter: {}", text.replace('\n', " "));
    let cut = (0..LONGEST).rev().find(|cut| line.is_char_boundary(*cut) || *cut > line.len());
    line.truncate(cut.unwrap_or_default());
    line.push('\n');
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
    fn long_stderr_lines_are_truncated_and_full_pipes_never_block() {
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        let (mut reader, mut writer) = (File::from(reader), File::from(writer));
        write_if_writable(&writer, &"é".repeat(3000));
        let mut read = [0; 8192];
        let cut = reader.read(&mut read).unwrap();
        assert!(cut <= LONGEST && std::str::from_utf8(&read[..cut]).unwrap().ends_with("é\n"));
        writer.write_all(&vec![b'x'; 64 * 1024]).unwrap();
        write_if_writable(&writer, "would wait");
        drop(writer);
        let mut all = Vec::new();
        reader.read_to_end(&mut all).unwrap();
        assert_eq!(all.len(), 64 * 1024);
    }
}
