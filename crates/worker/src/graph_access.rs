//! Who we are towards Graph, and where it is: secrets as they were resolved, turned into what the client asks for.

use std::sync::Arc;

use secrecy::SecretString;
use syncbridge_domain::failure::Failure;
use syncbridge_target_graph::cloud::Cloud;
use syncbridge_target_graph::{Credentials, IdentityService, SigningCertificate, TokenSource};

use crate::token_file::TokenFile;

/// Who we are towards Graph, and where it is.
#[derive(Clone, Debug)]
pub struct GraphAccess {
    /// Tenant id or domain.
    pub tenant: String,
    /// How to sign in.
    pub sign_in: GraphSignIn,
    /// Which cloud.
    pub cloud: Cloud,
    /// Licences of the tenant; `None` spends without a budget of our own.
    pub licences: Option<u64>,
    /// PEM text of the one authority that is believed; `None`: those the machine believes.
    pub authority_pem: Option<Vec<u8>>,
}

/// How to sign in.
#[derive(Clone, Debug)]
pub enum GraphSignIn {
    /// As an app registration.
    App {
        /// Application (client) id.
        client_id: String,
        /// What proves it.
        proof: Proof,
    },
    /// With the identity of this machine.
    Machine {
        /// Client id of an identity that was assigned to it; absent: its own.
        client_id: Option<String>,
    },
}

/// What proves who an app is.
#[derive(Clone, Debug)]
pub enum Proof {
    /// A client secret.
    ClientSecret(SecretString),
    /// PEM texts of a certificate and its key.
    Certificate {
        /// The certificate.
        pem: SecretString,
        /// Its key.
        key: SecretString,
    },
    /// A token file that is read each time.
    Federated(TokenFile),
}

impl GraphSignIn {
    /// The application (client) id, where one is named.
    #[must_use]
    pub fn client_id(&self) -> Option<&str> {
        match self {
            GraphSignIn::App { client_id, .. } => Some(client_id),
            GraphSignIn::Machine { client_id } => client_id.as_deref(),
        }
    }
}

impl GraphAccess {
    /// What the client signs in with.
    ///
    /// # Errors
    /// A certificate or key that cannot be used.
    pub(crate) fn credentials(&self, identity_service: &IdentityService) -> Result<Credentials, Failure> {
        let source = match &self.sign_in {
            GraphSignIn::Machine { client_id } => TokenSource::ManagedIdentity {
                client_id: client_id.clone(),
                service: identity_service.clone(),
            },
            GraphSignIn::App { client_id, proof } => {
                let client_id = client_id.clone();
                match proof {
                    Proof::ClientSecret(secret) => TokenSource::ClientSecret {
                        client_id,
                        secret: secret.clone(),
                    },
                    Proof::Certificate { pem, key } => TokenSource::Certificate {
                        client_id,
                        certificate: Arc::new(SigningCertificate::from_pem(pem, key)?),
                    },
                    Proof::Federated(file) => TokenSource::Federated {
                        client_id,
                        assertion: Arc::new(file.clone()),
                    },
                }
            }
        };
        Ok(Credentials {
            tenant: self.tenant.clone(),
            source,
        })
    }
}
