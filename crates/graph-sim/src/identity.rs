//! What clients ask of a directory beside tokens: its metadata, the discovery of its cloud, its keys; and the
//! identities a machine gets its tokens for, in the form of Azure's instance metadata service.

use chrono::{DateTime, Utc};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use crate::message::{Answer, Method, Request};
use crate::reply::Reply;
use crate::tenant::Tenant;
use crate::token::{TokenError, pairs, refuse};

/// The path of the machine's token endpoint.
pub(crate) const MACHINE: &str = "/metadata/identity/oauth2/token";
const DISCOVERY: &str = "/common/discovery/instance";
const METADATA: &str = "/v2.0/.well-known/openid-configuration";
const KEYS: &str = "/discovery/v2.0/keys";
/// The only version of the machine's token endpoint that is simulated.
const MACHINE_VERSION: &str = "2018-02-01";

impl Tenant {
    /// Whether a request's first segment names this directory, by name or id.
    pub(crate) fn is_directory(&self, segment: &str) -> bool {
        let name = percent_decode_str(segment).decode_utf8_lossy();
        name.eq_ignore_ascii_case(&self.options.tenant)
            || name.eq_ignore_ascii_case(&self.directory.to_string())
    }

    /// Answers the directory's public documents; `None` if the path is none of them.
    pub(crate) fn directory_request(
        &mut self,
        request: &Request,
        path: &str,
        now: DateTime<Utc>,
    ) -> Option<Answer> {
        let base = self.base_url(&request.headers);
        let reply = if path == DISCOVERY {
            self.discovery(&base)
        } else if let Some(tenant) = path.strip_suffix(METADATA) {
            self.metadata(&base, tenant, now)
        } else if path.ends_with(KEYS) {
            // Tokens are opaque here: nobody can check their signature, so there is no key to show.
            Reply::json(200, json!({ "keys": [] }))
        } else {
            return None;
        };
        let reply = if request.method == Method::Get {
            reply
        } else {
            Reply::empty(405)
        };
        Some(Answer::deliver(self.finish(
            reply,
            request.headers.get("client-request-id"),
            now,
        )))
    }

    fn discovery(&self, base: &str) -> Reply {
        let host = base.split_once("://").map_or(base, |(_, host)| host);
        let tenant = self.directory;
        Reply::json(
            200,
            json!({
                "tenant_discovery_endpoint": format!("{base}/{tenant}{METADATA}"),
                "api-version": "1.1",
                "metadata": [{ "preferred_network": host, "preferred_cache": host, "aliases": [host] }],
            }),
        )
    }

    fn metadata(&mut self, base: &str, path: &str, now: DateTime<Utc>) -> Reply {
        let segment = path.trim_start_matches('/');
        if !self.is_directory(segment) && !["common", "organizations"].contains(&segment) {
            return self.token_error(&no_tenant(), now);
        }
        let tenant = self.directory;
        Reply::json(
            200,
            json!({
                "issuer": format!("{base}/{tenant}/v2.0"),
                "authorization_endpoint": format!("{base}/{tenant}/oauth2/v2.0/authorize"),
                "token_endpoint": format!("{base}/{tenant}/oauth2/v2.0/token"),
                "jwks_uri": format!("{base}/{tenant}{KEYS}"),
                "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt"],
                "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
                "response_modes_supported": ["query", "fragment", "form_post"],
                "subject_types_supported": ["pairwise"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "scopes_supported": ["openid", "profile", "email", "offline_access"],
                "tenant_region_scope": Value::Null,
                "cloud_instance_name": "microsoftonline.com",
                "msgraph_host": "graph.microsoft.com",
            }),
        )
    }

    /// Answers the machine's own token endpoint.
    pub(crate) fn machine_token(&mut self, request: &Request, now: DateTime<Utc>) -> Reply {
        match self.machine_client(request) {
            Ok((client, resource)) => {
                let (number, life) = (self.client_number(&client), self.options.token_seconds);
                let text = self.new_token(number.unwrap_or(u16::MAX), now);
                let seconds = now.timestamp();
                Reply::json(
                    200,
                    json!({
                        "access_token": text,
                        "client_id": client,
                        "expires_in": life.to_string(),
                        "expires_on": (seconds + life).to_string(),
                        "ext_expires_in": life.to_string(),
                        "not_before": (seconds - 300).to_string(),
                        "resource": resource,
                        "token_type": "Bearer",
                    }),
                )
            }
            Err((status, error, text)) => {
                Reply::json(status, json!({ "error": error, "error_description": text }))
            }
        }
    }

    /// The client id and the resource that a machine's request is for.
    fn machine_client(
        &self,
        request: &Request,
    ) -> Result<(String, String), (u16, &'static str, &'static str)> {
        if request.method != Method::Get {
            return Err((405, "method_not_allowed", "Only GET is allowed."));
        }
        if !request
            .headers
            .get("metadata")
            .is_some_and(|value| value.eq_ignore_ascii_case("true"))
        {
            return Err((400, "bad_request_102", "Required metadata header not specified"));
        }
        // The real service listens for its own machine alone: a forwarded request is an attack through a proxy.
        if request.headers.get("x-forwarded-for").is_some() {
            return Err((403, "forbidden", "Requests with X-Forwarded-For are not accepted"));
        }
        let query = request
            .path_and_query
            .split_once('?')
            .map_or("", |(_, query)| query);
        let fields = pairs(query);
        let field = |name: &str| {
            fields
                .iter()
                .find(|(key, _)| key == name)
                .map(|(_, value)| value.as_str())
        };
        if field("api-version") != Some(MACHINE_VERSION) {
            return Err((
                400,
                "bad_request",
                "api-version is invalid or was not specified in the request",
            ));
        }
        let resource = field("resource").filter(|resource| !resource.is_empty());
        let resource = resource.ok_or((
            400,
            "invalid_request",
            "Required query variable 'resource' is missing",
        ))?;
        let known = &self.options.managed_identities;
        let client = match (field("client_id"), known.as_slice()) {
            (Some(asked), _) => known.iter().find(|id| id.eq_ignore_ascii_case(asked)),
            (None, [only]) => Some(only),
            (None, _) => {
                let text = "Multiple user assigned identities exist, please specify the clientId / resourceId of the identity in the token request";
                return Err((400, "invalid_request", text));
            }
        };
        let client = client.ok_or((400, "invalid_request", "Identity not found"))?;
        Ok((client.clone(), resource.to_owned()))
    }
}

pub(crate) fn no_tenant() -> TokenError {
    let text = "Tenant not found. Check the tenant id or domain.";
    refuse(400, "invalid_request", 90_002, text)
}
