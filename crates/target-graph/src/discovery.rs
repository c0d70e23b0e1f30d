//! Finding sites, lists and columns, and telling what the app may do there (contract §2, §3).

use percent_encoding::percent_decode_str;
use serde::Deserialize;
use syncbridge_domain::failure::{Failure, Scope};
use syncbridge_domain::quota::{Ru, WhyTag};
use url::Url;

use crate::classify::Endpoint;
use crate::client::GraphClient;
use crate::codes;
use crate::column::ListColumn;
use crate::request::{Call, segment, with_query};
use crate::transport::Transport;

/// A site. The id is opaque.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Site {
    /// Opaque id.
    pub id: String,
    /// Name people see.
    #[serde(default)]
    pub display_name: String,
    /// Address people open.
    #[serde(default)]
    pub web_url: String,
}

/// A list of a site.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct List {
    /// GUID.
    pub id: String,
    /// Segment of its address; derived from the first display name.
    #[serde(default)]
    pub name: String,
    /// Name people see, unique in the site.
    #[serde(default)]
    pub display_name: String,
    /// Address people open.
    #[serde(default)]
    pub web_url: String,
    #[serde(default)]
    list: ListFacet,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
struct ListFacet {
    #[serde(default)]
    template: String,
}

impl List {
    /// The template, e.g. `genericList` or `documentLibrary`; empty where the service did not say.
    #[must_use]
    pub fn template(&self) -> &str {
        &self.list.template
    }
}

#[derive(Deserialize)]
struct Page<A> {
    value: Vec<A>,
    #[serde(rename = "@odata.nextLink")]
    next: Option<String>,
}

/// What an address pasted by a person points to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastedAddress {
    /// Host of the site.
    pub host: String,
    /// Server-relative path of the site, with a slash in front; empty for the root site.
    pub site_path: String,
    /// Name of the list in its address, if the address leads to a list.
    pub list_name: Option<String>,
}

/// What the app may do, found without writing anything.
#[derive(Clone, Debug)]
pub struct Access {
    /// Reading the site.
    pub site: Result<Site, Failure>,
    /// Reading the list, or the site's lists where no list was named.
    pub lists: Result<(), Failure>,
    /// Reading the list's columns; `Ok` where no list was named.
    pub columns: Result<(), Failure>,
}

/// No more pages of lists or columns are followed than this; beyond it the service is talking nonsense.
const MAX_PAGES: usize = 100;

/// Reads an address as people paste it: of a site, of a list in any of its views, or a sharing link of these.
///
/// # Errors
/// [`codes::BAD_ADDRESS`] when it is no https address of a host.
pub fn read_address(pasted: &str) -> Result<PastedAddress, Failure> {
    let refuse = || {
        Failure::new(
            Scope::List,
            codes::BAD_ADDRESS,
            "the address leads to no site",
            "open the site or list in the browser and paste its address (https://…)",
        )
    };
    let url = Url::parse(pasted.trim()).map_err(|_| refuse())?;
    if !matches!(url.scheme(), "https" | "http") {
        return Err(refuse());
    }
    let host = url.host_str().ok_or_else(refuse)?.to_owned();
    let decoded = |part: &str| {
        percent_decode_str(part)
            .decode_utf8()
            .map(|text| text.into_owned())
    };
    let segments: Result<Vec<String>, _> = url
        .path_segments()
        .into_iter()
        .flatten()
        .filter(|part| !part.is_empty())
        .map(decoded)
        .collect();
    let mut segments = segments.map_err(|_| refuse())?;
    // A sharing link: /:l:/r/sites/…
    if segments
        .first()
        .is_some_and(|first| first.starts_with(':') && first.ends_with(':'))
    {
        segments.drain(..segments.len().min(2));
    }
    let is = |part: &String, word: &str| part.eq_ignore_ascii_case(word);
    let (site, list_name) = match segments.iter().position(|part| is(part, "Lists")) {
        Some(at) => (&segments[..at], segments.get(at + 1).cloned()),
        None => {
            let page = ["SitePages", "_layouts", "Forms", "Pages"];
            let end = segments
                .iter()
                .position(|part| page.iter().any(|word| is(part, word)) || part.ends_with(".aspx"));
            let mut site = &segments[..end.unwrap_or(segments.len())];
            if end.is_some_and(|at| is(&segments[at], "Forms")) {
                // /…/Library/Forms/AllItems.aspx: the segment before is a library.
                site = &site[..site.len().saturating_sub(1)];
            }
            (site, None)
        }
    };
    let site_path = site.iter().fold(String::new(), |path, part| path + "/" + part);
    Ok(PastedAddress {
        host,
        site_path,
        list_name,
    })
}

impl<T: Transport> GraphClient<T> {
    /// A site by what a person gives: a pasted address of the site or of a list in it, `host:/path`, or an id.
    ///
    /// # Errors
    /// [`codes::SITE_NOT_FOUND`], [`codes::BAD_ADDRESS`], [`codes::FORBIDDEN`] and whatever keeps Graph from answering.
    pub async fn site(&self, locator: &str) -> Result<Site, Failure> {
        let locator = locator.trim();
        if locator.contains("://") {
            let address = read_address(locator)?;
            return self.site_by_path(&address.host, &address.site_path).await;
        }
        match locator.split_once(":/") {
            Some((host, path)) => self.site_by_path(host, path).await,
            None => self.site_by_id(locator).await,
        }
    }

    /// A site by host and server-relative path; an empty path is the root site.
    ///
    /// # Errors
    /// As [`GraphClient::site`].
    pub async fn site_by_path(&self, host: &str, path: &str) -> Result<Site, Failure> {
        let parts: Vec<String> = path
            .split('/')
            .filter(|part| !part.is_empty())
            .map(segment)
            .collect();
        let path = if parts.is_empty() {
            format!("/sites/{}", segment(host))
        } else {
            format!("/sites/{}:/{}", segment(host), parts.join("/"))
        };
        self.get_site(path, "/sites/{host}:/{path}").await
    }

    /// A site by its id.
    ///
    /// # Errors
    /// As [`GraphClient::site`].
    pub async fn site_by_id(&self, id: &str) -> Result<Site, Failure> {
        self.get_site(format!("/sites/{}", segment(id)), "/sites/{site}")
            .await
    }

    async fn get_site(&self, path: String, template: &str) -> Result<Site, Failure> {
        let call = Call::get(
            path,
            template,
            Endpoint::Discovery,
            WhyTag::Provision,
            Ru::SINGLE_READ,
        );
        self.read(call).await.map_err(|error| error.failure)
    }

    /// All lists of a site that are not hidden.
    ///
    /// # Errors
    /// [`codes::FORBIDDEN`], [`codes::SITE_NOT_FOUND`] and whatever keeps Graph from answering.
    pub async fn lists(&self, site: &str) -> Result<Vec<List>, Failure> {
        let path = format!("/sites/{}/lists", segment(site));
        self.all_pages(path, "/sites/{site}/lists", Endpoint::Discovery)
            .await
    }

    /// A list by id or by display name; `None` where there is none.
    ///
    /// # Errors
    /// [`codes::FORBIDDEN`] and whatever keeps Graph from answering.
    pub async fn list(&self, site: &str, id_or_title: &str) -> Result<Option<List>, Failure> {
        let path = format!("/sites/{}/lists/{}", segment(site), segment(id_or_title));
        let call = Call::get(
            path,
            "/sites/{site}/lists/{list}",
            Endpoint::List,
            WhyTag::Provision,
            Ru::SINGLE_READ,
        );
        match self.read(call).await {
            Ok(list) => Ok(Some(list)),
            Err(error) if error.failure.code == codes::LIST_NOT_FOUND => Ok(None),
            Err(error) => Err(error.failure),
        }
    }

    /// A list by its display name among the site's lists; case does not matter, as in the site itself.
    ///
    /// # Errors
    /// As [`GraphClient::lists`].
    pub async fn list_by_name(&self, site: &str, display_name: &str) -> Result<Option<List>, Failure> {
        let wanted = display_name.to_lowercase();
        Ok(self
            .lists(site)
            .await?
            .into_iter()
            .find(|list| list.display_name.to_lowercase() == wanted))
    }

    /// The site and list that a pasted address leads to; no list where it leads to a site only.
    ///
    /// # Errors
    /// As [`GraphClient::site`]; [`codes::LIST_NOT_FOUND`] where the address names a list that is not there.
    pub async fn by_address(&self, pasted: &str) -> Result<(Site, Option<List>), Failure> {
        let address = read_address(pasted)?;
        let site = self.site_by_path(&address.host, &address.site_path).await?;
        let Some(name) = address.list_name else {
            return Ok((site, None));
        };
        let lists = self.lists(&site.id).await?;
        match lists
            .into_iter()
            .find(|list| list.name == name || last_segment(&list.web_url) == Some(name.clone()))
        {
            Some(list) => Ok((site, Some(list))),
            None => Err(Failure::new(
                Scope::List,
                codes::LIST_NOT_FOUND,
                "the address names a list that is not there, or that the app may not see",
                "check the list's address and that the app was granted access to it",
            )),
        }
    }

    /// All columns of a list, hidden and built-in ones included.
    ///
    /// # Errors
    /// [`codes::LIST_NOT_FOUND`], [`codes::FORBIDDEN`] and whatever keeps Graph from answering.
    pub async fn columns(&self, site: &str, list: &str) -> Result<Vec<ListColumn>, Failure> {
        let found = self.column_answers(site, list).await?;
        Ok(found.into_iter().map(ListColumn::from).collect())
    }

    /// Finds what the app may read; writing is known only by writing, so its lack shows in the first run.
    pub async fn probe_access(&self, site: &str, list: Option<&str>) -> Access {
        let found = self.site(site).await;
        let Ok(known) = &found else {
            let failure = found.clone().err();
            let missing = || failure.clone().map_or(Ok(()), Err);
            return Access {
                lists: missing(),
                columns: missing(),
                site: found,
            };
        };
        let Some(list) = list else {
            return Access {
                lists: self.lists(&known.id).await.map(|_| ()),
                columns: Ok(()),
                site: found,
            };
        };
        let lists = match self.list(&known.id, list).await {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err(list_not_found()),
            Err(failure) => Err(failure),
        };
        Access {
            lists,
            columns: self.columns(&known.id, list).await.map(|_| ()),
            site: found,
        }
    }

    /// Everything behind an address of pages, by their own links.
    pub(crate) async fn all_pages<A: serde::de::DeserializeOwned>(
        &self,
        path: String,
        template: &str,
        endpoint: Endpoint,
    ) -> Result<Vec<A>, Failure> {
        let first = Call::get(
            with_query(&path, &[]),
            template,
            endpoint,
            WhyTag::Provision,
            Ru::MULTI_READ,
        )
        .page();
        let mut call = first.clone();
        let mut all = Vec::new();
        for _ in 0..MAX_PAGES {
            let page: Page<A> = self.read(call).await.map_err(|error| error.failure)?;
            all.extend(page.value);
            match page.next {
                None => return Ok(all),
                Some(next) => call = first.clone().link(&next),
            }
        }
        Err(Failure::new(
            Scope::List,
            codes::ANSWER_UNREADABLE,
            "the service's pages have no end",
            "check the connection's cloud, or a proxy in between",
        ))
    }

    /// Whether a list answers at all.
    pub(crate) async fn list_answers(&self, site: &str, list: &str, why: WhyTag) -> Result<(), Failure> {
        let path = with_query(
            &format!("/sites/{}/lists/{}", segment(site), segment(list)),
            &[("$select", "id")],
        );
        let call = Call::get(
            path,
            "/sites/{site}/lists/{list}",
            Endpoint::List,
            why,
            Ru::SINGLE_READ,
        );
        self.core
            .read(call, &self.caller)
            .await
            .map(|_| ())
            .map_err(|error| error.failure)
    }
}

pub(crate) fn list_not_found() -> Failure {
    Failure::new(
        Scope::List,
        codes::LIST_NOT_FOUND,
        "the list is not there, or the app may not see it",
        "restore the list from the site's recycle bin, or apply the definition again to make a new one",
    )
}

fn last_segment(address: &str) -> Option<String> {
    let url = Url::parse(address).ok()?;
    let last = url.path_segments()?.rfind(|part| !part.is_empty())?;
    percent_decode_str(last)
        .decode_utf8()
        .ok()
        .map(|text| text.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pasted_addresses_of_sites_and_lists_are_understood() {
        let cases = [
            ("https://c.sharepoint.com/sites/Company", "/sites/Company", None),
            ("https://c.sharepoint.com/sites/Company/", "/sites/Company", None),
            ("https://c.sharepoint.com", "", None),
            (
                "https://c.sharepoint.com/sites/Company/Lists/Our%20Projects/AllItems.aspx?viewid=1",
                "/sites/Company",
                Some("Our Projects"),
            ),
            ("https://c.sharepoint.com/Lists/Projects", "", Some("Projects")),
            (
                "https://c.sharepoint.com/sites/Company/SitePages/Home.aspx",
                "/sites/Company",
                None,
            ),
            (
                "https://c.sharepoint.com/sites/Company/Shared%20Documents/Forms/AllItems.aspx",
                "/sites/Company",
                None,
            ),
            (
                "https://c.sharepoint.com/:l:/r/sites/Company/Lists/Projects?e=x",
                "/sites/Company",
                Some("Projects"),
            ),
            (
                "https://c.sharepoint.com/sites/Company/sub/_layouts/15/start.aspx",
                "/sites/Company/sub",
                None,
            ),
        ];
        for (pasted, site, list) in cases {
            let read = read_address(pasted).unwrap();
            assert_eq!(
                (read.host.as_str(), read.site_path.as_str()),
                ("c.sharepoint.com", site),
                "{pasted}"
            );
            assert_eq!(read.list_name.as_deref(), list, "{pasted}");
        }
        for nonsense in ["", "Company", "ftp://host/x", "https://"] {
            assert_eq!(
                read_address(nonsense).unwrap_err().code,
                codes::BAD_ADDRESS,
                "{nonsense}"
            );
        }
    }
}
