//! What is left of the extension once it has panicked too often: it asks for events, and answers whoever posts OTLP that it is not taken.
//! SDKs whose connections are refused try again, for ten seconds in each invocation.

use crate::lambda::answers::NextEvent;
use crate::lambda::extensions_api::{ApiError, ExtensionsApi, retrying};
use crate::tasks;
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy, sink};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// What is not sent again (OTLP 1.x, "OTLP/HTTP Response"). None of our code for HTTP has a part in it: that may have panicked.
const REFUSAL: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
const MOST_CONNECTIONS: usize = 64;
const MOST_BODY_BYTES: u64 = 64 << 20;
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(1);

/// Asks for events until SHUTDOWN, and does nothing else with them.
pub(super) async fn ask(api: &ExtensionsApi) -> Result<(), ApiError> {
    loop {
        if let NextEvent::Shutdown(_) = retrying(|| api.next()).await? {
            return Ok(());
        }
    }
}

/// Refuses what comes to these ports.
pub(super) async fn refuse(ports: &[u16]) {
    for port in ports {
        // Where somebody else has the port by now, he answers.
        if let Ok(socket) = TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).await {
            drop(tasks::spawn(serve(socket)));
        }
    }
}

async fn serve(socket: TcpListener) {
    let room = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    while let Ok(permit) = Arc::clone(&room).acquire_owned().await {
        let Ok((stream, _)) = socket.accept().await else {
            tokio::time::sleep(CONNECTION_TIMEOUT).await;
            continue;
        };
        drop(tasks::spawn(async move {
            drop(timeout(CONNECTION_TIMEOUT, answer(stream)).await);
            drop(permit);
        }));
    }
}

async fn answer(mut stream: TcpStream) -> io::Result<()> {
    // Whoever connects and says nothing has asked for nothing.
    if stream.read_u8().await.is_ok() {
        stream.write_all(REFUSAL).await?;
        stream.shutdown().await?;
        // With a part of the request unread the answer would get lost.
        copy(&mut stream.take(MOST_BODY_BYTES), &mut sink()).await?;
    }
    Ok(())
}
