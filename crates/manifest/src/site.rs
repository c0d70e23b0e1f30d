//! Which SharePoint site a list is on.

use std::fmt;

use crate::reader::{Reader, Slot, quote};

/// A SharePoint site.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SiteRef {
    /// By its address. `path` is `/` for a host's root site, otherwise `/sites/…` without a slash at the end.
    Path {
        /// Host, lower case.
        host: String,
        /// Path on that host, percent-decoded where it was an address.
        path: String,
    },
    /// By Graph's id, `host,guid,guid`, taken as it is.
    Id(String),
}

impl fmt::Display for SiteRef {
    /// `host:/path`, or the id.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SiteRef::Path { host, path } => write!(f, "{host}:{path}"),
            SiteRef::Id(id) => f.write_str(id),
        }
    }
}

impl SiteRef {
    /// Understands `https://host/sites/Name`, `host:/sites/Name`, `host` and `host,guid,guid`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(rest) = text.strip_prefix("https://") {
            if rest.contains(['?', '#', '@']) {
                return None;
            }
            let (host, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
            return Self::by_path(host, &percent_decoded(path)?);
        }
        if text.contains(',') {
            let parts: Vec<&str> = text.split(',').collect();
            let [host, collection, web] = parts[..] else {
                return None;
            };
            let known = is_host(host) && is_guid(collection) && is_guid(web);
            return known.then(|| SiteRef::Id(text.to_owned()));
        }
        match text.split_once(':') {
            Some((host, path)) => Self::by_path(host, path),
            None => Self::by_path(text, ""),
        }
    }

    fn by_path(host: &str, path: &str) -> Option<Self> {
        let path = path.trim_end_matches('/');
        // The path becomes a part of a request's address, so nothing in it may lead elsewhere.
        let segment = |part: &str| {
            !part.is_empty() && part != "." && part != ".." && !part.chars().any(is_forbidden_in_path)
        };
        let path_fits = path.is_empty()
            || path
                .strip_prefix('/')
                .is_some_and(|rest| rest.split('/').all(segment));
        (is_host(host) && path_fits).then(|| SiteRef::Path {
            host: host.to_ascii_lowercase(),
            path: if path.is_empty() {
                "/".to_owned()
            } else {
                path.to_owned()
            },
        })
    }

    pub(crate) fn read(reader: &mut Reader, slot: &Slot<'_>) -> Option<Self> {
        let text = reader.line(slot, 1_000)?;
        let parsed = Self::parse(text);
        if parsed.is_none() {
            return reader.refuse(
                slot,
                format!("`{}` is {}", slot.path(), quote(text)),
                "the address of the site (https://contoso.sharepoint.com/sites/Company), \
                 host and path (contoso.sharepoint.com:/sites/Company), or Graph's site id (host,guid,guid)",
            );
        }
        parsed
    }
}

fn is_forbidden_in_path(c: char) -> bool {
    c.is_control() || matches!(c, '?' | '#' | '%' | '\\' | ':' | '"' | '*' | '<' | '>' | '|')
}

fn is_host(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 253 && text.contains('.') && text.split('.').all(label)
}

fn is_guid(text: &str) -> bool {
    let lengths: Vec<usize> = text.split('-').map(str::len).collect();
    lengths == [8, 4, 4, 4, 12] && text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-')
}

/// Decodes `%20` and the like; `None` where that is no text.
fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            let digits = std::str::from_utf8(&digits)
                .ok()
                .filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()))?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_is_understood_in_every_form_people_copy() {
        for (text, shown) in [
            (
                "https://contoso.sharepoint.com/sites/Company",
                "contoso.sharepoint.com:/sites/Company",
            ),
            (
                "https://Contoso.sharepoint.com/sites/Our%20Company/",
                "contoso.sharepoint.com:/sites/Our Company",
            ),
            (
                "contoso.sharepoint.com:/sites/Company",
                "contoso.sharepoint.com:/sites/Company",
            ),
            (
                "contoso.sharepoint.com:/teams/Büro/sub",
                "contoso.sharepoint.com:/teams/Büro/sub",
            ),
            ("https://contoso.sharepoint.com", "contoso.sharepoint.com:/"),
            ("contoso.sharepoint.com", "contoso.sharepoint.com:/"),
            (
                "contoso.sharepoint.com,2c712604-1370-44e7-a1f5-426573fda80a,2d2244c3-251a-49ea-93a8-39e1c3a060fe",
                "contoso.sharepoint.com,2c712604-1370-44e7-a1f5-426573fda80a,2d2244c3-251a-49ea-93a8-39e1c3a060fe",
            ),
        ] {
            assert_eq!(
                SiteRef::parse(text).map(|site| site.to_string()).as_deref(),
                Some(shown),
                "{text}"
            );
            assert_eq!(SiteRef::parse(shown), SiteRef::parse(text), "{text}");
        }
    }

    #[test]
    fn a_site_that_leads_elsewhere_is_refused() {
        for text in [
            "",
            "contoso",
            "http://contoso.sharepoint.com/sites/Company",
            "https://contoso.sharepoint.com/sites/../x",
            "https://contoso.sharepoint.com/sites/%2e%2e/x",
            "https://contoso.sharepoint.com/sites/a%3fb",
            "https://contoso.sharepoint.com/sites/a%2",
            "https://me@contoso.sharepoint.com/sites/Company",
            "https://contoso.sharepoint.com/sites/Company?x=1",
            "contoso.sharepoint.com:sites/Company",
            "contoso.sharepoint.com:/sites//Company",
            "contoso.sharepoint.com,1,2",
        ] {
            assert_eq!(SiteRef::parse(text), None, "{text}");
        }
    }
}
