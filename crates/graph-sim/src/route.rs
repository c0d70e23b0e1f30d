//! From a request target to the resource it names.

use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};

use crate::message::Method;
use crate::reply::GraphError;

/// How a site is named in a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SiteName {
    Root,
    /// A host alone, or a composite id, or a bare id.
    Id(String),
    /// `{host}:/{path}`.
    Path {
        host: String,
        path: String,
    },
}

/// What a path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Resource {
    Sites,
    AllSites,
    Site(SiteName),
    SubSites(SiteName),
    Lists(SiteName),
    List(SiteName, String),
    Columns(SiteName, String),
    Column(SiteName, String, String),
    Items(SiteName, String),
    Item(SiteName, String, u32),
    Fields(SiteName, String, u32),
    Versions(SiteName, String, u32),
    Version(SiteName, String, u32, String),
    Delta(SiteName, String, Option<String>),
}

/// The kinds of request the simulator counts and faults can be aimed at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// A token request.
    Token,
    /// A whole `$batch`.
    Batch,
    /// A site, or a collection of sites.
    Site,
    /// One list read.
    ListGet,
    /// The collection of lists read.
    Lists,
    /// A list created.
    ListCreate,
    /// A list renamed or described.
    ListUpdate,
    /// A list deleted.
    ListDelete,
    /// One column read.
    ColumnGet,
    /// The collection of columns read.
    Columns,
    /// A column created.
    ColumnCreate,
    /// A column changed.
    ColumnUpdate,
    /// A column deleted.
    ColumnDelete,
    /// One item (or its fields, or one version) read.
    ItemGet,
    /// A page of items read.
    Items,
    /// An item created.
    Create,
    /// An item changed.
    Patch,
    /// An item deleted.
    Delete,
    /// The versions of an item read.
    Versions,
    /// A page of changes read.
    Delta,
    /// Anything else.
    Other,
}

impl Operation {
    /// Every kind, in the order of the enumeration.
    pub const ALL: [Self; 21] = [
        Self::Token,
        Self::Batch,
        Self::Site,
        Self::ListGet,
        Self::Lists,
        Self::ListCreate,
        Self::ListUpdate,
        Self::ListDelete,
        Self::ColumnGet,
        Self::Columns,
        Self::ColumnCreate,
        Self::ColumnUpdate,
        Self::ColumnDelete,
        Self::ItemGet,
        Self::Items,
        Self::Create,
        Self::Patch,
        Self::Delete,
        Self::Versions,
        Self::Delta,
        Self::Other,
    ];

    /// The kind's name in controls and fault rules.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Batch => "batch",
            Self::Site => "site",
            Self::ListGet => "list_get",
            Self::Lists => "lists",
            Self::ListCreate => "list_create",
            Self::ListUpdate => "list_update",
            Self::ListDelete => "list_delete",
            Self::ColumnGet => "column_get",
            Self::Columns => "columns",
            Self::ColumnCreate => "column_create",
            Self::ColumnUpdate => "column_update",
            Self::ColumnDelete => "column_delete",
            Self::ItemGet => "item_get",
            Self::Items => "items",
            Self::Create => "create",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::Versions => "versions",
            Self::Delta => "delta",
            Self::Other => "other",
        }
    }

    /// The kind of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Whether the request changes something.
    #[must_use]
    pub const fn writes(self) -> bool {
        matches!(
            self,
            Self::ListCreate
                | Self::ListUpdate
                | Self::ListDelete
                | Self::ColumnCreate
                | Self::ColumnUpdate
                | Self::ColumnDelete
                | Self::Create
                | Self::Patch
                | Self::Delete
        )
    }

    /// Whether the request changes an item.
    #[must_use]
    pub const fn writes_item(self) -> bool {
        matches!(self, Self::Create | Self::Patch | Self::Delete)
    }

    /// Resource units of one such request; `with_token` matters for delta only.
    #[must_use]
    pub const fn cost(self, with_token: bool) -> u64 {
        match self {
            Self::Token | Self::Batch => 0,
            Self::Site | Self::ListGet | Self::ColumnGet | Self::ItemGet | Self::Other => 1,
            Self::Delta if with_token => 1,
            _ => 2,
        }
    }
}

impl Resource {
    /// What doing `method` here is.
    pub(crate) const fn operation(&self, method: Method) -> Operation {
        use Method::{Delete, Get, Patch, Post};
        match (self, method) {
            (Self::Sites | Self::AllSites | Self::Site(_) | Self::SubSites(_), Get) => Operation::Site,
            (Self::Lists(_), Get) => Operation::Lists,
            (Self::Lists(_), Post) => Operation::ListCreate,
            (Self::List(..), Get) => Operation::ListGet,
            (Self::List(..), Patch) => Operation::ListUpdate,
            (Self::List(..), Delete) => Operation::ListDelete,
            (Self::Columns(..), Get) => Operation::Columns,
            (Self::Columns(..), Post) => Operation::ColumnCreate,
            (Self::Column(..), Get) => Operation::ColumnGet,
            (Self::Column(..), Patch) => Operation::ColumnUpdate,
            (Self::Column(..), Delete) => Operation::ColumnDelete,
            (Self::Items(..), Get) => Operation::Items,
            (Self::Items(..), Post) => Operation::Create,
            (Self::Item(..) | Self::Fields(..) | Self::Version(..), Get) => Operation::ItemGet,
            (Self::Item(..) | Self::Fields(..), Patch) => Operation::Patch,
            (Self::Item(..), Delete) => Operation::Delete,
            (Self::Versions(..), Get) => Operation::Versions,
            (Self::Delta(..), Get) => Operation::Delta,
            _ => Operation::Other,
        }
    }

    /// The site and list named, where a list is named.
    pub(crate) fn list(&self) -> Option<(&SiteName, &str)> {
        match self {
            Self::List(site, list)
            | Self::Columns(site, list)
            | Self::Column(site, list, _)
            | Self::Items(site, list)
            | Self::Item(site, list, _)
            | Self::Fields(site, list, _)
            | Self::Versions(site, list, _)
            | Self::Version(site, list, _, _)
            | Self::Delta(site, list, _) => Some((site, list)),
            _ => None,
        }
    }

    /// The item named, where one is.
    pub(crate) const fn item(&self) -> Option<u32> {
        match self {
            Self::Item(_, _, item)
            | Self::Fields(_, _, item)
            | Self::Versions(_, _, item)
            | Self::Version(_, _, item, _) => Some(*item),
            _ => None,
        }
    }
}

fn unknown() -> GraphError {
    GraphError::new(400, "BadRequest", "Resource not found for the segment.")
}

/// Reads a path below `/v1.0`, such as `/sites/root/lists`.
pub(crate) fn resource(path: &str) -> Result<Resource, GraphError> {
    let mut segments = Vec::new();
    for raw in path.split('/').filter(|raw| !raw.is_empty()) {
        let decoded = percent_decode_str(raw)
            .decode_utf8()
            .map_err(|_| GraphError::invalid("The path is not valid UTF-8."))?;
        segments.push(decoded.into_owned());
    }
    let mut rest = segments.iter().map(String::as_str).collect::<Vec<_>>();
    if rest.first() != Some(&"sites") {
        return Err(unknown());
    }
    rest.remove(0);
    match rest.first() {
        None => return Ok(Resource::Sites),
        Some(&"getAllSites") if rest.len() == 1 => return Ok(Resource::AllSites),
        Some(_) => {}
    }
    let (site, used) = site_name(&rest);
    below_site(site, &rest[used..])
}

fn site_name(segments: &[&str]) -> (SiteName, usize) {
    let first = segments.first().copied().unwrap_or_default();
    if first == "root" {
        return (SiteName::Root, 1);
    }
    // Microsoft's own clients encode the whole of `{host}:/{path}` as one segment.
    if let Some((host, path)) = first.split_once(":/") {
        let path = path.strip_suffix(':').unwrap_or(path);
        let (host, path) = (host.to_owned(), format!("/{path}"));
        return (SiteName::Path { host, path }, 1);
    }
    let Some(host) = first.strip_suffix(':') else {
        return (SiteName::Id(first.to_owned()), 1);
    };
    let mut path = String::new();
    let mut used = 1;
    for segment in &segments[1..] {
        used += 1;
        path.push('/');
        if let Some(last) = segment.strip_suffix(':') {
            path.push_str(last);
            break;
        }
        path.push_str(segment);
    }
    (
        SiteName::Path {
            host: host.to_owned(),
            path,
        },
        used,
    )
}

fn below_site(site: SiteName, rest: &[&str]) -> Result<Resource, GraphError> {
    let owned = |text: &&str| (*text).to_owned();
    Ok(match rest {
        [] => Resource::Site(site),
        ["sites"] => Resource::SubSites(site),
        ["lists"] => Resource::Lists(site),
        ["lists", list] => Resource::List(site, owned(list)),
        ["lists", list, "columns"] => Resource::Columns(site, owned(list)),
        ["lists", list, "columns", column] => Resource::Column(site, owned(list), owned(column)),
        ["lists", list, "items"] => Resource::Items(site, owned(list)),
        ["lists", list, "items", item] => match delta_function(item) {
            Some(token) => Resource::Delta(site, owned(list), token),
            None => Resource::Item(site, owned(list), item_id(item)?),
        },
        ["lists", list, "items", item, "fields"] => Resource::Fields(site, owned(list), item_id(item)?),
        ["lists", list, "items", item, "versions"] => Resource::Versions(site, owned(list), item_id(item)?),
        ["lists", list, "items", item, "versions", version] => {
            Resource::Version(site, owned(list), item_id(item)?, owned(version))
        }
        _ => return Err(unknown()),
    })
}

fn item_id(text: &str) -> Result<u32, GraphError> {
    if text == "$count" {
        return Err(GraphError::invalid("Counting is not allowed on this collection."));
    }
    text.parse()
        .map_err(|_| GraphError::not_found("The specified item was not found."))
}

/// `Some` for `delta`, `delta()` and `delta(token='…')`, with the token where there is one.
fn delta_function(segment: &str) -> Option<Option<String>> {
    let rest = segment
        .strip_prefix("microsoft.graph.")
        .unwrap_or(segment)
        .strip_prefix("delta")?;
    if rest.is_empty() || rest == "()" {
        return Some(None);
    }
    let inner = rest.strip_prefix('(')?.strip_suffix(')')?;
    let token = inner.strip_prefix("token=")?;
    Some(Some(token.trim_matches('\'').to_owned()))
}

#[cfg(test)]
mod tests {
    use super::{Operation, Resource, SiteName, resource};
    use crate::message::Method;

    #[test]
    fn sites_are_named_by_root_id_and_path() {
        assert_eq!(resource("/sites/root").unwrap(), Resource::Site(SiteName::Root));
        let id = "contoso.sharepoint.com,a,b".to_owned();
        assert_eq!(
            resource("/sites/contoso.sharepoint.com%2Ca%2Cb/lists").unwrap(),
            Resource::Lists(SiteName::Id(id))
        );
        let by_path = SiteName::Path {
            host: "h".to_owned(),
            path: "/sites/Team".to_owned(),
        };
        assert_eq!(
            resource("/sites/h:/sites/Team").unwrap(),
            Resource::Site(by_path.clone())
        );
        assert_eq!(
            resource("/sites/h:/sites/Team:/lists").unwrap(),
            Resource::Lists(by_path)
        );
        assert_eq!(
            resource("/sites/h%3A%2Fsites%2FTeam/lists").unwrap(),
            Resource::Lists(SiteName::Path {
                host: "h".to_owned(),
                path: "/sites/Team".to_owned(),
            })
        );
        assert_eq!(resource("/sites").unwrap(), Resource::Sites);
        assert_eq!(resource("/sites/getAllSites").unwrap(), Resource::AllSites);
    }

    #[test]
    fn delta_is_found_in_all_its_spellings() {
        let list =
            |token: Option<&str>| Resource::Delta(SiteName::Root, "L".to_owned(), token.map(str::to_owned));
        assert_eq!(resource("/sites/root/lists/L/items/delta").unwrap(), list(None));
        assert_eq!(resource("/sites/root/lists/L/items/delta()").unwrap(), list(None));
        assert_eq!(
            resource("/sites/root/lists/L/items/delta(token='latest')").unwrap(),
            list(Some("latest"))
        );
    }

    #[test]
    fn unknown_paths_and_counting_are_refused() {
        assert_eq!(resource("/me").unwrap_err().status, 400);
        assert_eq!(resource("/sites/root/drive").unwrap_err().status, 400);
        assert_eq!(
            resource("/sites/root/lists/L/items/$count").unwrap_err().status,
            400
        );
        assert_eq!(resource("/sites/root/lists/L/items/x").unwrap_err().status, 404);
    }

    #[test]
    fn every_kind_of_request_has_the_documented_price() {
        let price = |path: &str, method: Method| resource(path).unwrap().operation(method).cost(false);
        assert_eq!(price("/sites/root/lists/L/items/1", Method::Get), 1);
        assert_eq!(price("/sites/root/lists/L/items", Method::Get), 2);
        assert_eq!(price("/sites/root/lists/L/items", Method::Post), 2);
        assert_eq!(price("/sites/root/lists/L/items/1", Method::Delete), 2);
        assert_eq!(price("/sites/root/lists/L/items/1/fields", Method::Patch), 2);
        assert_eq!(price("/sites/root/lists/L/items/delta", Method::Get), 2);
        assert_eq!(Operation::Delta.cost(true), 1);
        assert_eq!(price("/sites/root", Method::Get), 1);
        for kind in Operation::ALL {
            assert_eq!(Operation::parse(kind.name()), Some(kind));
        }
    }
}
