//! The clients of the destination: one for OTLP, one for unchanged events of the Telemetry API, and the secret of both.

use super::secret::{KeptSecret, Sending, sending};
use crate::config::Direct;
use backend::{
    Client, ClientError, Compression, DestinationConfig, LeanTransport, Protocol, RetryPolicy,
};

/// Each client makes one attempt. A later flush repeats failed requests.
pub(crate) struct Clients {
    pub(crate) otlp: Sending,
    /// `None` unless unchanged events are sent.
    pub(crate) events: Option<Sending>,
    /// `None` if the destination has no secret.
    pub(crate) secret: Option<KeptSecret>,
}

impl Clients {
    /// Makes the clients, without using the network.
    pub(crate) fn new(direct: &Direct, is_json: bool) -> Result<Self, ClientError> {
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

/// Makes a client. A transport that makes JSON compresses its bodies itself.
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
