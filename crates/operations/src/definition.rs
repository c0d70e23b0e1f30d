//! From a definition's document to what the engine is told.

use syncbridge_domain::derive::derive;
use syncbridge_domain::failure::{Failure, Scope};
use syncbridge_domain::identity::Key;
use syncbridge_domain::ids::{DefinitionId, WorkspaceId};
use syncbridge_domain::mapping::Mapping;
use syncbridge_domain::run::{SourceSpec, WatermarkColumn};
use syncbridge_domain::table::TableShape;
use syncbridge_manifest::{Kind, SyncDefinitionSpec};
use syncbridge_meta_store::{Error as StoreError, PgConnection, definitions};

use crate::Operations;
use crate::addressed::spelled_key;
use crate::error::Result;
use crate::shelf::{Shelf, unknown};

/// The id of a definition by its name; one that is not there is answered with the names there are.
pub(crate) async fn id(
    connection: &mut PgConnection,
    workspace: WorkspaceId,
    name: &str,
) -> Result<DefinitionId> {
    match definitions::find(connection, workspace, name).await {
        Ok(stored) => Ok(stored.id),
        Err(StoreError::NotFound { .. }) => {
            let shelf = Shelf::load(connection, workspace).await?;
            Err(unknown(&shelf, Kind::SyncDefinition, name).into())
        }
        Err(other) => Err(other.into()),
    }
}

impl Operations {
    /// A definition's document.
    pub(crate) async fn definition_spec(
        &self,
        connection: &mut PgConnection,
        name: &str,
    ) -> Result<SyncDefinitionSpec> {
        Ok(Shelf::load(connection, self.workspace)
            .await?
            .definition(name)?
            .clone())
    }
}

/// The mapping of a definition over a table. Where a column is a date and the definition does not give the site's
/// time zone, UTC stands in its place: [`crate::site_zone::SiteZone::settle`] has to follow.
pub(crate) fn mapping(
    spec: &SyncDefinitionSpec,
    table: &TableShape,
) -> std::result::Result<Mapping, Failure> {
    let refused = |cause: String| {
        Failure::new(
            Scope::List,
            "manifest.mapping",
            format!("{}.{}: {cause}", spec.source.schema, spec.source.table),
            "correct the definition and apply it again",
        )
    };
    let mut choices = spec.choices(table).map_err(|error| refused(error.to_string()))?;
    choices.time_zone.get_or_insert(chrono_tz::UTC);
    derive(table, &choices).map_err(|error| refused(error.to_string()))
}

/// The keys of the rows that must be in the source.
///
/// # Errors
/// `guard.sentinel_key` names the sentinel, by its position, whose values are no key of the table.
pub(crate) fn sentinels(
    spec: &SyncDefinitionSpec,
    mapping: &Mapping,
) -> std::result::Result<Vec<Key>, Failure> {
    let key = |(at, texts): (usize, &Vec<String>)| {
        spelled_key(mapping, texts).map_err(|wrong| {
            let cause = format!("sentinel {} of `guards.sentinels`: {}", at + 1, wrong.cause);
            Failure::new(Scope::List, "guard.sentinel_key", cause, wrong.fix)
        })
    };
    spec.sentinels.iter().enumerate().map(key).collect()
}

/// The source side of a run.
pub(crate) fn source_spec(
    spec: &SyncDefinitionSpec,
    table: &TableShape,
) -> std::result::Result<SourceSpec, Failure> {
    let watermark = match &spec.source.watermark {
        None => None,
        Some(name) => {
            let column = table.column(name).ok_or_else(|| {
                Failure::new(
                    Scope::List,
                    "manifest.mapping",
                    format!(
                        "watermark column `{name}` does not exist in {}.{}",
                        table.schema, table.name
                    ),
                    "name a column that rises with every change, or use `feed: full_scan`",
                )
            })?;
            Some(WatermarkColumn {
                name: name.clone(),
                pg_type: column.pg_type.clone(),
            })
        }
    };
    Ok(SourceSpec {
        schema: spec.source.schema.clone(),
        table: spec.source.table.clone(),
        feed: spec.source.feed,
        watermark,
        sweep: spec.source.sweep,
    })
}

/// Says which list a refusal of the service is about; its own texts do not.
pub(crate) fn about_list(mut failure: Failure, spec: &SyncDefinitionSpec) -> Failure {
    failure.cause = format!(
        "{}, for list `{}` on site `{}`",
        failure.cause, spec.target.list, spec.target.site
    );
    failure
}
