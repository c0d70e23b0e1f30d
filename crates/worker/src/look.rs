//! Looking at both sides and preparing the list, for whoever describes or provisions a sync.

use std::collections::BTreeMap;

use chrono_tz::Tz;
use syncbridge_domain::failure::{Failure, Scope};
use syncbridge_domain::list_rules::{ColumnOptions, ItemIdentity, ListFacts, ListRules};
use syncbridge_domain::mapping::Mapping;
use syncbridge_domain::preflight::ListSurvey;
use syncbridge_domain::quota::WhyTag;
use syncbridge_domain::receipt::{Item, ItemId, ItemRead};
use syncbridge_domain::run::TargetSpec;
use syncbridge_domain::table::{ColumnShape, TableShape};
use syncbridge_engine::ports::Target as _;
use syncbridge_source_postgres::catalog::TableDescription;
use syncbridge_source_postgres::{Access, Catalog, TableRef};
use syncbridge_target_graph::ListSettings;
use syncbridge_target_graph::column::DesiredList;

use crate::graph_access::GraphAccess;
use crate::job::Services;
use crate::target_port::TargetPort;

/// What a table looks like.
///
/// # Errors
/// Connection failures, a missing table, missing privileges; each with its next step.
pub async fn describe_table(access: &Access, table: &TableRef) -> Result<TableShape, Failure> {
    let catalog = Catalog::connect(access).await?;
    let described = catalog.describe(table).await;
    catalog.close().await;
    Ok(shape_of(described?))
}

fn shape_of(described: TableDescription) -> TableShape {
    let usable = || described.keys.iter().filter(|key| key.refusal.is_none());
    let primary_key = usable()
        .find(|key| key.primary)
        .map(|key| key.columns.clone())
        .unwrap_or_default();
    let unique_keys = usable()
        .filter(|key| !key.primary)
        .map(|key| key.columns.clone())
        .collect();
    TableShape {
        schema: described.table.schema.clone(),
        name: described.table.table.clone(),
        comment: described.comment.clone(),
        estimated_rows: described.analyzed_rows.unwrap_or(0),
        columns: described
            .columns
            .iter()
            .map(|column| ColumnShape {
                name: column.name.clone(),
                pg_type: column.pg_type.clone(),
                nullable: column.nullable,
                generated: column.generated,
                comment: column.comment.clone(),
            })
            .collect(),
        primary_key,
        unique_keys,
        enforces_keys: described.kind.enforces_keys(),
        remarks: Vec::new(),
    }
}

/// The list somebody wants.
#[derive(Clone, Debug)]
pub struct ListWish<'a> {
    /// Site: address, `host:/path`, or id.
    pub site: &'a str,
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
    /// The list provisioned before, whose loss is told instead of being made good silently.
    pub known: Option<String>,
    /// Whether the site's time zone is to be found out, for the mapping's date columns.
    pub learn_time_zone: bool,
    /// Whether items whose row is gone are marked, for which the list needs a column.
    pub archives: bool,
}

/// What provisioning would do, or did.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ListPlan {
    /// Where the list is, if it is there.
    pub target: Option<TargetSpec>,
    /// Address people open.
    pub web_url: Option<String>,
    /// Whether the list is (to be) made.
    pub creates: bool,
    /// Internal names of columns (to be) added to a list that is there.
    pub columns: Vec<String>,
    /// The site's time zone, where it was to be found out.
    pub time_zone: Option<Tz>,
    /// Internal names of columns that are (to be) given further choices or an index.
    pub changed: Vec<String>,
    /// What is to be remembered of the list.
    pub facts: ListFacts,
}

/// Gets a token, which proves tenant, client id and secret.
///
/// # Errors
/// What Entra answered, with the setting to correct.
pub async fn sign_in(services: &Services, access: &GraphAccess) -> Result<(), Failure> {
    services.graph(access)?.sign_in().await
}

/// What provisioning would do. Writes nothing.
///
/// # Errors
/// A site or list that cannot be reached, columns that do not fit, a missing permission.
pub async fn list_plan(
    services: &Services,
    access: &GraphAccess,
    wish: &ListWish<'_>,
) -> Result<ListPlan, Failure> {
    let client = services.graph(access)?;
    let site = client.site(wish.site).await?;
    let inspection = client.inspect(&site.id, &desired(wish)).await?;
    if let Some(refusal) = inspection.refusal() {
        return Err(refusal);
    }
    let target = inspection.list.as_ref().map(|list| TargetSpec {
        site: site.id.clone(),
        list: list.id.clone(),
        rules: ListRules::default(),
    });
    Ok(ListPlan {
        creates: target.is_none(),
        target,
        web_url: inspection.list.map(|list| list.web_url),
        columns: inspection.missing,
        time_zone: None,
        changed: [inspection.extended, inspection.indexed].concat(),
        facts: inspection.facts,
    })
}

/// What the columns of a list take, where there is one already. Writes nothing.
///
/// # Errors
/// A site or list that cannot be read.
pub async fn survey_list(
    services: &Services,
    access: &GraphAccess,
    target: &TargetSpec,
) -> Result<ListSurvey, Failure> {
    services.graph(access)?.survey(&target.site, &target.list).await
}

/// One item as the list shows it now, for a person who asks; `None`: it is not there, or not for us. Costs one resource
/// unit beside what opening the list costs.
///
/// # Errors
/// A site or list that cannot be read.
pub async fn read_item(
    services: &Services,
    access: &GraphAccess,
    target: &TargetSpec,
    mapping: &Mapping,
    item: &ItemId,
) -> Result<Option<Item>, Failure> {
    let client = services.graph(access)?;
    let list = TargetPort::new(client, target.clone(), mapping.clone(), ListSettings::default());
    let mut read = list.read(std::slice::from_ref(item), WhyTag::Verify).await;
    match read.pop() {
        Some(ItemRead::One(item)) => Ok(Some(item)),
        Some(ItemRead::Gone) | None => Ok(None),
        Some(ItemRead::Unknown(failure)) => Err(failure),
    }
}

/// Makes the list, or adds what it lacks. Writes nothing where nothing is missing.
///
/// # Errors
/// As [`list_plan`], and whatever keeps Graph from writing.
pub async fn provision(
    services: &Services,
    access: &GraphAccess,
    wish: &ListWish<'_>,
) -> Result<ListPlan, Failure> {
    let client = services.graph(access)?;
    let site = client.site(wish.site).await?;
    let made = client.provision(&site.id, &desired(wish)).await?;
    if made.list_id.is_empty() {
        return Err(Failure::new(
            Scope::List,
            "graph.no_list_id",
            "Graph made a list and named no id for it",
            "apply the definition again; the list is then found by its name",
        ));
    }
    let time_zone = match wish.mapping.day_field().filter(|_| wish.learn_time_zone) {
        Some(field) => Some(client.learn_time_zone(&site.id, &made.list_id, field).await?),
        None => None,
    };
    Ok(ListPlan {
        target: Some(TargetSpec {
            site: site.id,
            list: made.list_id,
            rules: ListRules::default(),
        }),
        web_url: Some(made.list_web_url),
        creates: made.created,
        columns: made.columns_added,
        time_zone,
        changed: [made.choices_extended, made.indexed].concat(),
        facts: made.facts,
    })
}

fn desired(wish: &ListWish<'_>) -> DesiredList {
    let list =
        DesiredList::of_mapping(wish.name, wish.description.clone(), wish.mapping).with_options(wish.options);
    let list = match &wish.own {
        Some(identity) => list.of_people(identity.clone()),
        None => list,
    };
    let list = if wish.archives {
        list.marking_archived()
    } else {
        list
    };
    DesiredList {
        known_id: wish.known.clone(),
        ..list
    }
}
