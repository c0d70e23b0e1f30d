//! `quarantine explain`: why one row is refused, and whether it still would be.

use serde::Serialize;
use syncbridge_domain::agreed::RowDigest;
use syncbridge_domain::convert::to_target;
use syncbridge_domain::failure::{Failure, Scope};
use syncbridge_domain::mapping::Mapping;
use syncbridge_domain::row::{Cell, Presence, SourceRow};
use syncbridge_meta_store::PgConnection;
use syncbridge_meta_store::ledger::{QuarantineEntry, QuarantineFilter, list_quarantine};

use crate::Operations;
use crate::addressed::Addressed;
use crate::error::Result;
use crate::quarantine_list::QuarantineView;

/// A refused row and what is true of it now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct QuarantineExplained {
    /// What was refused and why.
    pub entry: QuarantineView,
    /// The row as it is in the source now.
    pub now: RowNow,
    /// Every column that keeps the row from going, not only the first. Empty: what was refused was not the
    /// value as such, or the row was corrected.
    pub problems: Vec<CellProblem>,
}

/// How the source row stands against the refused one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RowNow {
    /// It has the content that was refused.
    AsRefused,
    /// It was changed since; the next run tries it.
    Changed,
    /// It is gone; the next run takes it out of the quarantine.
    Gone,
    /// There are several rows with this key.
    Several,
    /// It was refused before its content was read.
    Unknown,
}

/// A column that keeps a row from going.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CellProblem {
    /// The column.
    pub column: String,
    /// Stable code.
    pub code: String,
    /// Why its value has no place in the list; never the value.
    pub cause: String,
    /// What to do.
    pub fix: String,
}

impl Operations {
    /// Explains one row of the quarantine. Reads the source, writes nothing, shows no cell.
    ///
    /// # Errors
    /// A row that is not in quarantine; what keeps the table from being read.
    pub async fn quarantine_explain(&self, name: &str, key: &[String]) -> Result<QuarantineExplained> {
        let mut connection = self.store.acquire().await?;
        let addressed = self.addressed(&mut connection, name).await?;
        let entry = quarantined(&mut connection, &addressed, name, key).await?;
        drop(connection);
        let row = self.source_row(&addressed, &entry).await?;
        let now = match &row {
            Presence::One(row) => compare(&addressed, &entry, row),
            Presence::Many(_) => RowNow::Several,
            Presence::None | Presence::Unseen => RowNow::Gone,
        };
        let problems = row
            .one()
            .map_or_else(Vec::new, |row| problems(&addressed.mapping, &row.cells));
        Ok(QuarantineExplained {
            entry: entry.into(),
            now,
            problems,
        })
    }

    /// The source row behind an entry, as it is now.
    pub(crate) async fn source_row(
        &self,
        addressed: &Addressed,
        entry: &QuarantineEntry,
    ) -> Result<Presence<SourceRow>> {
        let keys = [entry.quarantined.entry.key.clone()];
        let mut rows = self.adapters.read_rows(addressed.place(), &keys).await?;
        Ok(rows.pop().unwrap_or(Presence::None))
    }
}

/// The entry of the row with this key.
pub(crate) async fn quarantined(
    connection: &mut PgConnection,
    addressed: &Addressed,
    name: &str,
    key: &[String],
) -> Result<QuarantineEntry> {
    let filter = QuarantineFilter {
        identities: Some(vec![addressed.identity(&addressed.key(key)?)]),
        ..QuarantineFilter::default()
    };
    let mut found = list_quarantine(connection, addressed.id, &filter, None, 1).await?;
    found.pop().ok_or_else(|| {
        Failure::new(
            Scope::Row,
            "quarantine.not_there",
            "this row is not in quarantine",
            format!(
                "`syncbridge quarantine list {name}` shows those that are, `syncbridge ledger show {name} KEY` what is \
                 known of this one"
            ),
        )
        .into()
    })
}

/// Whether a row still has the content that was refused.
pub(crate) fn compare(addressed: &Addressed, entry: &QuarantineEntry, row: &SourceRow) -> RowNow {
    let refused = entry.quarantined.entry.digest;
    if refused == RowDigest::UNKNOWN {
        RowNow::Unknown
    } else if addressed.digest(&row.cells) == refused {
        RowNow::AsRefused
    } else {
        RowNow::Changed
    }
}

/// Every cell that its list column cannot hold.
pub(crate) fn problems(mapping: &Mapping, cells: &[Cell]) -> Vec<CellProblem> {
    mapping
        .fields
        .iter()
        .zip(cells)
        .filter_map(|(field, cell)| {
            let refusal = to_target(field, mapping.time_zone, cell).err()?;
            Some(CellProblem {
                column: field.column.clone(),
                code: refusal.code().to_owned(),
                cause: refusal.to_string(),
                fix: refusal.fix().to_owned(),
            })
        })
        .collect()
}
