//! From stored documents to ways in: secrets are resolved here, at the last moment, and nowhere else.

use std::path::Path;

use syncbridge_domain::failure::{Failure, Scope};
use syncbridge_manifest::{CaRef, ConnectionSpec, InstanceSpec, SECRET_VARIABLE_PREFIX, SecretRef};
use syncbridge_meta_store::{PgConnection, sealed_secrets};
use syncbridge_secrets::SecretString;

use crate::Operations;
use crate::error::Result;
use crate::ports::{ConnectionAccess, InstanceAccess};
use crate::shelf::Shelf;

/// The most bytes of a secret or certificate file.
const MAX_FILE: u64 = 64 << 10;

/// Under which name and for whom a document's own secret is sealed.
pub(crate) struct SealedAs {
    pub(crate) name: String,
    pub(crate) host: String,
    pub(crate) authority: String,
    pub(crate) client_id: String,
}

impl SealedAs {
    pub(crate) fn of_instance(name: &str, spec: &InstanceSpec) -> Self {
        Self {
            name: format!("instance/{name}"),
            host: format!("{}:{}", spec.host, spec.port),
            authority: String::new(),
            client_id: spec.user.clone(),
        }
    }

    pub(crate) fn of_connection(name: &str, spec: &ConnectionSpec) -> Self {
        Self {
            name: format!("connection/{name}"),
            host: spec.cloud.graph_root().to_owned(),
            authority: format!("{}/{}", spec.cloud.authority(), spec.tenant),
            client_id: spec.client_id.clone(),
        }
    }

    pub(crate) fn binding(&self) -> sealed_secrets::Binding<'_> {
        sealed_secrets::Binding {
            host: &self.host,
            authority: &self.authority,
            client_id: &self.client_id,
        }
    }
}

impl Operations {
    /// How to reach a database.
    pub(crate) async fn instance_access(
        &self,
        connection: &mut PgConnection,
        shelf: &Shelf,
        database: &str,
    ) -> Result<InstanceAccess> {
        let (name, spec) = shelf.instance(database)?;
        let sealed = SealedAs::of_instance(name, spec);
        let what = format!("password of instance `{name}`");
        let password = self.secret(connection, &spec.password, &sealed, &what).await?;
        let authority_pem = match &spec.tls.ca {
            None => None,
            Some(CaRef::Path(path)) => Some(read_bounded(Path::new(path), "certificate authority")?),
            Some(CaRef::File(name)) => Some(self.secret_file(name, "certificate authority")?),
        };
        Ok(InstanceAccess {
            instance: spec.clone(),
            password,
            authority_pem,
        })
    }

    /// How to reach a tenant.
    pub(crate) async fn connection_access(
        &self,
        connection: &mut PgConnection,
        shelf: &Shelf,
        name: &str,
    ) -> Result<ConnectionAccess> {
        let spec = shelf.connection(name)?;
        let sealed = SealedAs::of_connection(name, spec);
        let what = format!("client secret of connection `{name}`");
        let client_secret = self
            .secret(connection, &spec.client_secret, &sealed, &what)
            .await?;
        Ok(ConnectionAccess {
            tenant: spec.tenant.clone(),
            client_id: spec.client_id.clone(),
            client_secret,
            cloud: spec.cloud.clone(),
            licences: spec.licenses,
        })
    }

    async fn secret(
        &self,
        connection: &mut PgConnection,
        reference: &SecretRef,
        sealed: &SealedAs,
        what: &str,
    ) -> Result<SecretString> {
        match reference {
            SecretRef::Value(value) => Ok(value.clone()),
            SecretRef::Env(name) if !name.starts_with(SECRET_VARIABLE_PREFIX) => Err(secret_missing(
                what,
                &format!("names a variable outside {SECRET_VARIABLE_PREFIX}*"),
                "use a variable with that prefix",
            )
            .into()),
            SecretRef::Env(name) => match std::env::var(name) {
                Ok(value) if !value.is_empty() => Ok(SecretString::from(value)),
                _ => Err(secret_missing(
                    what,
                    &format!("is in variable {name}, which is not set"),
                    "set it and try again",
                )
                .into()),
            },
            SecretRef::File(name) => {
                let bytes = self.secret_file(name, what)?;
                let text = String::from_utf8(bytes).map_err(|_| {
                    secret_missing(what, "is in a file that is no text", "write it as UTF-8 text")
                })?;
                Ok(SecretString::from(text.trim_end_matches(['\r', '\n'])))
            }
            SecretRef::Stored => {
                let found = sealed_secrets::open(
                    connection,
                    &self.ring,
                    self.workspace,
                    &sealed.name,
                    sealed.binding(),
                )
                .await?;
                found.ok_or_else(|| {
                    secret_missing(
                        what,
                        "was entered for another address or account, or never",
                        "apply the document again with the secret in it: `{value: …}`, `{env: …}` or `{file: …}`",
                    )
                    .into()
                })
            }
        }
    }

    fn secret_file(&self, name: &str, what: &str) -> Result<Vec<u8>> {
        let folder = self.secrets_folder.as_ref().ok_or_else(|| {
            secret_missing(
                what,
                "is in a file, and no folder for secrets is set",
                "set SYNCBRIDGE_SECRETS_FOLDER",
            )
        })?;
        // The manifest allows bare names only; a name that leads elsewhere is refused here once more.
        if name.contains(['/', '\\']) || name == ".." || name == "." {
            return Err(secret_missing(
                what,
                "names a file outside the folder for secrets",
                "use a bare file name",
            )
            .into());
        }
        Ok(read_bounded(&folder.join(name), what)?)
    }
}

fn read_bounded(path: &Path, what: &str) -> std::result::Result<Vec<u8>, Failure> {
    let unreadable = |reason: &str| {
        secret_missing(
            what,
            &format!("is in {}, which {reason}", path.display()),
            "correct the path or the file's rights",
        )
    };
    let size = std::fs::metadata(path)
        .map_err(|_| unreadable("cannot be read"))?
        .len();
    if size > MAX_FILE {
        return Err(unreadable("is larger than 64 KiB"));
    }
    std::fs::read(path).map_err(|_| unreadable("cannot be read"))
}

fn secret_missing(what: &str, why: &str, fix: &str) -> Failure {
    Failure::new(
        Scope::Tenant,
        "manifest.secret_missing",
        format!("the {what} {why}"),
        fix,
    )
}
