//! A table outside of a run: single rows looked at and corrected when a person asks why one was refused, and what a
//! pre-flight wants counted.

use syncbridge_domain::failure::Failure;
use syncbridge_domain::identity::Key;
use syncbridge_domain::mapping::Mapping;
use syncbridge_domain::preflight::{SourceSurvey, SurveyWish};
use syncbridge_domain::row::{Cell, Presence, SourceRow};
use syncbridge_domain::run::SourceSpec;
use syncbridge_source_postgres::{Access, Edit, PgSource, ReadShape, TableRef};

/// The rows with these keys as they are now, in the order asked.
///
/// # Errors
/// What keeps the table from being read.
pub async fn read_rows(
    access: &Access,
    spec: &SourceSpec,
    mapping: &Mapping,
    keys: &[Key],
) -> Result<Vec<Presence<SourceRow>>, Failure> {
    let table = open(access, spec, mapping).await?;
    let rows = table.read_keys(keys).await;
    table.close().await;
    Ok(rows?.0)
}

/// Changes cells of one row, if its mapped columns still hold what was `seen`; see [`PgSource::edit`].
///
/// # Errors
/// As there. Nothing is changed then.
pub async fn edit_row(
    access: &Access,
    spec: &SourceSpec,
    mapping: &Mapping,
    seen: &SourceRow,
    changes: &[(usize, Cell)],
    accept: &(dyn Fn(&SourceRow) -> Result<(), Failure> + Send + Sync),
) -> Result<SourceRow, Failure> {
    let table = open(access, spec, mapping).await?;
    let edit = Edit {
        key: &seen.key,
        seen: &seen.cells,
        changes,
    };
    let edited = table.edit(edit, accept).await;
    table.close().await;
    edited
}

/// Counts in the table what no constraint promises and the list will mind.
///
/// # Errors
/// What keeps the table from being read; `source.statement_timeout` where counting takes too long.
pub async fn survey_source(
    access: &Access,
    spec: &SourceSpec,
    mapping: &Mapping,
    wish: &SurveyWish,
) -> Result<SourceSurvey, Failure> {
    let table = open(access, spec, mapping).await?;
    let survey = table.survey(wish).await;
    table.close().await;
    survey
}

async fn open(access: &Access, spec: &SourceSpec, mapping: &Mapping) -> Result<PgSource, Failure> {
    let shape = ReadShape::of(mapping, spec);
    PgSource::connect(access, &TableRef::from(spec), &shape).await
}
