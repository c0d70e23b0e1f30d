//! The whole tenant as text, and back: what a file keeps from one start to the next.
//!
//! The text is a head line `graph-sim-state VERSION LENGTH CHECK` and one JSON document of LENGTH bytes. Equal
//! tenants give equal texts. Not in it: access tokens (a client asks for a new one), fault rules, recent requests,
//! and everything that the command line says anew (behaviours, profile, latency, secrets).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::guid::Guid;
use crate::list::List;
use crate::options::Options;
use crate::permission::Permissions;
use crate::quota::Quotas;
use crate::random::{Random, hash_text};
use crate::recycle::BinnedList;
use crate::site::Site;
use crate::tenant::Tenant;
use crate::usage::Usage;

/// Takes a tenant's text to where it is kept.
pub(crate) type Keeper = Box<dyn Fn(&str) -> Result<(), String> + Send>;

/// The format that this program writes, and the only one it reads.
const VERSION: &str = "1";
const HEAD: &str = "graph-sim-state";

/// Why a text is not a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StateError {
    /// It does not begin like one.
    NotAState,
    /// It is of a format that this program does not read.
    UnknownVersion(String),
    /// It was cut off or altered.
    Damaged(&'static str),
    /// It fits its check, but not the program: the text says where.
    Unreadable(String),
    /// It is of a tenant that the options do not describe.
    OtherTenant(String),
}

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAState => f.write_str(
                "this is not a state file of graph-sim: name another file, or one that does not exist yet",
            ),
            Self::UnknownVersion(version) => write!(
                f,
                "the state file has format {version:?} and this graph-sim reads format {VERSION} only: use the graph-sim that wrote it, or begin with a new file"
            ),
            Self::Damaged(how) => write!(
                f,
                "the state file is damaged ({how}): restore it from a copy, or begin with a new file"
            ),
            Self::Unreadable(text) => write!(f, "the state file cannot be read: {text}"),
            Self::OtherTenant(text) => write!(f, "the state file is of another tenant: {text}"),
        }
    }
}

impl std::error::Error for StateError {}

#[derive(Serialize, Deserialize)]
struct SavedSite {
    name: String,
    collection: Guid,
    web: Guid,
}

/// What both directions have in common.
#[derive(Serialize, Deserialize)]
struct Head {
    hostname: String,
    time_zone: String,
    directory: Guid,
    sites: Vec<SavedSite>,
    apps: Vec<String>,
    permissions: Permissions,
    next_order: u64,
    ids: Random,
    order: Random,
}

#[derive(Serialize)]
struct Written<'a> {
    head: Head,
    usage: &'a Usage,
    quotas: &'a Quotas,
    lists: Vec<&'a List>,
    binned_lists: Vec<&'a BinnedList>,
}

#[derive(Deserialize)]
struct Read {
    head: Head,
    usage: Usage,
    quotas: Quotas,
    lists: Vec<List>,
    binned_lists: Vec<BinnedList>,
}

/// The JSON of a text, once head line, length and check agree.
fn document(text: &str) -> Result<&str, StateError> {
    let (head, rest) = text.split_once('\n').unwrap_or((text, ""));
    let words: Vec<&str> = head.split(' ').collect();
    let [name, version, more @ ..] = words.as_slice() else {
        return Err(StateError::NotAState);
    };
    if *name != HEAD {
        return Err(StateError::NotAState);
    }
    if *version != VERSION {
        let shown: String = version.chars().take(20).collect();
        return Err(StateError::UnknownVersion(shown));
    }
    let [length, check] = more else {
        return Err(StateError::Damaged("its first line"));
    };
    let body = rest.strip_suffix('\n').unwrap_or(rest);
    if length.parse() != Ok(body.len()) {
        return Err(StateError::Damaged("its length"));
    }
    if format!("{:016x}", hash_text(body)) != *check {
        return Err(StateError::Damaged("its content"));
    }
    Ok(body)
}

impl Tenant {
    /// The whole tenant as text, for [`Tenant::load`].
    ///
    /// # Errors
    /// A text that says what could not be written.
    pub fn save(&self) -> Result<String, String> {
        let sites = self.sites.iter().map(|site| SavedSite {
            name: site.option_name().to_owned(),
            collection: site.collection,
            web: site.web,
        });
        let written = Written {
            head: Head {
                hostname: self.options.hostname.clone(),
                time_zone: self.options.time_zone.name().to_owned(),
                directory: self.directory,
                sites: sites.collect(),
                apps: self.apps.clone(),
                permissions: self.permissions.clone(),
                next_order: self.next_order,
                ids: self.ids.clone(),
                order: self.order.clone(),
            },
            usage: &self.usage,
            quotas: &self.quotas,
            lists: self.lists.values().collect(),
            binned_lists: self.binned_lists.values().collect(),
        };
        let body = serde_json::to_string(&written).map_err(|error| format!("writing the state: {error}"))?;
        let check = hash_text(&body);
        Ok(format!("{HEAD} {VERSION} {} {check:016x}\n{body}\n", body.len()))
    }

    /// A tenant as [`Tenant::save`] wrote it. Sites and clients that the options name and the text does not are
    /// added; host name and time zone must agree.
    ///
    /// # Errors
    /// The text is no such text, is damaged, or of another tenant; or the options are wrong.
    pub fn load(options: Options, text: &str) -> Result<Self, StateError> {
        let read: Read = serde_json::from_str(document(text)?)
            .map_err(|error| StateError::Unreadable(error.to_string()))?;
        let head = read.head;
        if head.hostname != options.hostname {
            let hint = format!("start with --hostname {}", head.hostname);
            return Err(StateError::OtherTenant(hint));
        }
        if head.time_zone != options.time_zone.name() {
            let hint = format!("start with --site-time-zone {}", head.time_zone);
            return Err(StateError::OtherTenant(hint));
        }
        let mut tenant = Self::new(options).map_err(StateError::Unreadable)?;
        let known = head.sites.iter().map(|site| {
            let hostname = &tenant.options.hostname;
            Site::new(hostname, &site.name, site.collection, site.web)
        });
        let mut sites: Vec<Site> = known.collect();
        (tenant.ids, tenant.order) = (head.ids, head.order);
        for site in std::mem::take(&mut tenant.sites) {
            let name = site.option_name();
            if !sites.iter().any(|known| known.option_name() == name) {
                let (collection, web) = (tenant.ids.guid(), tenant.ids.guid());
                sites.push(Site::new(&tenant.options.hostname, name, collection, web));
            }
        }
        let mut apps = head.apps;
        for app in std::mem::take(&mut tenant.apps) {
            if !apps.iter().any(|known| known.eq_ignore_ascii_case(&app)) {
                apps.push(app);
            }
        }
        (tenant.sites, tenant.apps) = (sites, apps);
        tenant.directory = head.directory;
        tenant.permissions = head.permissions;
        tenant.next_order = head.next_order;
        for mut list in read.lists {
            list.build_indexes();
            tenant.check_site(&list)?;
            tenant.lists.insert(list.id, list);
        }
        for mut binned in read.binned_lists {
            binned.list.build_indexes();
            tenant.check_site(&binned.list)?;
            tenant.binned_lists.insert(binned.list.id, binned);
        }
        let fresh = Usage::new(tenant.options.remembered_requests);
        tenant.usage = read.usage.continued(fresh);
        if read.quotas.measures_like(&tenant.quotas) {
            tenant.quotas = read.quotas;
        }
        Ok(tenant)
    }

    fn check_site(&self, list: &List) -> Result<(), StateError> {
        if list.site < self.sites.len() {
            return Ok(());
        }
        Err(StateError::Unreadable(
            "a list is of a site that is missing".to_owned(),
        ))
    }

    /// Has the tenant's text taken to `keeper` on `POST /_sim/state/save` and at [`Tenant::keep`].
    pub fn keep_with(&mut self, keeper: impl Fn(&str) -> Result<(), String> + Send + 'static) {
        self.keeper = Some(Box::new(keeper));
    }

    /// Has the tenant's text kept; `false` where nobody keeps it.
    ///
    /// # Errors
    /// What hindered the keeper.
    pub fn keep(&mut self) -> Result<bool, String> {
        match &self.keeper {
            None => Ok(false),
            Some(keeper) => keeper(&self.save()?).map(|()| true),
        }
    }
}
