use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

/// Returns a port of loopback without a listener, below those that the kernel gives to clients: until a program listens there, no
/// connection takes it.
#[must_use]
pub fn free_port() -> u16 {
    const FIRST: u16 = 10_000;
    const COUNT: u16 = 20_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        let offset = std::process::id() * 64 + u32::from(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = u16::try_from(offset % u32::from(COUNT)).map_or(FIRST, |offset| FIRST + offset);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
