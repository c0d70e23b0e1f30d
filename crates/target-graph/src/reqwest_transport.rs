//! HTTP by reqwest: rustls with aws-lc-rs, the machine's trust store or a private authority, pooled connections. No redirects, no
//! cookies, no repeats, no proxies from the environment, and no address that the egress rules deny, whatever a
//! name resolves to.

use std::error::Error as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls_platform_verifier::BuilderVerifierExt as _;
use secrecy::ExposeSecret as _;
use syncbridge_domain::failure::{Failure, Scope};

use crate::codes;
use crate::egress::is_denied_address;
use crate::transport::{
    HttpRequest, HttpResponse, Method, Sent, Transport, TransportError, TransportErrorKind,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
const IDLE_PER_HOST: usize = 16;

/// Speaks HTTP. Clones share connections.
#[derive(Clone, Debug)]
pub struct ReqwestTransport {
    client: reqwest::Client,
}

/// A name resolved to nothing that may be sent to.
#[derive(Debug, thiserror::Error)]
#[error("every address of the name is denied by the egress rules")]
struct Denied;

/// Resolves names by the system and drops denied addresses.
struct GuardedResolver;

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let any = !found.is_empty();
            let allowed: Vec<SocketAddr> = found
                .into_iter()
                .filter(|address| !is_denied_address(address.ip()))
                .collect();
            if any && allowed.is_empty() {
                return Err(Denied.into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

impl ReqwestTransport {
    /// A transport that believes the machine's trust store; no connection is made yet.
    ///
    /// # Errors
    /// [`codes::UNREACHABLE`] when the machine's trust store cannot be used.
    pub fn new() -> Result<Self, Failure> {
        Self::build(None)
    }

    /// A transport that believes the authorities of a PEM text and no others: those of a proxy that opens TLS, or of
    /// a test stack. Certificates are verified as fully as ever, the host's name included.
    ///
    /// # Errors
    /// [`codes::AUTHORITY_UNREADABLE`] when the text holds no certificate, or a broken one.
    pub fn trusting(authorities: &[u8]) -> Result<Self, Failure> {
        Self::build(Some(trust_store(authorities)?))
    }

    fn build(only: Option<RootCertStore>) -> Result<Self, Failure> {
        let broken = || {
            Failure::new(
                Scope::Outage,
                codes::UNREACHABLE,
                "TLS cannot be set up on this machine",
                "install the package of trusted authorities (Debian: ca-certificates), or set SSL_CERT_FILE",
            )
        };
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|_| broken())?;
        let tls = match only {
            None => tls.with_platform_verifier().map_err(|_| broken())?,
            Some(store) => tls.with_root_certificates(store),
        };
        let mut tls = tls.with_no_client_auth();
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .no_proxy()
            .dns_resolver(Arc::new(GuardedResolver))
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(IDLE_PER_HOST)
            .build()
            .map_err(|_| broken())?;
        Ok(Self { client })
    }
}

/// Every certificate of a PEM text, none of which may be broken.
fn trust_store(pem: &[u8]) -> Result<RootCertStore, Failure> {
    let broken = || {
        Failure::new(
            Scope::Tenant,
            codes::AUTHORITY_UNREADABLE,
            "the connection's `tls.ca` holds no readable certificate",
            "give a PEM file with the authority's certificate, from `-----BEGIN CERTIFICATE-----` on",
        )
    };
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        store
            .add(certificate.map_err(|_| broken())?)
            .map_err(|_| broken())?;
    }
    if store.is_empty() {
        return Err(broken());
    }
    Ok(store)
}

impl Transport for ReqwestTransport {
    async fn send(&self, request: HttpRequest, timeout: Duration) -> Result<HttpResponse, TransportError> {
        let has_leave = request.method == Method::Get
            && request
                .leave
                .as_ref()
                .is_some_and(|leave| leave.is_for(&request.url));
        if is_denied_literal(&request.url) && !has_leave {
            return Err(TransportError {
                sent: Sent::No,
                kind: TransportErrorKind::Denied,
            });
        }
        let method = match request.method {
            Method::Get => reqwest::Method::GET,
            Method::Post => reqwest::Method::POST,
            Method::Patch => reqwest::Method::PATCH,
            Method::Delete => reqwest::Method::DELETE,
        };
        let mut builder = self.client.request(method, &request.url).timeout(timeout);
        for (name, value) in &request.headers {
            builder = builder.header(name, value);
        }
        if let Some(bearer) = &request.bearer {
            builder = builder.bearer_auth(bearer.expose_secret());
        }
        if let Some(body) = request.body {
            builder = builder.body(body);
        }
        let mut answer = builder.send().await.map_err(|error| translate(&error))?;
        let too_large = TransportError {
            sent: Sent::Maybe,
            kind: TransportErrorKind::AnswerTooLarge,
        };
        let mut body = BytesMut::new();
        // Read piece by piece: the bound holds for what comes out of decompression, whatever its length header said.
        while let Some(piece) = answer
            .chunk()
            .await
            .map_err(|error| translate(&error).after_send())?
        {
            if body.len() + piece.len() > request.max_answer {
                return Err(too_large);
            }
            body.extend_from_slice(&piece);
        }
        let headers = answer
            .headers()
            .iter()
            .filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())))
            .collect();
        Ok(HttpResponse {
            status: answer.status().as_u16(),
            headers,
            body: Bytes::from(body),
        })
    }
}

impl TransportError {
    /// The same trouble once an answer had begun.
    fn after_send(self) -> Self {
        Self {
            sent: Sent::Maybe,
            ..self
        }
    }
}

/// Without a connection nothing can have been sent; everything else may have arrived.
fn translate(error: &reqwest::Error) -> TransportError {
    if error.is_builder() {
        return TransportError {
            sent: Sent::No,
            kind: TransportErrorKind::Denied,
        };
    }
    if error.is_connect() {
        return TransportError {
            sent: Sent::No,
            kind: connect_kind(error),
        };
    }
    let kind = if error.is_timeout() {
        TransportErrorKind::Timeout
    } else {
        TransportErrorKind::Broken
    };
    TransportError {
        sent: Sent::Maybe,
        kind,
    }
}

fn connect_kind(error: &reqwest::Error) -> TransportErrorKind {
    let mut source = error.source();
    let mut resolving = false;
    while let Some(inner) = source {
        if inner.is::<Denied>() {
            return TransportErrorKind::Denied;
        }
        if is_tls(inner) {
            return TransportErrorKind::Tls;
        }
        // The connector names the step that failed in no other way.
        resolving |= inner.to_string().contains("dns error");
        source = inner.source();
    }
    if resolving {
        TransportErrorKind::Resolve
    } else {
        TransportErrorKind::Connect
    }
}

/// Input and output errors hide what they wrap from the chain of sources.
fn is_tls(error: &(dyn std::error::Error + 'static)) -> bool {
    error.is::<rustls::Error>()
        || error
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref)
            .is_some_and(|inside| is_tls(inside))
}

/// Whether the host is written as an address that is denied; names are judged when they are resolved.
fn is_denied_literal(url: &str) -> bool {
    let host = url::Url::parse(url).ok();
    match host.as_ref().and_then(url::Url::host) {
        Some(url::Host::Ipv4(v4)) => is_denied_address(v4.into()),
        Some(url::Host::Ipv6(v6)) => is_denied_address(v6.into()),
        _ => false,
    }
}

#[cfg(test)]
#[path = "reqwest_transport_tests.rs"]
mod tests;
