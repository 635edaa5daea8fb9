//! The connections of AWS's SDK, which loads credentials: by our own client, so that the program has one way to AWS.

use ::aws::{AwsHttpRequest, Caller, NoResponse, RequestSender as _, ReqwestTransport};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use http::{HeaderName, HeaderValue, Method};
use settings::{Env, InvalidSettings, Proxy, Reader, Table};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;
use url::Url;

/// Services answer a request for credentials with a few hundred bytes.
const MAX_RESPONSE_BYTES: usize = 1 << 20;
/// For settings without a limit. An instance's metadata has one second.
const LONGEST: Duration = Duration::from_secs(15);

#[derive(Debug)]
pub(super) struct OwnHttpClient {
    transport: Arc<ReqwestTransport>,
}

impl OwnHttpClient {
    pub(super) fn shared(proxy: Option<Proxy>) -> SharedHttpClient {
        let transport = ReqwestTransport::new(Caller::Terminal, proxy, 1);
        SharedHttpClient::new(Self { transport: Arc::new(transport) })
    }
}

/// Reads the proxy of this machine's variables.
pub(super) fn read_proxy() -> Result<Option<Proxy>, InvalidSettings> {
    let mut reader = Reader::new(&Env, Table::new(&[settings::PROXY]));
    let proxy = Proxy::read(&mut reader);
    InvalidSettings::check(reader.finish())?;
    Ok(proxy)
}

impl HttpClient for OwnHttpClient {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let connect = settings.connect_timeout();
        let read = settings.read_timeout();
        let longest = connect.zip(read).map_or(LONGEST, |(connect, read)| connect + read);
        SharedHttpConnector::new(Connector { transport: Arc::clone(&self.transport), longest })
    }
}

#[derive(Debug)]
struct Connector {
    transport: Arc<ReqwestTransport>,
    longest: Duration,
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let transport = Arc::clone(&self.transport);
        let longest = self.longest;
        HttpConnectorFuture::new(async move {
            timeout(longest, exchange(&transport, request))
                .await
                .unwrap_or_else(|late| Err(ConnectorError::timeout(late.into())))
        })
    }
}

async fn exchange(
    transport: &ReqwestTransport,
    request: HttpRequest,
) -> Result<HttpResponse, ConnectorError> {
    let invalid = |text: &'static str| ConnectorError::user(text.into());
    let url = Url::parse(request.uri()).map_err(|error| ConnectorError::user(error.into()))?;
    let method = Method::from_bytes(request.method().as_bytes())
        .map_err(|error| ConnectorError::user(error.into()))?;
    let mut headers = http::HeaderMap::new();
    for (name, value) in request.headers() {
        let name = HeaderName::from_bytes(name.as_bytes());
        let value = HeaderValue::from_str(value);
        let (Ok(name), Ok(mut value)) = (name, value) else {
            return Err(invalid("a header with characters that none may have"));
        };
        value.set_sensitive(true);
        headers.append(name, value);
    }
    let body = request.body().bytes().ok_or_else(|| invalid("a body that streams"))?.to_vec();
    let request =
        AwsHttpRequest { method, url: &url, headers, body, max_response_bytes: MAX_RESPONSE_BYTES };
    let answered = transport.send(request).await.map_err(|error| match error {
        NoResponse::NotMade(_) => ConnectorError::user(error.into()),
        _ => ConnectorError::io(error.into()),
    })?;
    let status =
        answered.status.try_into().map_err(|_| invalid("an answer with a status of none"))?;
    let mut response = HttpResponse::new(status, SdkBody::from(answered.body));
    for (name, value) in &answered.headers {
        if let Ok(value) = value.to_str() {
            response.headers_mut().append(name.as_str().to_owned(), value.to_owned());
        }
    }
    Ok(response)
}
