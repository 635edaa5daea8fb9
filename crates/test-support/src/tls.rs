//! TLS in front of a [`FakeOpenObserve`], for tests: an own certificate authority, valid and expired certificates, real
//! handshakes. Panics if it cannot start.

#![expect(clippy::unwrap_used, reason = "a failure here is a mistake in a test")]

use crate::openobserve::FakeOpenObserve;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// `localhost`, and names that only a proxy knows.
const NAMES: [&str; 4] = ["localhost", "o2.internal", "aws.internal", "*.eu-west-1.amazonaws.com"];

pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    is_server: bool,
    /// The names of servers that it signs for.
    names: Vec<String>,
}

impl Authority {
    /// One of this name, with a key of its own.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        Self::self_signed(params, false)
    }

    /// The same for servers of these names alone.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn of_names(name: &str, names: &[&str]) -> Self {
        Self { names: names.iter().copied().map(str::to_owned).collect(), ..Self::new(name) }
    }

    /// A server that signed its own certificate, which is an authority's too, as `openssl req -x509` makes it. It is valid until
    /// this year begins.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn of_server(until_year: i32) -> Self {
        Self::self_signed(server(NAMES.map(str::to_owned), until_year), true)
    }

    fn self_signed(mut params: CertificateParams, is_server: bool) -> Self {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let issuer = CertifiedIssuer::self_signed(params, key).unwrap();
        Self { issuer, is_server, names: NAMES.map(str::to_owned).to_vec() }
    }

    /// Its certificate, as `LAMBDA_OTLP_CA_FILE` has it.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A server with a certificate that is valid until this year begins: this one, if it is a server's, or another that it signs.
    fn server_config(&self, until_year: i32) -> ServerConfig {
        let (certificate, key) = if self.is_server {
            (self.issuer.der().clone(), self.issuer.key().serialize_der())
        } else {
            let key = KeyPair::generate().unwrap();
            let params = server(self.names.clone(), until_year);
            let certificate = params.signed_by(&key, &self.issuer).unwrap();
            (certificate.der().clone(), key.serialize_der())
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], PrivateKeyDer::Pkcs8(key.into()))
            .unwrap()
    }
}

fn server(names: impl Into<Vec<String>>, until_year: i32) -> CertificateParams {
    let mut params = CertificateParams::new(names).unwrap();
    params.not_after = date_time_ymd(until_year, 1, 1);
    params
}

#[derive(Debug)]
pub struct TlsFront {
    port: u16,
    handshakes: Arc<AtomicUsize>,
}

impl TlsFront {
    /// `localhost`, with a certificate of this authority that is valid until this year begins.
    ///
    /// # Panics
    /// When there is no free port.
    pub async fn start(fake: &FakeOpenObserve, authority: &Authority, until_year: i32) -> Self {
        Self::speaking(fake.address(), authority, until_year, &[]).await
    }

    /// The same before a server that speaks these protocols alone, by their names in TLS (RFC 7301): `h2`, `http/1.1`. Without a
    /// protocol there is no ALPN.
    ///
    /// # Panics
    /// When there is no free port.
    pub async fn speaking(
        address: SocketAddr,
        authority: &Authority,
        until_year: i32,
        protocols: &[&str],
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut config = authority.server_config(until_year);
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let handshakes = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&handshakes);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let acceptor = acceptor.clone();
                let counted = Arc::clone(&counted);
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else {
                        return;
                    };
                    counted.fetch_add(1, Ordering::Relaxed);
                    let mut backend = TcpStream::connect(address).await.unwrap();
                    drop(copy_bidirectional(&mut stream, &mut backend).await);
                });
            }
        });
        Self { port, handshakes }
    }

    /// The port on `localhost`.
    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn handshakes(&self) -> usize {
        self.handshakes.load(Ordering::Relaxed)
    }
}
