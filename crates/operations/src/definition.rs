//! From a definition's document to what the engine is told.

use syncbridge_domain::derive::derive;
use syncbridge_domain::failure::{Failure, Scope};
use syncbridge_domain::mapping::Mapping;
use syncbridge_domain::run::{SourceSpec, WatermarkColumn};
use syncbridge_domain::table::TableShape;
use syncbridge_manifest::SyncDefinitionSpec;

/// The mapping of a definition over a table.
pub(crate) fn mapping(spec: &SyncDefinitionSpec, table: &TableShape) -> Result<Mapping, Failure> {
    let refused = |cause: String| {
        Failure::new(
            Scope::List,
            "manifest.mapping",
            format!("{}.{}: {cause}", spec.source.schema, spec.source.table),
            "correct the definition and apply it again",
        )
    };
    let choices = spec.choices(table).map_err(|error| refused(error.to_string()))?;
    derive(table, &choices).map_err(|error| refused(error.to_string()))
}

/// The source side of a run.
pub(crate) fn source_spec(spec: &SyncDefinitionSpec, table: &TableShape) -> Result<SourceSpec, Failure> {
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
    })
}
