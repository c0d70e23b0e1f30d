//! How a connection signs in: exactly one of four ways.

use serde_json::{Value as Json, json};

use crate::connection::read_token;
use crate::problem::ProblemCode;
use crate::reader::{Fields, Reader, Slot, quote};
use crate::secret::SecretRef;

/// How a connection signs in.
#[derive(Clone, Debug, PartialEq)]
pub enum SignIn {
    /// As an app registration that proves who it is.
    App {
        /// Application (client) id.
        client_id: String,
        /// How it proves it.
        proof: Proof,
    },
    /// With the identity of the machine that runs SyncBridge; there is no secret.
    Machine {
        /// Client id of an identity that was assigned to the machine; absent: the machine's own.
        client_id: Option<String>,
    },
}

/// How an app registration proves who it is. Secrets are bound to authority, tenant and client id.
#[derive(Clone, Debug, PartialEq)]
pub enum Proof {
    /// A client secret.
    ClientSecret(SecretRef),
    /// A certificate that is registered on the app, with its key.
    Certificate {
        /// PEM text of the certificate.
        pem: SecretRef,
        /// PEM text of its private key, without passphrase.
        key: SecretRef,
    },
    /// A token that somebody else signed, whom the app trusts; read anew from its file for each use.
    Federated {
        /// Path of the file; absent: the one the platform names to the server (`AZURE_FEDERATED_TOKEN_FILE`).
        token_file: Option<String>,
    },
}

/// Keys of the four ways.
pub(crate) const WAYS: [&str; 4] = ["clientSecret", "certificate", "federated", "managedIdentity"];

impl SignIn {
    /// The application (client) id, where one is named.
    #[must_use]
    pub fn client_id(&self) -> Option<&str> {
        match self {
            SignIn::App { client_id, .. } => Some(client_id),
            SignIn::Machine { client_id } => client_id.as_deref(),
        }
    }

    /// Its secrets and the keys under which they stand.
    #[must_use]
    pub fn secrets(&self) -> Vec<(&'static str, &SecretRef)> {
        match self {
            SignIn::App { proof, .. } => match proof {
                Proof::ClientSecret(secret) => vec![("spec.clientSecret", secret)],
                Proof::Certificate { pem, key } => {
                    vec![("spec.certificate.pem", pem), ("spec.certificate.key", key)]
                }
                Proof::Federated { .. } => Vec::new(),
            },
            SignIn::Machine { .. } => Vec::new(),
        }
    }

    pub(crate) fn read(reader: &mut Reader, fields: &Fields<'_>) -> Option<Self> {
        let given: Vec<&str> = WAYS.into_iter().filter(|way| fields.has(way)).collect();
        let [way] = given[..] else {
            none_or_several(reader, fields, &given);
            return None;
        };
        let slot = fields.get(way)?;
        if way == "managedIdentity" {
            let client_id = match fields.get("clientId") {
                Some(slot) => Some(read_client_id(reader, &slot)?),
                None => None,
            };
            return match reader.flag(&slot)? {
                true => Some(SignIn::Machine { client_id }),
                false => reader.refuse(
                    &slot,
                    format!("`{}` is false", slot.path()),
                    "remove the key and write one of the other ways to sign in",
                ),
            };
        }
        let client_id = reader
            .required(
                fields,
                "clientId",
                "the application (client) id of the app registration",
            )
            .and_then(|slot| read_client_id(reader, &slot));
        let proof = match way {
            "clientSecret" => SecretRef::read(reader, &slot).map(Proof::ClientSecret),
            "certificate" => read_certificate(reader, &slot),
            _ => read_federated(reader, &slot),
        };
        Some(SignIn::App {
            client_id: client_id?,
            proof: proof?,
        })
    }

    /// The keys of the canonical form.
    pub(crate) fn to_json(&self) -> [(&'static str, Option<Json>); 2] {
        let way = match self {
            SignIn::Machine { .. } => ("managedIdentity", json!(true)),
            SignIn::App { proof, .. } => match proof {
                Proof::ClientSecret(secret) => ("clientSecret", secret.to_json()),
                Proof::Certificate { pem, key } => (
                    "certificate",
                    json!({ "pem": pem.to_json(), "key": key.to_json() }),
                ),
                Proof::Federated { token_file } => (
                    "federated",
                    crate::catalog::object([("tokenFile", token_file.as_ref().map(|path| json!(path)))]),
                ),
            },
        };
        [
            ("clientId", self.client_id().map(|id| json!(id))),
            (way.0, Some(way.1)),
        ]
    }
}

fn none_or_several(reader: &mut Reader, fields: &Fields<'_>, given: &[&str]) {
    const HELP: &str =
        "write exactly one of `clientSecret`, `certificate`, `federated` and `managedIdentity`";
    let [first, rest @ ..] = given else {
        let message = format!(
            "`{}` is missing, or another way to sign in",
            fields.path_of(WAYS[0])
        );
        reader.report(fields.at(), ProblemCode::MissingKey, message, HELP);
        return;
    };
    for way in rest {
        let message = format!("`{}` stands beside `{first}`", fields.path_of(way));
        reader.report(fields.key_at(way), ProblemCode::Contradiction, message, HELP);
    }
}

fn read_client_id(reader: &mut Reader, slot: &Slot<'_>) -> Option<String> {
    read_token(reader, slot, "the application (client) id")
}

fn read_certificate(reader: &mut Reader, slot: &Slot<'_>) -> Option<Proof> {
    let fields = reader.fields(slot, &["pem", "key"])?;
    let pem = reader.required(&fields, "pem", "the certificate, such as `{file: app.pem}`");
    let pem = pem.and_then(|slot| SecretRef::read(reader, &slot));
    let key = reader.required(&fields, "key", "its private key, such as `{file: app.key}`");
    let key = key.and_then(|slot| SecretRef::read(reader, &slot));
    Some(Proof::Certificate { pem: pem?, key: key? })
}

fn read_federated(reader: &mut Reader, slot: &Slot<'_>) -> Option<Proof> {
    let fields = reader.fields(slot, &["tokenFile"])?;
    let token_file = match fields.get("tokenFile") {
        Some(slot) => Some(read_path(reader, &slot)?),
        None => None,
    };
    Some(Proof::Federated { token_file })
}

/// An absolute path without detours. Whether the server may read it is for the server to say.
fn read_path(reader: &mut Reader, slot: &Slot<'_>) -> Option<String> {
    let text = reader.line(slot, 1_000)?;
    let straight = text
        .split('/')
        .skip(1)
        .all(|part| !part.is_empty() && part != "." && part != "..");
    if text.starts_with('/') && straight {
        return Some(text.to_owned());
    }
    reader.refuse(
        slot,
        format!("`{}` is {}", slot.path(), quote(text)),
        "an absolute path on the server, without `.`, `..` or a slash at its end",
    )
}
