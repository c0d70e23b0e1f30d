//! Who owns what, and where it physically is: `Application`, `Database`, `Instance`.

use serde_json::{Value as Json, json};

use crate::name::Name;
use crate::reader::{Fields, Reader, Slot};
use crate::secret::{SecretRef, read_bare_name};

/// Most characters of a description.
pub(crate) const MAX_DESCRIPTION: usize = 2_000;

/// A group of databases with one owner.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ApplicationSpec {
    /// Whom to ask.
    pub owner: Option<String>,
    /// What it is.
    pub description: Option<String>,
}

/// A logical database; its endpoints are [`InstanceSpec`]s.
#[derive(Clone, Debug, PartialEq)]
pub struct DatabaseSpec {
    /// The application it belongs to.
    pub application: Name,
    /// What it holds.
    pub description: Option<String>,
}

/// A physical endpoint of a database.
#[derive(Clone, Debug, PartialEq)]
pub struct InstanceSpec {
    /// The database it serves.
    pub database: Name,
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Name of the database on that server.
    pub dbname: String,
    /// Role to log in as.
    pub user: String,
    /// Its password.
    pub password: SecretRef,
    /// How the connection is protected.
    pub tls: Tls,
    /// What the endpoint is.
    pub role: Role,
    /// Which endpoint of a role is tried first: the lowest number.
    pub priority: u16,
}

/// How a connection to PostgreSQL is protected.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Tls {
    /// What is checked.
    pub mode: TlsMode,
    /// The certificate authority, where it is not one of the system's.
    pub ca: Option<CaRef>,
}

/// What is checked before anything is sent; the words are PostgreSQL's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum TlsMode {
    /// No encryption. For a server on the same machine.
    Disable,
    /// Encrypted, but anybody may answer.
    Require,
    /// The certificate comes from a known authority.
    VerifyCa,
    /// And it names the host that was asked for.
    #[default]
    VerifyFull,
}

impl TlsMode {
    /// The word in documents.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            TlsMode::Disable => "disable",
            TlsMode::Require => "require",
            TlsMode::VerifyCa => "verify-ca",
            TlsMode::VerifyFull => "verify-full",
        }
    }
}

/// Where the certificate authority's PEM text is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CaRef {
    /// A path on the machine that connects.
    Path(String),
    /// A file in the server's folder for secrets, by its bare name.
    File(String),
}

/// What an endpoint is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Role {
    /// Takes writes.
    #[default]
    Primary,
    /// Follows a primary.
    Replica,
}

impl Role {
    /// The word in documents.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Role::Primary => "primary",
            Role::Replica => "replica",
        }
    }
}

/// An optional text of several lines.
pub(crate) fn read_description(reader: &mut Reader, fields: &Fields<'_>) -> Option<String> {
    fields
        .get("description")
        .and_then(|slot| reader.prose(&slot, MAX_DESCRIPTION))
        .map(str::to_owned)
}

/// JSON of a mapping without its absent values.
pub(crate) fn object(entries: impl IntoIterator<Item = (&'static str, Option<Json>)>) -> Json {
    Json::Object(
        entries
            .into_iter()
            .filter_map(|(key, value)| Some((key.to_owned(), value?)))
            .collect(),
    )
}

/// JSON of an optional text.
pub(crate) fn text(value: Option<&String>) -> Option<Json> {
    value.map(|text| json!(text))
}

impl ApplicationSpec {
    pub(crate) fn read(reader: &mut Reader, spec: &Slot<'_>) -> Option<Self> {
        let fields = reader.fields(spec, &["owner", "description"])?;
        let owner = fields
            .get("owner")
            .and_then(|slot| reader.line(&slot, 200))
            .map(str::to_owned);
        Some(Self {
            owner,
            description: read_description(reader, &fields),
        })
    }

    pub(crate) fn to_json(&self) -> Json {
        object([
            ("owner", text(self.owner.as_ref())),
            ("description", text(self.description.as_ref())),
        ])
    }
}

impl DatabaseSpec {
    pub(crate) fn read(reader: &mut Reader, spec: &Slot<'_>) -> Option<Self> {
        let fields = reader.fields(spec, &["application", "description"])?;
        let application = reader.required(&fields, "application", "name the Application it belongs to");
        let application = application.and_then(|slot| reader.name(&slot));
        let description = read_description(reader, &fields);
        Some(Self {
            application: application?,
            description,
        })
    }

    pub(crate) fn to_json(&self) -> Json {
        object([
            ("application", Some(json!(self.application.as_str()))),
            ("description", text(self.description.as_ref())),
        ])
    }
}

impl InstanceSpec {
    const KEYS: [&'static str; 9] = [
        "database", "host", "port", "dbname", "user", "password", "tls", "role", "priority",
    ];

    pub(crate) fn read(reader: &mut Reader, spec: &Slot<'_>) -> Option<Self> {
        let fields = reader.fields(spec, &Self::KEYS)?;
        let database = reader.required(&fields, "database", "name the Database it serves");
        let database = database.and_then(|slot| reader.name(&slot));
        let host = reader
            .required(&fields, "host", "name the server")
            .and_then(|slot| read_host(reader, &slot));
        let port = match fields.get("port") {
            Some(slot) => reader.whole(&slot, 1..=65_535),
            None => Some(5_432),
        };
        let dbname = reader.required(&fields, "dbname", "name the database on that server");
        let dbname = dbname.and_then(|slot| reader.identifier(&slot));
        let user = reader.required(&fields, "user", "name the role to log in as");
        let user = user.and_then(|slot| reader.identifier(&slot));
        let password = reader.required(&fields, "password", "for example `{env: SYNCBRIDGE_SECRET_DB}`");
        let password = password.and_then(|slot| SecretRef::read(reader, &slot));
        let tls = match fields.get("tls") {
            Some(slot) => Tls::read(reader, &slot),
            None => Some(Tls::default()),
        };
        let role = match fields.get("role") {
            Some(slot) => reader.one_of(
                &slot,
                &[Role::Primary, Role::Replica].map(|role| (role.name(), role)),
            ),
            None => Some(Role::default()),
        };
        let priority = match fields.get("priority") {
            Some(slot) => reader.whole(&slot, 1..=1_000),
            None => Some(1),
        };
        Some(Self {
            database: database?,
            host: host?,
            port: u16::try_from(port?).ok()?,
            dbname: dbname?,
            user: user?,
            password: password?,
            tls: tls?,
            role: role?,
            priority: u16::try_from(priority?).ok()?,
        })
    }

    pub(crate) fn to_json(&self) -> Json {
        json!({
            "database": self.database.as_str(),
            "host": self.host,
            "port": self.port,
            "dbname": self.dbname,
            "user": self.user,
            "password": self.password.to_json(),
            "tls": self.tls.to_json(),
            "role": self.role.name(),
            "priority": self.priority,
        })
    }
}

impl Tls {
    fn read(reader: &mut Reader, slot: &Slot<'_>) -> Option<Self> {
        const MODES: [TlsMode; 4] = [
            TlsMode::Disable,
            TlsMode::Require,
            TlsMode::VerifyCa,
            TlsMode::VerifyFull,
        ];
        let fields = reader.fields(slot, &["mode", "ca"])?;
        let mode = match fields.get("mode") {
            Some(slot) => reader.one_of(&slot, &MODES.map(|mode| (mode.name(), mode))),
            None => Some(TlsMode::default()),
        }?;
        let Some(ca) = fields.get("ca") else {
            return Some(Self { mode, ca: None });
        };
        if matches!(mode, TlsMode::Disable | TlsMode::Require) {
            reader.report(
                fields.key_at("ca"),
                crate::ProblemCode::Contradiction,
                format!("`{}` is not looked at in mode `{}`", ca.path(), mode.name()),
                "use mode `verify-ca` or `verify-full`, or remove `ca`",
            );
            return None;
        }
        let ca = if let crate::node::Body::Map(_) = ca.body() {
            let inner = reader.fields(&ca, &["file"])?;
            let file = reader.required(&inner, "file", "name a file of the server's folder for secrets")?;
            CaRef::File(read_bare_name(reader, &file)?)
        } else {
            CaRef::Path(reader.line(&ca, 1_000)?.to_owned())
        };
        Some(Self { mode, ca: Some(ca) })
    }

    fn to_json(&self) -> Json {
        let ca = self.ca.as_ref().map(|ca| match ca {
            CaRef::Path(path) => json!(path),
            CaRef::File(name) => json!({ "file": name }),
        });
        object([("mode", Some(json!(self.mode.name()))), ("ca", ca)])
    }
}

/// A host name or address, and nothing that could smuggle anything else into a connection string.
fn read_host(reader: &mut Reader, slot: &Slot<'_>) -> Option<String> {
    let text = reader.line(slot, 253)?;
    if text
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':'))
    {
        return Some(text.to_owned());
    }
    reader.refuse(
        slot,
        format!("{} is no host", crate::reader::quote(text)),
        "a host name or an address, without `postgres://`, port or path, such as db.example.org",
    )
}
