//! `ledger show`: what is known of one row, now or as it stood at a time, and what happened to it.

use chrono::{DateTime, Utc};
use serde::Serialize;
use syncbridge_domain::dirty::DirtyRow;
use syncbridge_domain::failure::{Failure, Scope};
use syncbridge_domain::identity::Identity;
use syncbridge_domain::ledger::{LedgerRow, LedgerState};
use syncbridge_domain::mapping::Mapping;
use syncbridge_meta_store::DefinitionStore;
use syncbridge_meta_store::ledger::{HistoryEntry, HistoryPage, Stood, history, state_at};

use crate::Operations;
use crate::error::Result;
use crate::history_view::{Happened, Layouts, MarkView, hex};

/// What is asked about a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LedgerWanted {
    /// As it stood then; absent: as it stands now.
    pub as_of: Option<DateTime<Utc>>,
    /// Of its history what is older than this number.
    pub before: Option<u64>,
    /// So many entries of the history; 500 at most.
    pub limit: u32,
}

/// What is known of one row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LedgerView {
    /// Identity of the key, in hexadecimal.
    pub identity: String,
    /// The time that was asked about; absent: now.
    pub as_of: Option<DateTime<Utc>>,
    /// What both sides agreed on; absent where they did not.
    pub entry: Option<LedgerEntry>,
    /// Why the row is in quarantine now, if it is.
    pub quarantine: Option<String>,
    /// Whether the row waits to be applied now.
    pub dirty: bool,
    /// What happened to it, newest first.
    pub history: Vec<Happened>,
    /// Whether there is more behind the last entry.
    pub older: bool,
}

/// What both sides agreed on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LedgerEntry {
    /// `live`, `tombstone`, `kept` or `archived`; absent where a time is asked about before that was kept.
    pub state: Option<&'static str>,
    /// The item's number.
    pub item: Option<String>,
    /// Graph's id of the list.
    pub list: String,
    /// The item's guid and counter.
    pub version: Option<String>,
    /// How new the source state was; absent as `state`.
    pub mark: Option<MarkView>,
    /// The run that last wrote it; absent where that is not kept any more.
    pub last_run: Option<String>,
    /// Hashes by field; absent where nothing was agreed on.
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
    pub source_hash: Option<String>,
    /// Hash of what the list returned.
    pub target_hash: Option<String>,
}

impl Operations {
    /// Shows what is known of the row with these key values.
    ///
    /// # Errors
    /// A definition without a list, a wrong number of key values, values that are none of the columns' types;
    /// `history.too_old` for a time that the history does not reach back to.
    pub async fn ledger_show(&self, name: &str, key: &[String], wanted: &LedgerWanted) -> Result<LedgerView> {
        let mut connection = self.store.acquire().await?;
        let addressed = self.addressed(&mut connection, name).await?;
        let identity = addressed.identity(&addressed.key(key)?);
        let memory = DefinitionStore::open(&self.store, &self.ring, addressed.id).await?;
        let list = addressed.list.clone().unwrap_or_default();
        let mut layouts = Layouts::new(&memory, &addressed.mapping);
        let row = memory.rows(&[identity]).await?.into_iter().next().flatten();
        let entry = match wanted.as_of {
            None => match &row {
                Some(row) => {
                    Some(entry_of(&mut layouts, &addressed.mapping, list, &Standing::now(row)).await?)
                }
                None => None,
            },
            Some(at) => {
                let (until, after) = state_at(&mut connection, addressed.id, identity, at).await?;
                match Standing::then(name, at, until, after, row)? {
                    Some(stood) => Some(entry_of(&mut layouts, &addressed.mapping, list, &stood).await?),
                    None => None,
                }
            }
        };
        let (quarantine, dirty) = match wanted.as_of {
            Some(_) => (None, false),
            None => (
                memory
                    .quarantined(&[identity])
                    .await?
                    .into_iter()
                    .next()
                    .flatten(),
                dirty_row(&memory, identity).await?.is_some(),
            ),
        };
        let page = HistoryPage {
            before: wanted.before,
            until: wanted.as_of,
            limit: wanted.limit,
        };
        let happened = history(&mut connection, addressed.id, identity, page).await?;
        let older = match happened.last() {
            Some(last) => {
                let behind = HistoryPage {
                    before: Some(last.number),
                    until: None,
                    limit: 1,
                };
                !history(&mut connection, addressed.id, identity, behind)
                    .await?
                    .is_empty()
            }
            None => false,
        };
        let mut views = Vec::with_capacity(happened.len());
        for one in &happened {
            views.push(layouts.view(one).await?);
        }
        Ok(LedgerView {
            identity: identity.to_string(),
            as_of: wanted.as_of,
            entry,
            quarantine: quarantine.map(|refused| refused.entry.failure.to_string()),
            dirty,
            history: views,
            older,
        })
    }
}

/// What a row's agreement was, now or then.
struct Standing {
    stood: Stood,
    item: Option<String>,
    version: Option<String>,
    mark: Option<MarkView>,
    last_run: Option<String>,
}

impl Standing {
    fn now(row: &LedgerRow) -> Self {
        Self {
            stood: Stood {
                agreed: row.agreed.clone(),
                layout: row.layout,
                state: Some(row.state),
            },
            item: Some(row.item.to_string()),
            version: Some(row.version.to_string()),
            mark: Some(MarkView {
                generation: row.mark.generation,
                lsn: row.mark.lsn.0,
            }),
            last_run: Some(row.last_run.to_string()),
        }
    }

    /// From the entry that last changed it until then; where that is not kept any more, from the first after it, which
    /// says what it found.
    fn then(
        name: &str,
        at: DateTime<Utc>,
        until: Option<HistoryEntry>,
        after: Option<HistoryEntry>,
        row: Option<LedgerRow>,
    ) -> Result<Option<Self>> {
        let version = |guid: Option<uuid::Uuid>, counter: Option<u64>| {
            let (guid, counter) = (guid?, counter?);
            Some(syncbridge_domain::version::Version { guid, counter }.to_string())
        };
        if let Some(entry) = until {
            return Ok(entry.stands.map(|stood| Self {
                stood,
                item: entry.item,
                version: version(entry.guid, entry.after),
                mark: entry.mark.map(|mark| MarkView {
                    generation: mark.generation,
                    lsn: mark.lsn.0,
                }),
                last_run: Some(entry.run.to_string()),
            }));
        }
        match (after, row) {
            (Some(entry), _) => Ok(entry.was.map(|stood| Self {
                stood,
                item: entry.item,
                version: version(entry.guid, entry.before),
                mark: None,
                last_run: None,
            })),
            // Nothing happened since, and what happened before is not kept.
            (None, Some(_)) => Err(Failure::new(
                Scope::Row,
                "history.too_old",
                format!("the history of this row does not reach back to {}", at.to_rfc3339()),
                format!(
                    "`syncbridge ledger show {name} KEY` shows how it stands now, and what is kept; `history.retention` \
                     of the definition says how long that is"
                ),
            )
            .into()),
            (None, None) => Ok(None),
        }
    }
}

async fn entry_of(
    layouts: &mut Layouts<'_>,
    mapping: &Mapping,
    list: String,
    standing: &Standing,
) -> Result<LedgerEntry> {
    let agreed = layouts.read(&standing.stood).await?;
    let fields = mapping.fields.iter().zip(&agreed.fields);
    Ok(LedgerEntry {
        state: standing.stood.state.map(name_of),
        item: standing.item.clone(),
        list,
        version: standing.version.clone(),
        mark: standing.mark,
        last_run: standing.last_run.clone(),
        fields: fields
            .map(|(field, (source, target))| FieldEntry {
                column: field.column.clone(),
                target: field.target.clone(),
                source_hash: hex(*source),
                target_hash: hex(*target),
            })
            .collect(),
    })
}

/// The word for what kind of agreement a row is.
pub(crate) fn name_of(state: LedgerState) -> &'static str {
    match state {
        LedgerState::Live => "live",
        LedgerState::Tombstone => "tombstone",
        LedgerState::Kept => "kept",
        LedgerState::Archived => "archived",
    }
}

/// The dirty row of an identity.
pub(crate) async fn dirty_row(memory: &DefinitionStore, identity: Identity) -> Result<Option<DirtyRow>> {
    let rows = memory.dirty(previous(identity), 1).await?;
    Ok(rows.into_iter().find(|row| row.mark.identity == identity))
}

/// The identity just before, to read from this one on; `None` for the first there is.
fn previous(identity: Identity) -> Option<Identity> {
    let value = u128::from_be_bytes(*identity.as_bytes());
    value
        .checked_sub(1)
        .map(|value| Identity::from_bytes(value.to_be_bytes()))
}
