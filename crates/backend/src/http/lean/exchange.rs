//! One request and its response, over a reused or a new connection.

use super::Trouble;
use super::connection::{Connection, Connections, Sender};
use super::grpc;
use super::proxy;
use crate::http::HttpResponse;
use crate::http::response::BoundedBody;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use url::Url;

/// An exchange in flight. All callers share one type, because each copy of HTTP and TLS takes tens of kilobytes.
pub(super) type Exchange<'a> =
    Pin<Box<dyn Future<Output = Result<HttpResponse, Trouble>> + Send + 'a>>;

impl Connections {
    /// Performs one exchange and reads at most the given number of body bytes. If an idle connection turns out to be dead before
    /// anything is sent, the next one is used. `sent` tells whether the server may have the request.
    pub(super) fn exchange<'a>(
        &'a self,
        url: &'a Url,
        message: Request<Bytes>,
        most_bytes: usize,
        sent: &'a AtomicBool,
    ) -> Exchange<'a> {
        Box::pin(self.exchange_once(url, message, most_bytes, sent))
    }

    async fn exchange_once(
        &self,
        url: &Url,
        mut message: Request<Bytes>,
        most_bytes: usize,
        sent: &AtomicBool,
    ) -> Result<HttpResponse, Trouble> {
        let forwards = self.forwarding_proxy_of(url);
        if let Some(proxy) = forwards {
            proxy::address(&mut message, proxy, url)?;
        }
        loop {
            let idle = self.idle(url).await;
            let is_new = idle.is_none();
            let mut connection = match idle {
                Some(connection) => connection,
                None => self.open(url).await?,
            };
            sent.store(true, Ordering::Relaxed);
            match &mut connection.sender {
                Sender::Http1(sender) => {
                    match sender.try_send_request(message.clone().map(Full::new)).await {
                        Ok(response) => {
                            let refused = forwards.and_then(|_| proxy::refused(response.status()));
                            if let Some(refused) = refused {
                                sent.store(false, Ordering::Relaxed);
                                return Err(refused);
                            }
                            return self.read(url, connection, response, most_bytes).await;
                        }
                        Err(mut error) => {
                            let is_unsent = error.take_message().is_some();
                            sent.store(!is_unsent, Ordering::Relaxed);
                            if is_new || !is_unsent {
                                return Err(error.into_error().into());
                            }
                        }
                    }
                }
                Sender::Http2(sender) => {
                    let response = grpc::call(sender, message).await;
                    let response = response.map_err(|error| grpc::broken(is_new, error))?;
                    if !response.cut {
                        self.keep(url, connection);
                    }
                    return Ok(response);
                }
            }
        }
    }

    /// Reads the response up to the given number of body bytes, and keeps the connection if that is the whole body.
    async fn read(
        &self,
        url: &Url,
        connection: Connection,
        response: Response<Incoming>,
        most_bytes: usize,
    ) -> Result<HttpResponse, Trouble> {
        let (head, mut incoming) = response.into_parts();
        let mut body = BoundedBody::new(most_bytes);
        while let Some(frame) = incoming.frame().await {
            // Frames without data are trailers, which are not needed.
            let Ok(piece) = frame?.into_data() else { continue };
            if !body.take(&piece) {
                break;
            }
        }
        let cut = body.is_cut();
        if !cut {
            self.keep(url, connection);
        }
        let (status, headers) = (head.status.as_u16(), head.headers);
        Ok(HttpResponse { status, headers, body: body.into_bytes(), cut })
    }
}
