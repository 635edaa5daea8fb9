//! What sends to the destination: OTLP, and beside it events of the Telemetry API as they came; and the secret that both send.

use super::secret::{KeptSecret, Sending, sending};
use crate::config::Direct;
use backend::{
    Client, ClientError, Compression, DestinationConfig, LeanTransport, Protocol, RetryPolicy,
};

/// One attempt each: what is not taken waits for a later flush.
pub(super) struct Clients {
    pub(super) otlp: Sending,
    /// `None` where no events are sent as they came.
    pub(super) events: Option<Sending>,
    /// `None` where the destination has none.
    pub(super) secret: Option<KeptSecret>,
}

impl Clients {
    /// Prepares everything that needs no network.
    pub(super) fn new(direct: &Direct, is_json: bool) -> Result<Self, ClientError> {
        let Direct { destination, protocol, secrets, .. } = direct;
        let secret = KeptSecret::of(destination, secrets);
        let otlp = LeanTransport::by(destination, *protocol)?;
        let events = match destination.json_stream().filter(|_| is_json) {
            Some(destination) => {
                let transport = LeanTransport::of_events(&destination)?;
                Some(client(&destination, transport, true, secret.clone())?)
            }
            None => None,
        };
        let is_json = *protocol == Protocol::HttpJson;
        let otlp = client(destination, otlp, is_json, secret.clone())?;
        Ok(Self { otlp, events, secret })
    }
}

/// A client of this transport, which may make JSON of what it is given, and then compresses it itself.
fn client(
    destination: &DestinationConfig,
    transport: LeanTransport,
    makes_json: bool,
    secret: Option<KeptSecret>,
) -> Result<Sending, ClientError> {
    let compression = if makes_json { Compression::None } else { destination.compression };
    let destination = DestinationConfig { compression, ..destination.clone() };
    let client = Client::with_transport(&destination, transport)?;
    let client = client.with_retry_policy(RetryPolicy::default().once());
    Ok(sending(client, destination.headers, secret))
}
