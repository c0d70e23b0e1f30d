//! From stored documents to ways in: secrets are resolved here, at the last moment, and nowhere else.

use std::path::{Path, PathBuf};

use syncbridge_domain::failure::{Failure, Scope};
use syncbridge_manifest::{
    CaRef, ConnectionSpec, Document, InstanceSpec, Proof, SECRET_VARIABLE_PREFIX, SecretRef, SignIn, Spec,
};
use syncbridge_meta_store::{PgConnection, sealed_secrets};
use syncbridge_secrets::SecretString;

use crate::Operations;
use crate::error::Result;
use crate::ports::{ConnectionAccess, InstanceAccess, ProofAccess, SignInAccess, TokenFile};
use crate::shelf::Shelf;

/// The most bytes of a secret or certificate file.
const MAX_FILE: u64 = 64 << 10;

/// Under which name and for whom one of a document's own secrets is sealed.
pub(crate) struct SealedAs {
    pub(crate) name: String,
    pub(crate) host: String,
    pub(crate) authority: String,
    pub(crate) client_id: String,
}

/// A name under which a document may have a secret sealed, and the secret that it has there, if it has one.
pub(crate) struct SecretPlace<'a> {
    /// Path of the key in the document.
    pub(crate) path: &'static str,
    pub(crate) sealed: SealedAs,
    pub(crate) secret: Option<&'a SecretRef>,
}

/// Every name under which this document may have a secret sealed: those of the ways to sign in that it does not
/// use among them, so that whoever changes or deletes it leaves none behind.
pub(crate) fn secret_places(document: &Document) -> Vec<SecretPlace<'_>> {
    let name = document.name.as_str();
    let paths: &[&'static str] = match &document.spec {
        Spec::Instance(_) => &[PASSWORD],
        Spec::Connection(_) => &[CLIENT_SECRET, CERTIFICATE, CERTIFICATE_KEY],
        Spec::Application(_) | Spec::Database(_) | Spec::SyncDefinition(_) => &[],
    };
    let given = document.secrets();
    let sealed = |path| match &document.spec {
        Spec::Instance(spec) => Some(SealedAs::of_instance(name, spec)),
        Spec::Connection(spec) => Some(SealedAs::of_connection(name, spec, path)),
        Spec::Application(_) | Spec::Database(_) | Spec::SyncDefinition(_) => None,
    };
    paths
        .iter()
        .filter_map(|path| {
            Some(SecretPlace {
                path,
                sealed: sealed(path)?,
                secret: given
                    .iter()
                    .find(|(given, _)| given == path)
                    .map(|(_, secret)| *secret),
            })
        })
        .collect()
}

const PASSWORD: &str = "spec.password";
const CLIENT_SECRET: &str = "spec.clientSecret";
const CERTIFICATE: &str = "spec.certificate.pem";
const CERTIFICATE_KEY: &str = "spec.certificate.key";

impl SealedAs {
    fn of_instance(name: &str, spec: &InstanceSpec) -> Self {
        Self {
            name: format!("instance/{name}"),
            host: format!("{}:{}", spec.host, spec.port),
            authority: String::new(),
            client_id: spec.user.clone(),
        }
    }

    /// `path` is that of the secret's key in the document.
    fn of_connection(name: &str, spec: &ConnectionSpec, path: &str) -> Self {
        Self {
            name: match path {
                CERTIFICATE => format!("connection/{name}/certificate"),
                CERTIFICATE_KEY => format!("connection/{name}/key"),
                _ => format!("connection/{name}"),
            },
            host: spec.cloud.graph_root().to_owned(),
            authority: format!("{}/{}", spec.cloud.authority(), spec.tenant),
            client_id: spec.sign_in.client_id().unwrap_or_default().to_owned(),
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
        let sign_in = match &spec.sign_in {
            SignIn::Machine { client_id } => SignInAccess::Machine {
                client_id: client_id.clone(),
            },
            SignIn::App { client_id, proof } => SignInAccess::App {
                client_id: client_id.clone(),
                proof: self.proof(connection, name, spec, proof).await?,
            },
        };
        let authority_pem = match &spec.authority_file {
            None => None,
            Some(file) => {
                Some(self.secret_file(file, &format!("certificate authority of connection `{name}`"))?)
            }
        };
        Ok(ConnectionAccess {
            tenant: spec.tenant.clone(),
            sign_in,
            cloud: spec.cloud.clone(),
            licences: spec.licenses,
            authority_pem,
        })
    }

    async fn proof(
        &self,
        connection: &mut PgConnection,
        name: &str,
        spec: &ConnectionSpec,
        proof: &Proof,
    ) -> Result<ProofAccess> {
        let sealed = |path| SealedAs::of_connection(name, spec, path);
        Ok(match proof {
            Proof::ClientSecret(secret) => {
                let what = format!("client secret of connection `{name}`");
                let sealed = sealed(CLIENT_SECRET);
                ProofAccess::ClientSecret(self.secret(connection, secret, &sealed, &what).await?)
            }
            Proof::Certificate { pem, key } => {
                let what = format!("certificate of connection `{name}`");
                let pem = self.secret(connection, pem, &sealed(CERTIFICATE), &what).await?;
                let what = format!("private key of connection `{name}`");
                let key = self
                    .secret(connection, key, &sealed(CERTIFICATE_KEY), &what)
                    .await?;
                ProofAccess::Certificate { pem, key }
            }
            Proof::Federated { token_file } => {
                ProofAccess::Federated(self.token_file(name, token_file.as_deref())?)
            }
        })
    }

    /// Which file a federated token is in, and where the server lets such files be.
    fn token_file(&self, name: &str, given: Option<&str>) -> Result<TokenFile> {
        let platform = self.token_files.of_platform.clone();
        let path = match given {
            Some(path) => PathBuf::from(path),
            None => platform.clone().ok_or_else(|| {
                secret_missing(
                    &format!("token file of connection `{name}`"),
                    "is not named, and the platform names none either (AZURE_FEDERATED_TOKEN_FILE is not set)",
                    "name it as `federated: {tokenFile: …}`, or turn on workload identity for this pod",
                )
            })?,
        };
        Ok(TokenFile {
            is_of_platform: platform.as_ref() == Some(&path),
            path,
            folders: self
                .secrets_folder
                .iter()
                .chain(&self.token_files.folder)
                .cloned()
                .collect(),
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
