//! Sites: their ids, addresses and JSON.

use serde_json::{Map, Value, json};

use crate::guid::Guid;
use crate::list::Actor;
use crate::reply::timestamp;
use crate::route::SiteName;

/// A site of the tenant. What answers repeat a thousand times is made once.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    hostname: String,
    /// The site collection's id, the middle part of the composite one.
    pub(crate) collection: Guid,
    /// The web's id, its last part.
    pub(crate) web: Guid,
    /// The server-relative path: empty for the root, else `/sites/name`.
    pub(crate) path: String,
    pub(crate) name: String,
    created: i64,
    id: String,
    escaped_id: String,
    web_url: String,
    mail_domain: String,
    app_user: String,
}

/// When every site was made: the beginning of 2026, in Unix seconds.
const CREATED: i64 = 1_767_225_600;

impl Site {
    /// The site below `/sites/` of this name, or the root where the name is empty.
    pub(crate) fn new(hostname: &str, name: &str, collection: Guid, web: Guid) -> Self {
        let id = format!("{hostname},{collection},{web}");
        let root = name.is_empty();
        let mail_domain = hostname.replace(".sharepoint.", ".onmicrosoft.");
        Self {
            hostname: hostname.to_owned(),
            collection,
            web,
            path: if root {
                String::new()
            } else {
                format!("/sites/{name}")
            },
            name: if root { "Communication site" } else { name }.to_owned(),
            created: CREATED,
            escaped_id: id.replace(',', "%2C"),
            id,
            web_url: if root {
                format!("https://{hostname}")
            } else {
                format!("https://{hostname}/sites/{}", crate::show::url_segment(name))
            },
            app_user: crate::show::user_json(&mail_domain, Actor::App(0)).to_string(),
            mail_domain,
        }
    }

    /// The name that options give it: empty for the root.
    pub(crate) fn option_name(&self) -> &str {
        if self.path.is_empty() { "" } else { &self.name }
    }

    /// The composite id, with plain commas.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// The composite id as paths and contexts spell it.
    pub(crate) fn escaped_id(&self) -> &str {
        &self.escaped_id
    }

    pub(crate) fn web_url(&self) -> &str {
        &self.web_url
    }

    /// The account under which applications write, as JSON text.
    pub(crate) fn app_user(&self) -> &str {
        &self.app_user
    }

    /// The domain of people's addresses.
    pub(crate) fn mail_domain(&self) -> &str {
        &self.mail_domain
    }

    pub(crate) fn json(&self) -> Map<String, Value> {
        let value = json!({
            "createdDateTime": timestamp(self.created),
            "id": self.id(),
            "lastModifiedDateTime": timestamp(self.created),
            "name": if self.path.is_empty() { self.hostname.as_str() } else { self.name.as_str() },
            "webUrl": self.web_url(),
            "displayName": self.name,
            "root": {},
            "siteCollection": { "hostname": self.hostname },
        });
        match value {
            Value::Object(map) => map,
            _ => Map::new(),
        }
    }

    /// Whether a path or an id means this site.
    pub(crate) fn is(&self, name: &SiteName) -> bool {
        match name {
            SiteName::Root => self.path.is_empty(),
            SiteName::Id(id) => {
                id.eq_ignore_ascii_case(&self.id)
                    || Guid::parse(id).is_some_and(|id| id == self.collection)
                    || (self.path.is_empty() && id.eq_ignore_ascii_case(&self.hostname))
            }
            SiteName::Path { host, path } => {
                host.eq_ignore_ascii_case(&self.hostname)
                    && path.trim_end_matches('/').eq_ignore_ascii_case(&self.path)
            }
        }
    }
}
