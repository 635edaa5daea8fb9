//! The extension without the feature `secrets`.

use backend::DestinationConfig;
use settings::{Reader, Variable, shared};

pub(super) const SECRET_ROW: &[Variable] = &[];
pub(super) const SECRETS: &[Variable] = &[];
pub(super) const AWS: &[Variable] = &[shared::AWS_REGION];

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Secrets;

impl Secrets {
    pub(super) fn read(_: &mut Reader<'_>, _: Option<&DestinationConfig>) -> Self {
        Self
    }
}
