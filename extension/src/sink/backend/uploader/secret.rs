//! Reads the destination's credentials from Secrets Manager or the parameter store: while the function starts, and again when
//! they are old or refused.

use crate::clock;
use crate::config::{Direct, Secrets};
use crate::tasks;
use aws::{AwsClient, AwsSecrets, CachedSecret};
use backend::{Authorized, AwsTransport, Client, DestinationConfig, LeanTransport, read_secret};
use settings::{Check, Headers};
use std::sync::Arc;

/// A client with the stored credentials.
pub(crate) type Sending = Authorized<LeanTransport>;

/// The secret that all clients of the destination share.
#[derive(Clone)]
pub(crate) struct KeptSecret(Arc<CachedSecret<AwsSecrets>>);

impl KeptSecret {
    /// Returns the secret of a destination, if it has one, without reading it.
    pub(crate) fn of(
        destination: &DestinationConfig,
        Secrets { settings, lifetime }: &Secrets,
    ) -> Option<Self> {
        let reference = destination.secret.clone()?;
        let client = AwsClient::by(AwsTransport::new(settings.proxy.clone()), clock::now);
        let service = AwsSecrets::by(client, settings.clone());
        Some(Self(Arc::new(CachedSecret::new(service, reference, *lifetime))))
    }

    /// Reads the secret in the background. The function's init mostly takes longer. If it does not, or a freeze interrupts the
    /// read, the first flush waits for the secret within its own time limit.
    pub(crate) fn read_ahead(self) {
        drop(tasks::spawn(async move { drop(self.0.current().await) }));
    }
}

/// Makes a client that sends this secret in place of the authorization in `headers`.
pub(crate) fn sending(
    client: Client<LeanTransport>,
    headers: Headers,
    secret: Option<KeptSecret>,
) -> Sending {
    Authorized::with_client(client, headers, secret.map(|secret| secret.0))
}

/// Opens new connections from now on.
pub(crate) fn drop_connections(sending: &Sending) {
    drop(sending.client().drop_connections());
}

/// Reads the destination's secret, if it has one, and adds it to the headers.
pub(crate) async fn check(direct: &mut Direct) -> Option<Check> {
    let KeptSecret(secret) = KeptSecret::of(&direct.destination, &direct.secrets)?;
    Some(match read_secret(&mut direct.destination, &secret).await {
        Ok(()) => Check::ok("secret", format!("{} can be read", secret.reference())),
        Err(problem) => Check::failed("secret", problem),
    })
}
