//! Who the app is in a tenant, and how it proves it: exactly one way a connection.

use std::fmt;
use std::sync::Arc;

use secrecy::SecretString;
use syncbridge_domain::failure::Failure;

use crate::certificate::SigningCertificate;
use crate::egress::{self, EgressRules, IdentityServiceLeave};

/// Who the app is and how it proves it.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// Tenant id or domain.
    pub tenant: String,
    /// How a token is had.
    pub source: TokenSource,
}

/// How a token is had (contract §1).
#[derive(Clone)]
pub enum TokenSource {
    /// A password of the app.
    ClientSecret {
        /// Application (client) id.
        client_id: String,
        /// The secret itself.
        secret: SecretString,
    },
    /// An assertion signed with a certificate that is registered on the app.
    Certificate {
        /// Application (client) id.
        client_id: String,
        /// Certificate and key.
        certificate: Arc<SigningCertificate>,
    },
    /// An assertion that somebody else signed, whom the app trusts: Kubernetes, a CI system, another cloud.
    Federated {
        /// Application (client) id.
        client_id: String,
        /// Where the assertion is.
        assertion: Arc<dyn AssertionSource>,
    },
    /// The identity of the machine this runs on; no secret at all.
    ManagedIdentity {
        /// Client id of an identity that was assigned to the machine; absent: the machine's own.
        client_id: Option<String>,
        /// Whom to ask.
        service: IdentityService,
    },
}

/// Gives an assertion signed by somebody else. Asked each time a token is wanted, because its owner renews it
/// within the hour.
pub trait AssertionSource: Send + Sync {
    /// The assertion that is good now.
    ///
    /// # Errors
    /// Why it cannot be had; never with any of its text.
    fn assertion(&self) -> Result<SecretString, Failure>;
}

/// The service on a machine that gives tokens of the machine's identity.
#[derive(Clone, Debug)]
pub struct IdentityService {
    pub(crate) address: String,
    pub(crate) leave: Option<IdentityServiceLeave>,
}

impl IdentityService {
    /// The one address of the cloud, which the egress rules deny to everything else.
    #[must_use]
    pub fn of_machine() -> Self {
        Self {
            address: egress::IDENTITY_SERVICE.to_owned(),
            leave: Some(IdentityServiceLeave::new()),
        }
    }

    /// Another one, such as a simulator's: an administrator's decision, never a document's. `base` is its address
    /// up to the path that all have.
    ///
    /// # Errors
    /// As [`egress::check`]; nothing that the rules deny is allowed by naming it here.
    pub fn at(base: &str) -> Result<Self, Failure> {
        let rules = EgressRules {
            allow_custom_cloud: true,
            allow_insecure_loopback: true,
        };
        let base = egress::check(base.trim_end_matches('/'), "identity service", rules)?;
        Ok(Self {
            address: format!(
                "{}{}",
                base.as_str().trim_end_matches('/'),
                egress::IDENTITY_SERVICE_PATH
            ),
            leave: None,
        })
    }
}

impl Credentials {
    /// Proved by a client secret.
    #[must_use]
    pub fn by_secret(
        tenant: impl Into<String>,
        client_id: impl Into<String>,
        secret: impl Into<SecretString>,
    ) -> Self {
        Self {
            tenant: tenant.into(),
            source: TokenSource::ClientSecret {
                client_id: client_id.into(),
                secret: secret.into(),
            },
        }
    }
}

impl TokenSource {
    /// The application (client) id, where one is named.
    #[must_use]
    pub fn client_id(&self) -> Option<&str> {
        match self {
            TokenSource::ClientSecret { client_id, .. }
            | TokenSource::Certificate { client_id, .. }
            | TokenSource::Federated { client_id, .. } => Some(client_id),
            TokenSource::ManagedIdentity { client_id, .. } => client_id.as_deref(),
        }
    }

    /// What people should know about it, if anything.
    #[must_use]
    pub fn notice(&self, now: chrono::DateTime<chrono::Utc>) -> Option<String> {
        match self {
            TokenSource::Certificate { certificate, .. } => certificate.notice(now),
            _ => None,
        }
    }
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self {
            TokenSource::ClientSecret { .. } => "client secret",
            TokenSource::Certificate { .. } => "certificate",
            TokenSource::Federated { .. } => "federated",
            TokenSource::ManagedIdentity { .. } => "managed identity",
        };
        write!(
            f,
            "TokenSource({kind} of {})",
            self.client_id().unwrap_or("the machine")
        )
    }
}
