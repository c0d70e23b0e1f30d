//! Who may do what: a role per application, and lists kept from an application.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::options::Role;
use crate::reply::GraphError;
use crate::route::Operation;
use crate::tenant::{Call, Tenant};

/// A list kept from an application.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Denial {
    pub(crate) client: String,
    /// Display name or id.
    pub(crate) list: String,
    /// `all` (also reading) or `write`.
    #[serde(default = "all")]
    pub(crate) access: String,
}

fn all() -> String {
    "all".to_owned()
}

/// The document under `/_sim/permissions`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Permissions {
    /// Role by application id; others have the tenant's default role.
    pub(crate) clients: BTreeMap<String, String>,
    pub(crate) deny: Vec<Denial>,
}

impl Permissions {
    /// Checks names that the shape does not check.
    pub(crate) fn check(&self, known: &[String]) -> Result<(), String> {
        for (client, role) in &self.clients {
            if !known.contains(client) {
                return Err(format!("permissions: there is no client '{client}'"));
            }
            if Role::parse(role).is_none() {
                return Err(format!(
                    "permissions: '{role}' is none of none, read, write, manage, fullcontrol"
                ));
            }
        }
        for denial in &self.deny {
            if !known.contains(&denial.client) {
                return Err(format!("permissions: there is no client '{}'", denial.client));
            }
            if !matches!(denial.access.as_str(), "all" | "write") {
                return Err("permissions: access must be all or write".to_owned());
            }
        }
        Ok(())
    }
}

impl Tenant {
    /// Refuses what the application's role, or a denial for the list, does not allow.
    pub(crate) fn check_permission(&self, call: &Call<'_>) -> Result<(), GraphError> {
        let client = self
            .apps
            .get(usize::from(call.context.client))
            .map_or("", String::as_str);
        let role = self.role(call.context.client);
        let needed = match call.operation {
            operation if operation.writes_item() => Role::Write,
            operation if operation.writes() => Role::Manage,
            Operation::Other => return Ok(()),
            _ => Role::Read,
        };
        if role < needed {
            return Err(GraphError::denied());
        }
        let mut denials = self
            .permissions
            .deny
            .iter()
            .filter(|denial| denial.client == client)
            .peekable();
        if denials.peek().is_none() || call.resource.list().is_none() {
            return Ok(());
        }
        let Ok(list) = self.call_list(call) else {
            return Ok(());
        };
        let id = list.id.to_string();
        let denied = denials.any(|denial| {
            (denial.list == list.display_name || denial.list.eq_ignore_ascii_case(&id))
                && (denial.access == "all" || call.operation.writes())
        });
        if denied { Err(GraphError::denied()) } else { Ok(()) }
    }
}
