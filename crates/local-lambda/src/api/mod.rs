//! The HTTP APIs that Lambda gives to the processes of an environment: Runtime API, Extensions API, Telemetry API.

mod calls;
mod requests;
pub(crate) mod server;

use crate::http_server::HttpServer;
use crate::lock;
use http::StatusCode;
use server::Answer;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::sync::{mpsc, oneshot};

pub(crate) use calls::{
    Call, CallKind, InvocationEvent, PostedResponse, Refused, Reply, answer, refusal,
};

/// The API of one environment, at the same port for all of its processes.
#[derive(Debug)]
pub(crate) struct RuntimeApi {
    server: HttpServer,
    current: Arc<Mutex<mpsc::Sender<Call>>>,
}

impl RuntimeApi {
    pub(crate) async fn start() -> io::Result<Self> {
        let (sender, _) = mpsc::channel(1);
        let current = Arc::new(Mutex::new(sender));
        let of_server = Arc::clone(&current);
        let server = HttpServer::start(move |request| {
            let calls = lock(&of_server).clone();
            async move {
                match requests::read(request).await {
                    Ok(kind) => make_call(&calls, kind).await,
                    Err(refused) => refused,
                }
            }
        });
        Ok(Self { server: server.await?, current })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Returns the calls of new processes. The former receiver gets none from now on. Dropping the new one ends all calls that
    /// still wait.
    pub(crate) fn reopen_calls(&self) -> mpsc::Receiver<Call> {
        let (sender, calls) = mpsc::channel(64);
        *lock(&self.current) = sender;
        calls
    }
}

/// Makes a call and waits for the answer without a time limit, because the caller may be frozen meanwhile.
async fn make_call(calls: &mpsc::Sender<Call>, kind: CallKind) -> Answer {
    let (reply, answer) = oneshot::channel();
    // A call that cannot be sent is not answered.
    drop(calls.send(Call { kind, reply }).await);
    // After the end of the environment, the answer makes the runtime exit (AWS Lambda "runtime API": 500, non-recoverable).
    answer.await.unwrap_or_else(|_| {
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        server::error(status, "InternalServerError", "the environment has ended")
    })
}
