//! A fake of AWS's JSON protocols, which verifies signatures by the specification, independently of the client, and of the endpoint
//! of credentials.

use hmac::{Hmac, Mac as _};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Method, Request, Response};
use local_lambda::HttpServer;
use sha2::{Digest, Sha256};
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use url::Url;
use wire::ids::to_hex;

pub(crate) const SECRET_KEY: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

#[derive(Debug, Clone)]
pub(crate) enum ScriptedResponse {
    Is(u16, String),
    Closes,
    Never,
}

#[derive(Debug, Default)]
pub(crate) struct Fake {
    pub(crate) answers: Mutex<VecDeque<ScriptedResponse>>,
    pub(crate) requests: Mutex<Vec<FakeRequest>>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct FakeRequest {
    /// The operation; of a request for credentials the token.
    pub(crate) target: String,
    /// Empty in a request for credentials.
    pub(crate) region: String,
    pub(crate) body: String,
}

#[derive(Debug, thiserror::Error)]
#[error("the script closes the connection")]
struct Closed;

impl Fake {
    pub(crate) async fn start(
        answers: impl IntoIterator<Item = ScriptedResponse>,
    ) -> (Arc<Self>, Url) {
        let fake = Arc::new(Self {
            answers: Mutex::new(answers.into_iter().collect()),
            ..Self::default()
        });
        let serving = Arc::clone(&fake);
        let answer = move |request| {
            let fake = Arc::clone(&serving);
            async move { fake.answer(request).await }
        };
        let server = HttpServer::listen(0, answer).await.unwrap();
        let url = Url::parse(&format!("http://{}/", server.address())).unwrap();
        // It ends with the runtime.
        std::mem::forget(server);
        (fake, url)
    }

    /// An error closes the connection.
    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Closed> {
        let (head, incoming) = request.into_parts();
        let bytes = incoming.collect().await.unwrap().to_bytes();
        let header = |name: &str| head.headers.get(name).unwrap().to_str().unwrap().to_owned();
        let body = String::from_utf8(bytes.to_vec()).unwrap();
        let request = if head.method == Method::GET {
            FakeRequest { target: header("authorization"), region: String::new(), body }
        } else {
            let region = check_signature(&head, &bytes);
            FakeRequest { target: header("x-amz-target"), region, body }
        };
        self.requests.lock().unwrap().push(request);
        let answer = self.answers.lock().unwrap().pop_front().unwrap();
        match answer {
            ScriptedResponse::Is(status, body) => {
                let mut response = Response::builder().status(status);
                if (300..400).contains(&status) {
                    response = response.header("location", "/elsewhere");
                }
                Ok(response.body(Full::from(body)).unwrap())
            }
            ScriptedResponse::Closes => Err(Closed),
            ScriptedResponse::Never => std::future::pending().await,
        }
    }
}

/// AWS "Create a signed AWS API request", steps 1 to 4. Returns the signed region.
fn check_signature(head: &hyper::http::request::Parts, body: &[u8]) -> String {
    let header = |name: &str| head.headers.get(name).unwrap().to_str().unwrap().to_owned();
    let authorization = header("authorization");
    let field = |name: &str| {
        let after = authorization.split_once(&format!("{name}=")).unwrap().1;
        after.split(", ").next().unwrap().to_owned()
    };
    let credential = field("Credential");
    let signed = field("SignedHeaders");
    let signature = field("Signature");
    for needed in ["content-type", "host", "x-amz-date", "x-amz-security-token", "x-amz-target"] {
        assert!(signed.split(';').any(|name| name == needed), "{needed} is not signed: {signed}");
    }
    let mut canonical = format!("{}\n{}\n\n", head.method, head.uri.path());
    for name in signed.split(';') {
        writeln!(canonical, "{name}:{}", header(name).trim()).unwrap();
    }
    write!(canonical, "\n{signed}\n{}", to_hex(&Sha256::digest(body))).unwrap();
    let scope = credential.split_once('/').unwrap().1;
    let to_sign = format!(
        "AWS4-HMAC-SHA256\n{}\n{scope}\n{}",
        header("x-amz-date"),
        to_hex(&Sha256::digest(canonical))
    );
    let mut key = format!("AWS4{SECRET_KEY}").into_bytes();
    for part in scope.split('/') {
        key = hmac(&key, part.as_bytes());
    }
    assert_eq!(signature, to_hex(&hmac(&key, to_sign.as_bytes())));
    scope.split('/').nth(1).unwrap().to_owned()
}

fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.chain_update(text).finalize().into_bytes().to_vec()
}
