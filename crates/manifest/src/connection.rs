//! Credentials for one Microsoft Graph tenant and app registration: `Connection`.

use serde_json::{Value as Json, json};

use crate::catalog::object;
use crate::problem::ProblemCode;
use crate::reader::{Reader, Slot, quote};
use crate::secret::read_bare_name;
use crate::sign_in::{SignIn, WAYS};

/// An app registration in one tenant.
#[derive(Clone, Debug, PartialEq)]
pub struct ConnectionSpec {
    /// Directory (tenant) id, or one of its domain names.
    pub tenant: String,
    /// How it signs in.
    pub sign_in: SignIn,
    /// Where tokens and Graph are.
    pub cloud: Cloud,
    /// Microsoft 365 licences of the tenant; they decide how many resource units a minute it has. Absent: no
    /// budget of our own, only the pauses Graph asks for.
    pub licenses: Option<u64>,
    /// The one authority that is believed, by the bare name of a file in the server's folder for secrets; absent:
    /// those the system believes. For a proxy that opens TLS, or a test stack.
    pub authority_file: Option<String>,
}

/// Where tokens and Graph are.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Cloud {
    /// Worldwide, GCC included.
    #[default]
    Global,
    /// US Government L4 (GCC High).
    UsGov,
    /// US Government L5 (DoD).
    UsGovDod,
    /// China, operated by 21Vianet.
    China,
    /// Addresses of its own, such as the simulator's. An administrator has to allow these.
    Custom {
        /// Base address of the token service, without a slash at the end.
        authority: String,
        /// Base address of Graph without version and slash, such as `http://127.0.0.1:8080`.
        graph_root: String,
    },
}

impl Cloud {
    /// Base address of the token service, without a slash at the end.
    #[must_use]
    pub fn authority(&self) -> &str {
        match self {
            Cloud::Global => "https://login.microsoftonline.com",
            Cloud::UsGov | Cloud::UsGovDod => "https://login.microsoftonline.us",
            Cloud::China => "https://login.chinacloudapi.cn",
            Cloud::Custom { authority, .. } => authority,
        }
    }

    /// Base address of Graph, without version and without a slash at the end.
    #[must_use]
    pub fn graph_root(&self) -> &str {
        match self {
            Cloud::Global => "https://graph.microsoft.com",
            Cloud::UsGov => "https://graph.microsoft.us",
            Cloud::UsGovDod => "https://dod-graph.microsoft.us",
            Cloud::China => "https://microsoftgraph.chinacloudapi.cn",
            Cloud::Custom { graph_root, .. } => graph_root,
        }
    }

    /// The word in documents; none for addresses of its own.
    #[must_use]
    pub fn name(&self) -> Option<&'static str> {
        match self {
            Cloud::Global => Some("global"),
            Cloud::UsGov => Some("us-gov"),
            Cloud::UsGovDod => Some("us-gov-dod"),
            Cloud::China => Some("china"),
            Cloud::Custom { .. } => None,
        }
    }
}

#[derive(Clone, Copy)]
enum Known {
    Global,
    UsGov,
    UsGovDod,
    China,
}

impl ConnectionSpec {
    pub(crate) fn read(reader: &mut Reader, spec: &Slot<'_>) -> Option<Self> {
        let mut keys = vec!["tenant", "clientId", "cloud", "custom", "licenses", "tls"];
        keys.extend(WAYS);
        let fields = reader.fields(spec, &keys)?;
        let tenant = reader.required(
            &fields,
            "tenant",
            "the directory (tenant) id or a domain of the tenant",
        );
        let tenant = tenant.and_then(|slot| read_token(reader, &slot, "an id or a domain name"));
        let sign_in = SignIn::read(reader, &fields);
        let cloud = match (fields.get("cloud"), fields.get("custom")) {
            (Some(_), Some(custom)) => {
                reader.report(
                    fields.key_at("custom"),
                    ProblemCode::Contradiction,
                    format!("`{}` stands beside `cloud`", custom.path()),
                    "keep one: a known cloud, or addresses of its own",
                );
                None
            }
            (Some(slot), None) => read_known(reader, &slot),
            (None, Some(slot)) => read_custom(reader, &slot),
            (None, None) => Some(Cloud::default()),
        };
        let before = reader.count();
        let licenses = fields
            .get("licenses")
            .and_then(|slot| reader.whole(&slot, 1..=100_000_000));
        let authority_file = fields.get("tls").and_then(|slot| read_authority(reader, &slot));
        if reader.count() > before {
            return None;
        }
        Some(Self {
            tenant: tenant?,
            sign_in: sign_in?,
            cloud: cloud?,
            licenses,
            authority_file,
        })
    }

    pub(crate) fn to_json(&self) -> Json {
        let custom = match &self.cloud {
            Cloud::Custom {
                authority,
                graph_root,
            } => Some(json!({ "authority": authority, "graphRoot": graph_root })),
            _ => None,
        };
        let [client_id, way] = self.sign_in.to_json();
        let tls = self
            .authority_file
            .as_ref()
            .map(|name| json!({ "ca": { "file": name } }));
        object([
            ("tenant", Some(json!(self.tenant))),
            client_id,
            way,
            ("cloud", self.cloud.name().map(|name| json!(name))),
            ("custom", custom),
            ("licenses", self.licenses.map(|licenses| json!(licenses))),
            ("tls", tls),
        ])
    }
}

fn read_known(reader: &mut Reader, slot: &Slot<'_>) -> Option<Cloud> {
    let words = [
        ("global", Known::Global),
        ("us-gov", Known::UsGov),
        ("us-gov-dod", Known::UsGovDod),
        ("china", Known::China),
    ];
    Some(match reader.one_of(slot, &words)? {
        Known::Global => Cloud::Global,
        Known::UsGov => Cloud::UsGov,
        Known::UsGovDod => Cloud::UsGovDod,
        Known::China => Cloud::China,
    })
}

fn read_custom(reader: &mut Reader, slot: &Slot<'_>) -> Option<Cloud> {
    let fields = reader.fields(slot, &["authority", "graphRoot"])?;
    let authority = reader.required(&fields, "authority", "base address of the token service");
    let authority = authority.and_then(|slot| read_base_address(reader, &slot));
    let graph_root = reader.required(&fields, "graphRoot", "base address of Graph, without `/v1.0`");
    let graph_root = graph_root.and_then(|slot| read_base_address(reader, &slot));
    Some(Cloud::Custom {
        authority: authority?,
        graph_root: graph_root?,
    })
}

/// `{ca: {file: NAME}}`. There is no mode: what Graph is sent to is always verified in full.
fn read_authority(reader: &mut Reader, slot: &Slot<'_>) -> Option<String> {
    let tls = reader.fields(slot, &["ca"])?;
    let ca = reader.required(&tls, "ca", "write `ca: {file: NAME}`")?;
    let ca = reader.fields(&ca, &["file"])?;
    let file = reader.required(&ca, "file", "name a file of the server's folder for secrets")?;
    read_bare_name(reader, &file)
}

/// A word that becomes a part of an address or form: letters, digits, `.`, `-`, `_`.
pub(crate) fn read_token(reader: &mut Reader, slot: &Slot<'_>, wanted: &str) -> Option<String> {
    let text = reader.line(slot, 253)?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if text.chars().all(plain) && !text.starts_with('.') {
        return Some(text.to_owned());
    }
    let message = format!("`{}` is {}", slot.path(), quote(text));
    reader.refuse(
        slot,
        message,
        format!("{wanted}: letters, digits, `.`, `-` and `_`"),
    )
}

/// `https://host[:port][/path]`, or `http://` to this very machine. Secrets travel there.
fn read_base_address(reader: &mut Reader, slot: &Slot<'_>) -> Option<String> {
    let text = reader.line(slot, 500)?;
    let address = text.trim_end_matches('/');
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '/' | '[' | ']');
    let local = |rest: &str| {
        let authority = rest.split('/').next().unwrap_or_default();
        let host = match authority.strip_prefix('[') {
            Some(six) => six.split(']').next().unwrap_or_default(),
            None => authority.split(':').next().unwrap_or_default(),
        };
        matches!(host, "localhost" | "127.0.0.1" | "::1")
    };
    let accepted = match (address.strip_prefix("https://"), address.strip_prefix("http://")) {
        (Some(rest), _) => !rest.is_empty() && !rest.starts_with('/') && rest.chars().all(plain),
        (None, Some(rest)) => local(rest) && rest.chars().all(plain),
        (None, None) => false,
    };
    if accepted {
        return Some(address.to_owned());
    }
    reader.refuse(
        slot,
        format!("`{}` is {}", slot.path(), quote(text)),
        "an address that begins with `https://`; `http://` only for localhost, 127.0.0.1 and [::1]; \
         no user, query or fragment",
    )
}
