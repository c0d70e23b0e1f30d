//! `ledger show`: what is known of one row.

use serde::Serialize;
use syncbridge_domain::agreed::{Agreed, CellHash};
use syncbridge_domain::identity::Identity;
use syncbridge_domain::ledger::{LedgerRow, LedgerState};
use syncbridge_domain::mapping::Mapping;
use syncbridge_meta_store::DefinitionStore;
use syncbridge_meta_store::ledger::{HistoryPage, history};

use crate::Operations;
use crate::error::Result;

/// What is known of one row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LedgerView {
    /// Identity of the key, in hexadecimal.
    pub identity: String,
    /// What both sides agreed on; absent where they never did.
    pub entry: Option<LedgerEntry>,
    /// Why the row is in quarantine, if it is.
    pub quarantine: Option<String>,
    /// Whether the row waits to be applied.
    pub dirty: bool,
    /// What was written for it, newest first.
    pub history: Vec<Happened>,
}

/// What both sides agreed on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LedgerEntry {
    /// `live`, `tombstone`, `kept` or `archived`.
    pub state: &'static str,
    /// The item's number.
    pub item: String,
    /// Graph's id of the list.
    pub list: String,
    /// The item's guid and counter.
    pub version: String,
    /// Generation of the source state.
    pub generation: u32,
    /// WAL position of the source state.
    pub lsn: u64,
    /// The run that last wrote it.
    pub last_run: String,
    /// Hashes by field; `unknown` where nothing was agreed on.
    pub fields: Vec<FieldEntry>,
}

/// Agreed hashes of one field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldEntry {
    /// Column of the table.
    pub column: String,
    /// Column of the list.
    pub target: String,
    /// Hash of what the table held.
    pub source_hash: String,
    /// Hash of what the list returned.
    pub target_hash: String,
}

/// One thing that was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Happened {
    /// When.
    pub at: chrono::DateTime<chrono::Utc>,
    /// What, and how it ended.
    pub kind: String,
    /// By which run.
    pub run: String,
    /// The item's counter before and after.
    pub version: Option<String>,
    /// Graph's `request-id`.
    pub request_id: Option<String>,
}

impl Operations {
    /// Shows what is known of the row with these key values.
    ///
    /// # Errors
    /// A definition without a list, a wrong number of key values, values that are none of the columns' types.
    pub async fn ledger_show(&self, name: &str, key: &[String]) -> Result<LedgerView> {
        let mut connection = self.store.acquire().await?;
        let addressed = self.addressed(&mut connection, name).await?;
        let identity = addressed.identity(&addressed.key(key)?);
        let memory = DefinitionStore::open(&self.store, &self.ring, addressed.id).await?;
        let row = memory.rows(&[identity]).await?.into_iter().next().flatten();
        let refused = memory
            .quarantined(&[identity])
            .await?
            .into_iter()
            .next()
            .flatten();
        let before = previous(identity);
        let dirty = memory
            .dirty(before, 1)
            .await?
            .iter()
            .any(|row| row.mark.identity == identity);
        let happened = history(&mut connection, addressed.id, identity, HistoryPage::newest(50)).await?;
        let list = addressed.list.clone().unwrap_or_default();
        Ok(LedgerView {
            identity: identity.to_string(),
            entry: row.map(|row| entry(&addressed.mapping, list, &row)),
            quarantine: refused.map(|refused| refused.entry.failure.to_string()),
            dirty,
            history: happened
                .into_iter()
                .map(|one| Happened {
                    at: one.at,
                    kind: format!("{} {}", one.kind.name(), one.outcome),
                    run: one.run.to_string(),
                    version: match (one.before, one.after) {
                        (None, None) => None,
                        (before, after) => {
                            let text = |n: Option<u64>| n.map_or_else(|| "-".to_owned(), |n| n.to_string());
                            Some(format!("{} → {}", text(before), text(after)))
                        }
                    },
                    request_id: one.request_id,
                })
                .collect(),
        })
    }
}

/// The identity just before, to read from this one on; `None` for the first there is.
fn previous(identity: Identity) -> Option<Identity> {
    let value = u128::from_be_bytes(*identity.as_bytes());
    value
        .checked_sub(1)
        .map(|value| Identity::from_bytes(value.to_be_bytes()))
}

fn entry(mapping: &Mapping, list: String, row: &LedgerRow) -> LedgerEntry {
    let agreed = Agreed::from_bytes(&row.agreed)
        .ok()
        .filter(|_| row.layout == mapping.layout());
    let text = |hash: CellHash| hash.map_or_else(|| "unknown".to_owned(), |hash| format!("{hash:016x}"));
    let fields = mapping
        .fields
        .iter()
        .enumerate()
        .map(|(at, field)| {
            let (source, target) = agreed
                .as_ref()
                .and_then(|agreed| agreed.fields.get(at).copied())
                .unwrap_or((None, None));
            FieldEntry {
                column: field.column.clone(),
                target: field.target.clone(),
                source_hash: text(source),
                target_hash: text(target),
            }
        })
        .collect();
    LedgerEntry {
        state: match row.state {
            LedgerState::Live => "live",
            LedgerState::Tombstone => "tombstone",
            LedgerState::Kept => "kept",
            LedgerState::Archived => "archived",
        },
        item: row.item.to_string(),
        list,
        version: row.version.to_string(),
        generation: row.mark.generation,
        lsn: row.mark.lsn.0,
        last_run: row.last_run.to_string(),
        fields,
    }
}
