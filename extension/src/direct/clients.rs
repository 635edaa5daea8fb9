//! What sends to the destination: OTLP, and beside it events of the Telemetry API as they came.

use crate::config::Direct;
use backend::{
    Client, ClientError, Compression, DestinationConfig, LeanTransport, Protocol, RetryPolicy,
};

/// One attempt each: what is not taken waits for a later flush.
pub(super) struct Clients {
    pub(super) otlp: Client<LeanTransport>,
    /// `None` where no events are sent as they came.
    pub(super) events: Option<Client<LeanTransport>>,
}

impl Clients {
    /// Prepares everything that needs no network.
    pub(super) fn new(direct: &Direct, is_json: bool) -> Result<Self, ClientError> {
        let Direct { destination, protocol, .. } = direct;
        let otlp = LeanTransport::by(destination, *protocol)?;
        let events = match destination.json_stream().filter(|_| is_json) {
            Some(destination) => {
                let transport = LeanTransport::of_events(&destination)?;
                Some(client(&destination, transport, true)?)
            }
            None => None,
        };
        let otlp = client(destination, otlp, *protocol == Protocol::HttpJson)?;
        Ok(Self { otlp, events })
    }
}

/// A client of this transport, which may make JSON of what it is given, and then compresses it itself.
fn client(
    destination: &DestinationConfig,
    transport: LeanTransport,
    makes_json: bool,
) -> Result<Client<LeanTransport>, ClientError> {
    let compression = if makes_json { Compression::None } else { destination.compression };
    let destination = DestinationConfig { compression, ..destination.clone() };
    let client = Client::with_transport(&destination, transport)?;
    Ok(client.with_retry_policy(RetryPolicy::default().once()))
}
