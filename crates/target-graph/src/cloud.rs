//! The known clouds, and what their addresses are (contract §1).

use syncbridge_domain::failure::{Failure, Scope};
use url::Url;

use crate::codes;
use crate::egress::{self, EgressRules};

/// Which Microsoft cloud a connection talks to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cloud {
    /// The worldwide service, GCC included.
    Global,
    /// US Government L4 (GCC High).
    UsGov,
    /// US Government L5 (DoD).
    UsGovDod,
    /// Operated by 21Vianet.
    China,
    /// Any other, the simulator among them; only where an administrator allows it.
    Custom {
        /// Where tokens come from, without the tenant.
        authority: String,
        /// Root of Graph, without the version.
        graph_root: String,
    },
}

impl Cloud {
    /// The cloud of a name used in documents: `global`, `us-gov`, `us-gov-dod`, `china`.
    #[must_use]
    pub fn named(name: &str) -> Option<Cloud> {
        match name {
            "global" => Some(Cloud::Global),
            "us-gov" => Some(Cloud::UsGov),
            "us-gov-dod" => Some(Cloud::UsGovDod),
            "china" => Some(Cloud::China),
            _ => None,
        }
    }

    /// Whether the cloud's lists tell what changed (contract §1); `None` where only asking it can tell. Without it
    /// changes are found by reading whole lists.
    #[must_use]
    pub fn has_list_delta(&self) -> Option<bool> {
        match self {
            Cloud::Global | Cloud::UsGov | Cloud::UsGovDod | Cloud::China => Some(true),
            // Two closed clouds of the US government lack it, and they can only be named by their addresses.
            Cloud::Custom { .. } => None,
        }
    }

    fn addresses(&self) -> (&str, &str) {
        match self {
            Cloud::Global => ("https://login.microsoftonline.com", "https://graph.microsoft.com"),
            Cloud::UsGov => ("https://login.microsoftonline.us", "https://graph.microsoft.us"),
            Cloud::UsGovDod => (
                "https://login.microsoftonline.us",
                "https://dod-graph.microsoft.us",
            ),
            Cloud::China => (
                "https://login.chinacloudapi.cn",
                "https://microsoftgraph.chinacloudapi.cn",
            ),
            Cloud::Custom {
                authority,
                graph_root,
            } => (authority, graph_root),
        }
    }

    /// The addresses, judged by the egress rules.
    ///
    /// # Errors
    /// [`codes::EGRESS_DENIED`] for a custom cloud that is not allowed or whose addresses are not.
    pub fn endpoints(&self, rules: EgressRules) -> Result<Endpoints, Failure> {
        if matches!(self, Cloud::Custom { .. }) && !rules.allow_custom_cloud {
            return Err(Failure::new(
                Scope::Tenant,
                codes::EGRESS_DENIED,
                "the connection names an authority and Graph root outside the known clouds",
                "use `cloud: global`, `us-gov`, `us-gov-dod` or `china`, or let an administrator allow custom clouds",
            ));
        }
        let (authority, root) = self.addresses();
        let authority = egress::check(authority.trim_end_matches('/'), "authority", rules)?;
        let root = egress::check(root.trim_end_matches('/'), "Graph root", rules)?;
        Ok(Endpoints {
            authority: authority.as_str().trim_end_matches('/').to_owned(),
            scope: format!("{}/.default", root.as_str().trim_end_matches('/')),
            api: format!("{}/v1.0", root.as_str().trim_end_matches('/')),
            root,
        })
    }
}

/// Checked addresses of a cloud.
#[derive(Clone, Debug)]
pub struct Endpoints {
    authority: String,
    root: Url,
    api: String,
    scope: String,
}

impl Endpoints {
    /// Where tokens of a tenant come from; `tenant` must be percent-encoded.
    pub(crate) fn token(&self, tenant: &str) -> String {
        format!("{}/{tenant}/oauth2/v2.0/token", self.authority)
    }

    /// What an app-only token is asked for.
    pub(crate) fn scope(&self) -> &str {
        &self.scope
    }

    /// What a machine's identity service is asked for: the same, in its older form.
    pub(crate) fn resource(&self) -> String {
        format!("{}/", self.root.as_str().trim_end_matches('/'))
    }

    /// Absolute address of a path below the API version; the path begins with `/`.
    pub(crate) fn api(&self, path: &str) -> String {
        format!("{}{path}", self.api)
    }

    /// Judges a link from an answer. It is followed verbatim, but a token is sent along, so it must lead to the
    /// same origin and the same API.
    pub(crate) fn same_api(&self, link: &str) -> bool {
        let Ok(url) = Url::parse(link) else { return false };
        let Ok(api) = Url::parse(&self.api) else {
            return false;
        };
        url.origin() == self.root.origin()
            && url.username().is_empty()
            && url.password().is_none()
            && url
                .path()
                .strip_prefix(api.path())
                .is_some_and(|rest| rest.starts_with('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_followed_within_the_same_api_only() {
        let endpoints = Cloud::Global.endpoints(EgressRules::default()).unwrap();
        assert!(endpoints.same_api("https://graph.microsoft.com/v1.0/sites/a/lists/b/items?$skiptoken=x"));
        for link in [
            "https://evil.example/v1.0/sites",
            "http://graph.microsoft.com/v1.0/sites",
            "https://graph.microsoft.com:8443/v1.0/sites",
            "https://graph.microsoft.com.evil.example/v1.0/sites",
            "https://user@graph.microsoft.com/v1.0/sites",
            "https://graph.microsoft.com/beta/sites",
            "https://graph.microsoft.com/v1.0/../beta/sites",
            "/v1.0/sites",
            "",
        ] {
            assert!(!endpoints.same_api(link), "{link}");
        }
    }

    #[test]
    fn every_known_cloud_has_https_addresses_and_a_custom_one_needs_leave() {
        for name in ["global", "us-gov", "us-gov-dod", "china"] {
            let endpoints = Cloud::named(name)
                .unwrap()
                .endpoints(EgressRules::default())
                .unwrap();
            assert!(endpoints.token("t").starts_with("https://login."), "{name}");
            assert!(endpoints.scope().ends_with("/.default"));
        }
        // Contract §1, word for word: tokens of one cloud are not taken by another.
        for (name, authority, root) in [
            ("global", "login.microsoftonline.com", "graph.microsoft.com"),
            ("us-gov", "login.microsoftonline.us", "graph.microsoft.us"),
            ("us-gov-dod", "login.microsoftonline.us", "dod-graph.microsoft.us"),
            (
                "china",
                "login.chinacloudapi.cn",
                "microsoftgraph.chinacloudapi.cn",
            ),
        ] {
            let cloud = Cloud::named(name).unwrap();
            let endpoints = cloud.endpoints(EgressRules::default()).unwrap();
            assert_eq!(
                endpoints.token("t"),
                format!("https://{authority}/t/oauth2/v2.0/token")
            );
            assert_eq!(endpoints.scope(), format!("https://{root}/.default"));
            assert_eq!(endpoints.resource(), format!("https://{root}/"));
            assert_eq!(endpoints.api("/sites"), format!("https://{root}/v1.0/sites"));
            assert_eq!(cloud.has_list_delta(), Some(true));
        }
        let custom = Cloud::Custom {
            authority: "http://127.0.0.1:1".into(),
            graph_root: "http://127.0.0.1:1/".into(),
        };
        assert!(custom.endpoints(EgressRules::default()).is_err());
        assert_eq!(custom.has_list_delta(), None);
        let rules = EgressRules {
            allow_custom_cloud: true,
            allow_insecure_loopback: true,
        };
        let endpoints = custom.endpoints(rules).unwrap();
        assert_eq!(endpoints.api("/sites"), "http://127.0.0.1:1/v1.0/sites");
        assert_eq!(endpoints.token("t"), "http://127.0.0.1:1/t/oauth2/v2.0/token");
    }
}
