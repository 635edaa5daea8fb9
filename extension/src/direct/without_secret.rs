//! An extension that reads no credentials that are kept elsewhere.

#![expect(clippy::unused_async, reason = "the one that is there waits")]

use crate::config::{Direct, Secrets};
use backend::{Client, DestinationConfig, LeanTransport};
use settings::{Check, Headers};

pub(super) type Sending = Client<LeanTransport>;

#[derive(Clone)]
pub(super) enum KeptSecret {}

impl KeptSecret {
    pub(super) fn of(_: &DestinationConfig, _: &Secrets) -> Option<Self> {
        None
    }

    pub(super) fn read_ahead(self) {
        match self {}
    }
}

pub(super) fn sending(client: Client<LeanTransport>, _: Headers, _: Option<KeptSecret>) -> Sending {
    client
}

pub(super) fn drop_connections(sending: &Sending) {
    drop(sending.drop_connections());
}

pub(super) async fn check(_: &mut Direct) -> Option<Check> {
    None
}
