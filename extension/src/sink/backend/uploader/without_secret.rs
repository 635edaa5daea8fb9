//! The extension without the feature `secrets`: credentials are variables.

#![expect(clippy::unused_async, reason = "the counterpart with secrets waits")]

use crate::config::{Direct, Secrets};
use backend::{Client, DestinationConfig, LeanTransport};
use settings::{Check, Headers};

pub(crate) type Sending = Client<LeanTransport>;

#[derive(Clone)]
pub(crate) enum KeptSecret {}

impl KeptSecret {
    pub(crate) fn of(_: &DestinationConfig, _: &Secrets) -> Option<Self> {
        None
    }

    pub(crate) fn read_ahead(self) {
        match self {}
    }
}

pub(crate) fn sending(client: Client<LeanTransport>, _: Headers, _: Option<KeptSecret>) -> Sending {
    client
}

pub(crate) fn drop_connections(sending: &Sending) {
    drop(sending.drop_connections());
}

pub(crate) async fn check(_: &mut Direct) -> Option<Check> {
    None
}
