//! How the simulated tenant is set up, and the behaviours of Graph for which the evidence is weak.

use std::fmt;
use std::time::Duration;

use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use crate::credential::{ClientCertificate, FederatedCredential};
use crate::fault::FaultRule;

/// Whether quotas are enforced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// Resource units are counted, nothing is ever throttled.
    Unlimited,
    /// The documented limits of the licence count hold.
    Documented,
}

/// How the service measures a quota; the documentation does not say which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuotaModel {
    /// Windows aligned to the clock; a new one begins empty.
    Fixed,
    /// What was spent in the last window length, in sixty steps.
    Sliding,
    /// A bucket of one window's units that refills evenly.
    Bucket,
}

/// An application that may ask for tokens.
#[derive(Clone)]
pub struct Client {
    /// The application (client) id.
    pub id: String,
    /// Its secret.
    pub secret: String,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// What an application may do in the tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Nothing.
    None,
    /// Read sites, lists, items and changes.
    Read,
    /// Also create, change and delete items.
    Write,
    /// Also create, change and delete lists and columns.
    Manage,
    /// Everything.
    FullControl,
}

impl Role {
    /// Reads `none`, `read`, `write`, `manage` or `fullcontrol`.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "none" => Self::None,
            "read" => Self::Read,
            "write" => Self::Write,
            "manage" => Self::Manage,
            "fullcontrol" => Self::FullControl,
            _ => return None,
        })
    }

    /// The role's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Read => "read",
            Self::Write => "write",
            Self::Manage => "manage",
            Self::FullControl => "fullcontrol",
        }
    }
}

/// What the changes of a list say about an item that the application may not see (any more).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnseenInDelta {
    /// Nothing.
    Silent,
    /// That it was deleted.
    Deleted,
}

/// What a collection leaves out where it would show more lookup columns than allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LookupOverflow {
    /// Those beyond the limit.
    Rest,
    /// Every lookup column.
    All,
}

/// What a `$filter` on a hidden column is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HiddenFilter {
    /// The items that pass.
    Works,
    /// A refusal.
    Refused,
    /// No items, as if none passed.
    Empty,
}

/// Behaviours that public evidence does not settle. The defaults are the likeliest readings; a simulation draws
/// them from its seed, because correctness may not depend on any of them.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Behaviour {
    /// `If-Match` is compared (else it is ignored).
    pub if_match: bool,
    /// Status and code of a failed precondition.
    pub precondition: (u16, String),
    /// Status and code of a duplicate in a unique column.
    pub duplicate: (u16, String),
    /// Uniqueness also tells upper from lower case.
    pub unique_case_sensitive: bool,
    /// How many old versions of an item are kept; 0 turns versions off (the version label then stays 1.0).
    pub versions_kept: usize,
    /// Leading and trailing blanks of single-line text are cut off when stored.
    pub trim_text: bool,
    /// An empty text is stored as no value.
    pub empty_text_is_null: bool,
    /// Rich text is wrapped in a `div` when stored.
    pub wrap_rich_text: bool,
    /// Writing null into a column with a default value stores the default.
    pub null_sets_default: bool,
    /// A create without a value for a required column is refused.
    pub required_enforced: bool,
    /// Delta answers carry `fields` although `$expand` did not ask for them.
    pub delta_fields_without_expand: bool,
    /// Age in days at which a delta token is answered with 410.
    pub delta_token_days: i64,
    /// Hidden columns are in the column collection even where `$select` does not name `hidden`.
    pub hidden_columns_listed: bool,
    /// What a `$filter` on a hidden column leads to.
    pub filter_on_hidden: HiddenFilter,
    /// Page size where `$top` is absent.
    pub default_page: usize,
    /// Larger `$top` values are cut to this.
    pub largest_page: usize,
    /// Rows up to which a query without a usable index is answered.
    pub list_view_threshold: usize,
    /// How many lookup-like columns a collection shows before it drops the others.
    pub lookup_limit: usize,
    /// Which lookup-like columns are dropped above the limit.
    pub lookup_overflow: LookupOverflow,
    /// `Author`, `Editor`, `AppAuthor` and `AppEditor` count as lookup-like columns where they are shown.
    pub builtin_lookups_count: bool,
    /// How many columns of a list may be indexed.
    pub index_limit: usize,
    /// What delta says of an item that waits for approval or has permissions of its own.
    pub unseen_in_delta: UnseenInDelta,
    /// Approving, rejecting and unapproving raise the item's counter and make the person its editor.
    pub approval_is_a_write: bool,
    /// A list restored from the recycle bin comes back this many writes of each item earlier (counters and, where
    /// versions were kept, values).
    pub restored_list_writes_back: u32,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            if_match: true,
            precondition: (412, "resourceModified".to_owned()),
            duplicate: (409, "nameAlreadyExists".to_owned()),
            unique_case_sensitive: false,
            versions_kept: 50,
            trim_text: false,
            empty_text_is_null: false,
            wrap_rich_text: true,
            null_sets_default: false,
            required_enforced: false,
            delta_fields_without_expand: false,
            delta_token_days: 60,
            hidden_columns_listed: false,
            filter_on_hidden: HiddenFilter::Works,
            default_page: 200,
            largest_page: 5_000,
            list_view_threshold: 5_000,
            lookup_limit: 12,
            lookup_overflow: LookupOverflow::Rest,
            builtin_lookups_count: false,
            index_limit: 20,
            unseen_in_delta: UnseenInDelta::Silent,
            approval_is_a_write: true,
            restored_list_writes_back: 0,
        }
    }
}

impl Behaviour {
    /// Reads a JSON object; what it leaves out keeps its default.
    ///
    /// # Errors
    /// A text that says which part is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        serde_json::from_str(text).map_err(|error| format!("behaviour: {error}"))
    }
}

/// The set-up of a tenant.
#[derive(Clone, Debug)]
pub struct Options {
    /// Decides ids, the order of batch answers and which faults strike.
    pub seed: u64,
    /// The directory's name or id in token URLs; its own id works as well.
    pub tenant: String,
    /// The host of all sites, such as `contoso.sharepoint.com`.
    pub hostname: String,
    /// The root of links and contexts, without `/v1.0`; absent: the `Host` header's with `http` or `https`, or without
    /// such a header the real service's.
    pub public_url: Option<String>,
    /// Clients come through TLS: links begin with `https`.
    pub secure: bool,
    /// Names of sites below `/sites/`; the root site always exists.
    pub sites: Vec<String>,
    /// The time zone of every site: date-only values are its midnights.
    pub time_zone: Tz,
    /// The known applications.
    pub clients: Vec<Client>,
    /// Certificates of applications, of those above or of further ones.
    pub certificates: Vec<ClientCertificate>,
    /// Other issuers whose word applications accept, of those above or of further ones.
    pub federated: Vec<FederatedCredential>,
    /// Client ids of the identities the simulated machine has; with none there is no machine.
    pub managed_identities: Vec<String>,
    /// Role of applications that `/_sim/permissions` says nothing about.
    pub default_role: Role,
    /// Whether limits hold.
    pub profile: Profile,
    /// How they are measured.
    pub quota: QuotaModel,
    /// Bought licences; they set the limits.
    pub licenses: u64,
    /// Simulated time of one request or sub-request.
    pub latency: Duration,
    /// Life of a token in seconds.
    pub token_seconds: i64,
    /// How many people the sites know; their lookup ids are 1 to this number.
    pub people: u32,
    /// Faults from the start.
    pub faults: Vec<FaultRule>,
    /// How many recent requests are remembered.
    pub remembered_requests: usize,
    /// The weakly evidenced behaviours.
    pub behaviour: Behaviour,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seed: 1,
            tenant: "contoso".to_owned(),
            hostname: "contoso.sharepoint.com".to_owned(),
            public_url: None,
            secure: false,
            sites: vec!["demo".to_owned()],
            time_zone: Tz::UTC,
            clients: vec![Client {
                id: "sim-client".to_owned(),
                secret: "sim-secret".to_owned(),
            }],
            certificates: Vec::new(),
            federated: Vec::new(),
            managed_identities: Vec::new(),
            default_role: Role::Manage,
            profile: Profile::Unlimited,
            quota: QuotaModel::Fixed,
            licenses: 1_000,
            latency: Duration::ZERO,
            token_seconds: 3_599,
            people: 100,
            faults: Vec::new(),
            remembered_requests: 1_000,
            behaviour: Behaviour::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Behaviour, Client};

    #[test]
    fn a_behaviour_is_read_over_the_defaults_and_unknown_names_are_refused() {
        let read = Behaviour::parse(r#"{"duplicate": [400, "invalidRequest"], "versions_kept": 0}"#).unwrap();
        assert_eq!(read.duplicate, (400, "invalidRequest".to_owned()));
        assert_eq!((read.versions_kept, read.default_page), (0, 200));
        assert!(Behaviour::parse(r#"{"speed": 1}"#).unwrap_err().contains("speed"));
    }

    #[test]
    fn a_client_shown_for_debugging_keeps_its_secret() {
        let client = Client {
            id: "a".to_owned(),
            secret: "PLANTED".to_owned(),
        };
        assert!(!format!("{client:?}").contains("PLANTED"));
    }
}
