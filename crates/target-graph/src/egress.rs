//! Where requests may go: https, never to metadata services or link-local addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use syncbridge_domain::failure::{Failure, Scope};
use url::{Host, Url};

use crate::codes;

/// Names under which clouds offer credentials to whoever asks from inside.
const METADATA_HOSTS: [&str; 4] = [
    "metadata",
    "metadata.google.internal",
    "metadata.azure.com",
    "instance-data",
];

/// Path of a machine's identity service, wherever it is.
pub(crate) const IDENTITY_SERVICE_PATH: &str = "/metadata/identity/oauth2/token";
/// The identity service of every machine in Azure.
pub(crate) const IDENTITY_SERVICE: &str = "http://169.254.169.254/metadata/identity/oauth2/token";

/// Leave to send one request to the machine's identity service, which is denied to everything else. Nobody but the
/// token source of a managed identity can make one.
#[derive(Clone, Debug)]
pub struct IdentityServiceLeave(());

impl IdentityServiceLeave {
    pub(crate) fn new() -> Self {
        Self(())
    }

    /// Whether this is the one address the leave is for.
    #[must_use]
    pub fn is_for(&self, address: &str) -> bool {
        Url::parse(address).is_ok_and(|url| {
            url.scheme() == "http"
                && url.host() == Some(Host::Ipv4(Ipv4Addr::new(169, 254, 169, 254)))
                && url.port().is_none()
                && url.username().is_empty()
                && url.password().is_none()
                && url.path() == IDENTITY_SERVICE_PATH
        })
    }
}

/// What an administrator allows beyond the known clouds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EgressRules {
    /// Authority and Graph root other than those of the known clouds.
    pub allow_custom_cloud: bool,
    /// Plain http, to this machine only (the simulator).
    pub allow_insecure_loopback: bool,
}

/// Whether nothing may ever be sent to this address.
#[must_use]
pub fn is_denied_address(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_denied_v4(v4),
        IpAddr::V6(v6) => {
            let aws_metadata = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
            v6.to_ipv4_mapped().is_some_and(is_denied_v4)
                || (v6.segments()[0] & 0xffc0) == 0xfe80
                || v6.is_unspecified()
                || v6.is_multicast()
                || v6 == aws_metadata
        }
    }
}

fn is_denied_v4(address: Ipv4Addr) -> bool {
    // The last two: metadata of one cloud and the platform service of another, both outside link-local.
    address.is_link_local()
        || address.is_unspecified()
        || address.is_multicast()
        || address.is_broadcast()
        || address == Ipv4Addr::new(100, 100, 100, 200)
        || address == Ipv4Addr::new(168, 63, 129, 16)
}

/// Reads an address and judges it. `what` names the setting in the failure.
///
/// # Errors
/// [`codes::EGRESS_DENIED`] when it is no https address, carries credentials, or leads where nothing may go.
pub fn check(address: &str, what: &str, rules: EgressRules) -> Result<Url, Failure> {
    let refuse = |cause: String, fix: &str| Failure::new(Scope::Tenant, codes::EGRESS_DENIED, cause, fix);
    let url = Url::parse(address)
        .map_err(|_| refuse(format!("the {what} is not an address"), "give it as https://host"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refuse(
            format!("the {what} carries a user name or password"),
            "remove it from the address",
        ));
    }
    let denied = match url.host() {
        None => true,
        Some(Host::Domain(name)) => {
            METADATA_HOSTS.contains(&name.trim_end_matches('.').to_ascii_lowercase().as_str())
        }
        Some(Host::Ipv4(v4)) => is_denied_address(v4.into()),
        Some(Host::Ipv6(v6)) => is_denied_address(v6.into()),
    };
    if denied {
        return Err(refuse(
            format!("the {what} leads to a metadata service or a link-local address"),
            "name the public host of the service",
        ));
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if rules.allow_insecure_loopback && is_loopback(&url) => Ok(url),
        _ => Err(refuse(
            format!("the {what} is not https"),
            "use https; plain http is possible only to this machine and only where the administrator allows it",
        )),
    }
}

/// Whether the host is this machine.
#[must_use]
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(Host::Ipv4(v4)) => v4.is_loopback(),
        Some(Host::Ipv6(v6)) => v6.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_and_link_local_addresses_are_denied_in_every_spelling() {
        let rules = EgressRules {
            allow_custom_cloud: true,
            allow_insecure_loopback: true,
        };
        for address in [
            "http://169.254.169.254/metadata",
            "https://169.254.169.254",
            "https://0xa9fea9fe/",
            "https://2852039166/",
            "https://[fe80::1]/",
            "https://[::ffff:169.254.169.254]/",
            "https://[fd00:ec2::254]/",
            "https://metadata.google.internal/",
            "https://METADATA.google.internal./",
            "https://0.0.0.0/",
        ] {
            assert_eq!(
                check(address, "root", rules).unwrap_err().code,
                codes::EGRESS_DENIED,
                "{address}"
            );
        }
    }

    #[test]
    fn the_leave_for_the_identity_service_is_for_one_address_and_path() {
        let leave = IdentityServiceLeave::new();
        assert!(leave.is_for(IDENTITY_SERVICE));
        assert!(leave.is_for(&format!("{IDENTITY_SERVICE}?api-version=2018-02-01&resource=x")));
        for address in [
            "http://169.254.169.254/metadata/instance?api-version=2021-02-01",
            "http://169.254.169.254/metadata/identity/oauth2/token/../../instance",
            "http://169.254.169.254/metadata/identity/info",
            "http://169.254.169.254:8080/metadata/identity/oauth2/token",
            "https://169.254.169.254/metadata/identity/oauth2/token",
            "http://user@169.254.169.254/metadata/identity/oauth2/token",
            "http://169.254.169.253/metadata/identity/oauth2/token",
            "http://168.63.129.16/metadata/identity/oauth2/token",
            "http://[fe80::1]/metadata/identity/oauth2/token",
            "",
        ] {
            assert!(!leave.is_for(address), "{address}");
        }
    }

    #[test]
    fn plain_http_goes_to_this_machine_only_and_only_when_allowed() {
        let open = EgressRules {
            allow_custom_cloud: true,
            allow_insecure_loopback: true,
        };
        assert!(check("http://127.0.0.1:8080", "root", open).is_ok());
        assert!(check("http://[::1]:8080", "root", open).is_ok());
        assert!(check("http://graph.example.org", "root", open).is_err());
        assert!(check("http://127.0.0.1:8080", "root", EgressRules::default()).is_err());
        assert!(check("https://graph.example.org", "root", EgressRules::default()).is_ok());
    }

    #[test]
    fn an_address_with_credentials_or_another_scheme_is_refused() {
        let open = EgressRules {
            allow_custom_cloud: true,
            allow_insecure_loopback: true,
        };
        for address in [
            "https://user:pass@host/",
            "file:///etc/passwd",
            "ftp://127.0.0.1/",
            "graph.microsoft.com",
        ] {
            assert!(check(address, "root", open).is_err(), "{address}");
        }
    }
}
