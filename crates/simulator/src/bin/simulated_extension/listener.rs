//! Takes the telemetry that Lambda posts, and remembers it.

use std::collections::VecDeque;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use crate::Record;

pub(crate) struct Listener {
    port: u16,
    received: Arc<Received>,
}

struct Received {
    record: Record,
    /// How the next requests are answered; the last status stays.
    statuses: Mutex<VecDeque<u16>>,
    batches: Mutex<Vec<String>>,
    changed: Condvar,
}

impl Listener {
    pub(crate) fn start(record: Record, statuses: VecDeque<u16>) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let received = Arc::new(Received {
            record,
            statuses: Mutex::new(statuses),
            batches: Mutex::default(),
            changed: Condvar::new(),
        });
        let accepting = Arc::clone(&received);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let received = Arc::clone(&accepting);
                // A request that breaks off is Lambda's to repeat.
                std::thread::spawn(move || received.take(stream).ok());
            }
        });
        Ok(Self { port, received })
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Waits until an event of this type came that is about this request.
    pub(crate) fn wait_for(&self, kind: &str, request_id: &str) {
        let event = format!("\"type\":\"{kind}\",\"record\":{{\"requestId\":\"{request_id}\"");
        let batches = self.received.batches.lock().unwrap_or_else(PoisonError::into_inner);
        drop(
            self.received
                .changed
                .wait_while(batches, |batches| !batches.iter().any(|batch| batch.contains(&event))),
        );
    }
}

impl Received {
    fn take(&self, mut stream: TcpStream) -> io::Result<()> {
        let mut reader = BufReader::new(stream.try_clone()?);
        let (mut line, mut length) = (String::new(), 0);
        while reader.read_line(&mut line)? > 2 {
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().map_err(io::Error::other)?;
            }
            line.clear();
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let body = String::from_utf8_lossy(&body).into_owned();
        let status = {
            let mut statuses = self.statuses.lock().unwrap_or_else(PoisonError::into_inner);
            let status = statuses.front().copied().unwrap_or(200);
            if statuses.len() > 1 {
                statuses.pop_front();
            }
            status
        };
        let what = if status == 200 { "batch" } else { "refused" };
        self.record.write(&format!("{what} {body}"));
        write!(
            stream,
            "HTTP/1.1 {status} As told\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        )?;
        if status == 200 {
            self.batches.lock().unwrap_or_else(PoisonError::into_inner).push(body);
            self.changed.notify_all();
        }
        Ok(())
    }
}
