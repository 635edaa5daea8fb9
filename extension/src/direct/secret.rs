//! The destination's credentials where they are kept elsewhere: read while the function starts, and again when they are old or refused.

use crate::clock;
use crate::config::{Direct, Secrets};
use crate::tasks;
use aws::{AwsClient, AwsSecrets, CachedSecret};
use backend::{Authorized, AwsTransport, Client, DestinationConfig, LeanTransport, read_secret};
use settings::{Check, Headers};
use std::sync::Arc;

/// Sends to the destination, with the credentials that are kept for it.
pub(super) type Sending = Authorized<LeanTransport>;

/// The secret, which all clients of the destination share.
#[derive(Clone)]
pub(super) struct KeptSecret(Arc<CachedSecret<AwsSecrets>>);

impl KeptSecret {
    /// That of this destination, if it has one; nothing is read yet.
    pub(super) fn of(
        destination: &DestinationConfig,
        Secrets { settings, lifetime }: &Secrets,
    ) -> Option<Self> {
        let reference = destination.secret.clone()?;
        let client = AwsClient::by(AwsTransport::new(settings.proxy.clone()), clock::now);
        let service = AwsSecrets::by(client, settings.clone());
        Some(Self(Arc::new(CachedSecret::new(service, reference, *lifetime))))
    }

    /// Reads it beside all else. The function's init takes longer mostly. Where it does not, or a freeze breaks it, the first flush
    /// waits for the secret within its own time.
    pub(super) fn read_ahead(self) {
        drop(tasks::spawn(async move { drop(self.0.current().await) }));
    }
}

/// The client, with this secret in place of the authorization of `headers`.
pub(super) fn sending(
    client: Client<LeanTransport>,
    headers: Headers,
    secret: Option<KeptSecret>,
) -> Sending {
    Authorized::with_client(client, headers, secret.map(|secret| secret.0))
}

/// Makes new connections from now on.
pub(super) fn drop_connections(sending: &Sending) {
    drop(sending.client().drop_connections());
}

/// Reads the destination's secret for a person, if it has one, and puts it among the headers.
pub(super) async fn check(direct: &mut Direct) -> Option<Check> {
    let KeptSecret(secret) = KeptSecret::of(&direct.destination, &direct.secrets)?;
    Some(match read_secret(&mut direct.destination, &secret).await {
        Ok(()) => Check::ok("secret", format!("{} can be read", secret.reference())),
        Err(problem) => Check::failed("secret", problem),
    })
}
