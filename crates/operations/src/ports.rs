//! What operations need from the outside. The binary implements it with the worker's functions.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use syncbridge_domain::failure::Failure;
use syncbridge_domain::identity::{HashKey, Key};
use syncbridge_domain::list_rules::{ColumnOptions, ItemIdentity, ListFacts};
use syncbridge_domain::mapping::Mapping;
use syncbridge_domain::preflight::{ListSurvey, SourceSurvey, SurveyWish};
use syncbridge_domain::receipt::{Item, ItemId};
use syncbridge_domain::row::{Cell, Presence, SourceRow};
use syncbridge_domain::run::{Progress, RunOutcome, RunSpec, SourceSpec, TargetSpec};
use syncbridge_domain::table::TableShape;
use syncbridge_manifest::{Cloud, InstanceSpec};
use syncbridge_secrets::{DataKey, SecretString};

/// A boxed answer that can cross threads.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, Failure>> + Send + 'a>>;

/// How to reach a database, with its password.
#[derive(Clone, Debug)]
pub struct InstanceAccess {
    /// Address, role, TLS.
    pub instance: InstanceSpec,
    /// The password itself.
    pub password: SecretString,
    /// Content of the certificate authority's file, where one is named.
    pub authority_pem: Option<Vec<u8>>,
}

/// How to sign in, with its secrets.
#[derive(Clone, Debug)]
pub enum SignInAccess {
    /// As an app registration.
    App {
        /// Application (client) id.
        client_id: String,
        /// What proves it.
        proof: ProofAccess,
    },
    /// With the identity of the machine.
    Machine {
        /// Client id of an identity that was assigned to it; absent: its own.
        client_id: Option<String>,
    },
}

/// What proves who an app is.
#[derive(Clone, Debug)]
pub enum ProofAccess {
    /// The secret itself.
    ClientSecret(SecretString),
    /// PEM texts of certificate and key.
    Certificate {
        /// The certificate.
        pem: SecretString,
        /// Its key.
        key: SecretString,
    },
    /// A file that is read each time.
    Federated(TokenFile),
}

/// A file with a token that its owner renews, and where the server lets such files be.
#[derive(Clone, Debug)]
pub struct TokenFile {
    /// Where it is.
    pub path: PathBuf,
    /// Whether the platform itself named it to the server; it may then be anywhere.
    pub is_of_platform: bool,
    /// Otherwise it has to lie below one of these.
    pub folders: Vec<PathBuf>,
}

/// How to reach a tenant, with its secret.
#[derive(Clone, Debug)]
pub struct ConnectionAccess {
    /// Tenant id or domain.
    pub tenant: String,
    /// How to sign in.
    pub sign_in: SignInAccess,
    /// Where Graph is.
    pub cloud: Cloud,
    /// Licences of the tenant.
    pub licences: Option<u64>,
    /// Content of the file of the one authority that is believed, where one is named.
    pub authority_pem: Option<Vec<u8>>,
}

/// A list somebody wants.
#[derive(Clone, Debug)]
pub struct ListWish<'a> {
    /// Site: `host:/path` or id.
    pub site: String,
    /// Name people see.
    pub name: &'a str,
    /// Shown beside the name.
    pub description: Option<String>,
    /// What travels.
    pub mapping: &'a Mapping,
    /// What is asked of single columns, by their source columns.
    pub options: &'a BTreeMap<String, ColumnOptions>,
    /// How items are recognised in a list that people own; `None`: the list is ours to make.
    pub own: Option<ItemIdentity>,
    /// The list provisioned before.
    pub known: Option<String>,
    /// Whether provisioning has to find out the site's time zone.
    pub learn_time_zone: bool,
    /// Whether items whose row is gone are marked, for which the list needs a column.
    pub archives: bool,
}

/// What provisioning would do, or did.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ListState {
    /// Where the list is, if it is there.
    pub target: Option<TargetSpec>,
    /// Address people open.
    pub web_url: Option<String>,
    /// Whether the list is (to be) made.
    pub creates: bool,
    /// Columns (to be) added to a list that is there.
    pub columns: Vec<String>,
    /// The site's time zone, where a date column needs it and it is known.
    pub time_zone: Option<String>,
    /// Whether the first run will find it out.
    pub learns_time_zone: bool,
    /// Columns that are (to be) given further choices or an index.
    pub changed: Vec<String>,
    /// What is remembered of the list.
    pub facts: ListFacts,
}

/// A run to be done now, in this process.
pub struct RunJob<'a> {
    /// What to do.
    pub spec: &'a RunSpec,
    /// The table.
    pub source: InstanceAccess,
    /// The tenant.
    pub graph: ConnectionAccess,
    /// Key of identities and hashes.
    pub hash_key: HashKey,
    /// Seals values of this definition.
    pub data_key: DataKey,
    /// Who wants to know how far it is.
    pub progress: &'a dyn Progress,
    /// Set by whoever wants it to stop.
    pub cancel: Arc<AtomicBool>,
    /// How long a plan that it works out may be approved and run.
    pub plan_lasts: Duration,
}

/// Which table a row is in, and which of its columns travel.
#[derive(Clone, Copy, Debug)]
pub struct RowPlace<'a> {
    /// How to reach the database.
    pub access: &'a InstanceAccess,
    /// The table.
    pub spec: &'a SourceSpec,
    /// Columns in their order.
    pub mapping: &'a Mapping,
}

/// A correction of one row.
pub struct RowEdit<'a> {
    /// The row as the person saw it; it must still be so.
    pub seen: &'a SourceRow,
    /// Index of a field, and the column's new text; `None` is NULL.
    pub changes: &'a [(usize, Cell)],
    /// Sees the row as it would be; what it refuses is not done.
    pub accept: &'a (dyn Fn(&SourceRow) -> Result<(), Failure> + Send + Sync),
}

/// Both sides and the runner.
pub trait Adapters: Send + Sync {
    /// What a table looks like.
    fn describe_table<'a>(
        &'a self,
        access: &'a InstanceAccess,
        schema: &'a str,
        table: &'a str,
    ) -> Answer<'a, TableShape>;
    /// Counts in the table what no constraint promises and the list will mind.
    fn survey_source<'a>(&'a self, place: RowPlace<'a>, wish: &'a SurveyWish) -> Answer<'a, SourceSurvey>;
    /// What the columns of an existing list take.
    fn survey_list<'a>(
        &'a self,
        access: &'a ConnectionAccess,
        target: &'a TargetSpec,
    ) -> Answer<'a, ListSurvey>;
    /// Rows by key as they are now, in the order asked.
    fn read_rows<'a>(&'a self, place: RowPlace<'a>, keys: &'a [Key]) -> Answer<'a, Vec<Presence<SourceRow>>>;
    /// Corrects one row in the source and answers it as it is then.
    fn edit_row<'a>(&'a self, place: RowPlace<'a>, edit: RowEdit<'a>) -> Answer<'a, SourceRow>;
    /// One item as the list shows it now; `None`: it is not there, or not for us.
    fn read_item<'a>(
        &'a self,
        access: &'a ConnectionAccess,
        target: &'a TargetSpec,
        mapping: &'a Mapping,
        item: &'a ItemId,
    ) -> Answer<'a, Option<Item>>;
    /// What provisioning would do; writes nothing.
    fn list_plan<'a>(&'a self, access: &'a ConnectionAccess, wish: ListWish<'a>) -> Answer<'a, ListState>;
    /// Makes the list or adds what it lacks.
    fn provision<'a>(&'a self, access: &'a ConnectionAccess, wish: ListWish<'a>) -> Answer<'a, ListState>;
    /// Runs a job and records how it ended.
    fn run<'a>(&'a self, job: RunJob<'a>) -> Answer<'a, RunOutcome>;
}
