//! Keeps credentials out of texts that come from a backend: some servers repeat a request in their error pages.

use crate::destination::Destination;
use settings::Secret;
use std::borrow::Cow;
use url::{Url, form_urlencoded};

/// Shorter values are no credentials, and words of any text.
const SHORTEST_BYTES: usize = 6;

/// The texts that must not come back.
#[derive(Debug, Clone, Default)]
pub(crate) struct Mask(Vec<Secret>);

impl Mask {
    /// The header values, of `Basic …` the credentials alone too, and what the endpoints' queries and user parts hold.
    pub(crate) fn of(destination: &Destination) -> Self {
        let mut texts = Vec::new();
        for (_, value) in destination.headers.iter() {
            let value = value.expose().trim();
            texts.push(value.to_owned());
            texts.extend(value.rsplit(' ').next().map(str::to_owned));
        }
        for url in destination.endpoints.iter() {
            add_texts_of(url, &mut texts);
        }
        texts.retain(|text| text.len() >= SHORTEST_BYTES);
        // The longest first: one may be a part of another.
        texts.sort_unstable_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        texts.dedup();
        Self(texts.into_iter().map(Secret::new).collect())
    }

    /// The text with `****` in their place.
    pub(crate) fn apply<'a>(&self, text: Cow<'a, str>) -> Cow<'a, str> {
        self.0.iter().fold(text, |text, secret| {
            if text.contains(secret.expose()) {
                text.replace(secret.expose(), "****").into()
            } else {
                text
            }
        })
    }
}

/// As written, and decoded.
fn add_texts_of(url: &Url, texts: &mut Vec<String>) {
    texts.extend(url.password().map(str::to_owned));
    let query = url.query().unwrap_or_default();
    texts.extend(query.split('&').filter_map(|pair| Some(pair.split_once('=')?.1.to_owned())));
    texts.extend(form_urlencoded::parse(query.as_bytes()).map(|(_, value)| value.into_owned()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_values_queries_and_passwords_are_masked() {
        let base = "https://user:pass-word@h/x?token=s3%2Bcret&v=1&flag";
        let mut destination = Destination::new(&Url::parse(base).unwrap());
        destination.headers.push("authorization", "Basic c2VjcmV0").unwrap();
        destination.headers.push("x-key", "c2VjcmV0-and-more").unwrap();
        let mask = Mask::of(&destination);
        let check = |text: &str, expected| assert_eq!(mask.apply(text.into()), expected);
        check("got Basic c2VjcmV0, c2VjcmV0", "got ****, ****");
        check("got c2VjcmV0-and-more", "got ****");
        check("GET /x?token=s3%2Bcret&v=1", "GET /x?token=****&v=1");
        check("token s3+cret", "token ****");
        check("pass-word", "****");
        check("nothing of it", "nothing of it");
        assert!(!format!("{mask:?}").contains("c2V"));
    }
}
