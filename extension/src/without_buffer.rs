//! The buffer of the direct output in the minimal extension, which has none.

use wire::Request;

#[derive(Clone)]
pub(crate) enum SharedBuffer {}

#[expect(dead_code, reason = "without a buffer nothing comes back from it")]
pub(crate) enum Unbuffered {
    Full(Request),
    Closed(Request),
}

impl SharedBuffer {
    pub(crate) fn put(&self, _: Request) -> Result<usize, Unbuffered> {
        match *self {}
    }

    pub(crate) fn put_partial(&self, _: Request) -> Result<usize, Unbuffered> {
        match *self {}
    }
}
