//! The destination's headers in HTTP's form.

use super::ClientError;
use http::{HeaderMap, HeaderName, HeaderValue};
use settings::Headers;

/// Converts a destination's headers and marks their values as secrets.
pub fn header_map(headers: &Headers) -> Result<HeaderMap, ClientError> {
    let mut map = HeaderMap::new();
    for (name, value) in headers.iter() {
        let invalid = || ClientError::Header { name: name.to_owned() };
        let mut value =
            HeaderValue::from_bytes(value.expose().as_bytes()).map_err(|_| invalid())?;
        value.set_sensitive(true);
        map.append(HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid())?, value);
    }
    Ok(map)
}
