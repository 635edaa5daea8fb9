//! What sends to the destination: OTLP, and beside it events of the Telemetry API as they came.

use backend::{Client, ClientError, Compression, DestinationConfig, LeanTransport, RetryPolicy};

/// One attempt each: what is not taken waits for a later flush.
pub(super) struct Clients {
    pub(super) otlp: Client<LeanTransport>,
    /// `None` where no events are sent as they came.
    pub(super) events: Option<Client<LeanTransport>>,
}

impl Clients {
    /// Prepares everything that needs no network.
    pub(super) fn new(destination: &DestinationConfig, is_json: bool) -> Result<Self, ClientError> {
        let once = RetryPolicy::default().once();
        let transport = LeanTransport::new(destination)?;
        let otlp = Client::with_transport(destination, transport)?.with_retry_policy(once);
        let events = match destination.json_stream().filter(|_| is_json) {
            Some(destination) => {
                let transport = LeanTransport::of_events(&destination)?;
                let uncompressed =
                    DestinationConfig { compression: Compression::None, ..destination };
                let client = Client::with_transport(&uncompressed, transport)?;
                Some(client.with_retry_policy(once))
            }
            None => None,
        };
        Ok(Self { otlp, events })
    }
}
