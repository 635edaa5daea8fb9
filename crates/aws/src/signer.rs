//! Signs requests that another client sends, such as OTLP to CloudWatch.

use crate::client::{AwsClient, NoResponse, sign_headers};
use crate::credentials::CredentialsProvider;
use crate::secret::AwsSecretsSettings;
use http::{HeaderMap, Method};
use settings::Secret;
use std::fmt::Debug;
use std::pin::Pin;
use std::time::SystemTime;
use tokio::time::Instant;
use url::Url;

/// Signs with the credentials of the function's role, or of a person's machine.
#[derive(Debug)]
pub struct RequestSigner {
    /// A trait object, because the extension never makes a signer, and so does not contain its code.
    signer: Box<dyn Sign>,
}

/// Ends with the session token, which a service may repeat in the description of a wrong signature.
pub type Signing<'a> =
    Pin<Box<dyn Future<Output = Result<Option<Secret>, NoResponse>> + Send + 'a>>;

trait Sign: Debug + Send + Sync {
    fn sign<'a>(
        &'a self,
        post: PostToSign<'a>,
        headers: &'a mut HeaderMap,
        deadline: Instant,
    ) -> Signing<'a>;
}

#[derive(Debug)]
struct CredentialsSigner {
    credentials: Option<CredentialsProvider>,
    /// Asks the endpoint of the environment for credentials.
    client: AwsClient,
}

/// A POST to a service.
#[derive(Debug, Clone, Copy)]
pub struct PostToSign<'a> {
    /// The service's name in signatures: `xray`.
    pub service: &'a str,
    pub region: &'a str,
    pub url: &'a Url,
    pub body: &'a [u8],
}

impl RequestSigner {
    /// Uses these credentials; `clock` gives the signing time.
    pub fn new(settings: &AwsSecretsSettings, clock: fn() -> SystemTime) -> Self {
        let credentials = settings.credentials.clone().map(CredentialsProvider::of);
        let client = AwsClient::new(clock, settings.proxy.clone());
        Self { signer: Box::new(CredentialsSigner { credentials, client }) }
    }

    /// Adds the signature with the current credentials, which are there before `deadline`, to a request's headers.
    pub fn sign<'a>(
        &'a self,
        post: PostToSign<'a>,
        headers: &'a mut HeaderMap,
        deadline: Instant,
    ) -> Signing<'a> {
        self.signer.sign(post, headers, deadline)
    }
}

impl Sign for CredentialsSigner {
    fn sign<'a>(
        &'a self,
        post: PostToSign<'a>,
        headers: &'a mut HeaderMap,
        deadline: Instant,
    ) -> Signing<'a> {
        Box::pin(self.add_signature(post, headers, deadline))
    }
}

impl CredentialsSigner {
    async fn add_signature(
        &self,
        post: PostToSign<'_>,
        headers: &mut HeaderMap,
        deadline: Instant,
    ) -> Result<Option<Secret>, NoResponse> {
        let Some(provider) = &self.credentials else {
            return Err(NoResponse::NoCredentials("there are no AWS credentials".to_owned()));
        };
        let credentials = provider
            .current(&self.client, deadline)
            .await
            .map_err(|error| NoResponse::NoCredentials(error.to_string()))?;
        let mut signature =
            sign_headers(&Method::POST, post, &credentials, self.client.wall_clock())?;
        // The client adds it.
        signature.remove(http::header::HOST);
        headers.extend(signature);
        Ok(credentials.session_token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Credentials, CredentialsSource};
    use std::time::{Duration, UNIX_EPOCH};

    #[tokio::test]
    async fn a_request_gets_the_headers_of_its_signature() {
        let credentials = Credentials {
            access_key_id: "AKIDEXAMPLE".to_owned(),
            secret_access_key: Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
            session_token: Some(Secret::new("token")),
        };
        let url = Url::parse("https://xray.eu-west-1.amazonaws.com/v1/traces").unwrap();
        let post = PostToSign { service: "xray", region: "eu-west-1", url: &url, body: b"spans" };
        let sign = async |credentials| {
            let settings = AwsSecretsSettings { credentials, ..AwsSecretsSettings::default() };
            let signer =
                RequestSigner::new(&settings, || UNIX_EPOCH + Duration::from_mins(24_015_636));
            let mut headers = HeaderMap::new();
            signer.sign(post, &mut headers, Instant::now()).await.map(|_| headers)
        };
        let signed = sign(Some(CredentialsSource::Variables(credentials))).await.unwrap();
        let text = |name: &str| signed[name].to_str().unwrap();
        assert_eq!(text("x-amz-date"), "20150830T123600Z");
        assert_eq!(text("x-amz-security-token"), "token");
        // Computed with botocore 1.44.8's SigV4Auth for the same request.
        assert_eq!(
            text("authorization"),
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/eu-west-1/xray/aws4_request, SignedHeaders=host;x-amz-date;x-amz-security-token, Signature=9b8bdd565b88e49addd4683550179c9e6c1d819d875ade5d3843b5e89dd1e8b0"
        );
        assert!(signed["authorization"].is_sensitive());
        let error = sign(None).await.unwrap_err();
        assert_eq!(error.to_string(), "there are no AWS credentials");
    }
}
