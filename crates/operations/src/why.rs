//! `why`: everything that is known about one cell, as a chain that ends with one sentence.
//!
//! Nothing is decided here that the engine decides: the facts are put beside each other, and [`crate::why_told`] says
//! in plain words what they come to.

use serde_json::Value as Json;
use syncbridge_domain::agreed::{CellHash, source_hash, target_hash};
use syncbridge_domain::convert::to_target;
use syncbridge_domain::dirty::{DirtyRow, Quarantined, TargetHint};
use syncbridge_domain::effect::Effect;
use syncbridge_domain::failure::{Failure, Scope};
use syncbridge_domain::history::Way;
use syncbridge_domain::identity::{Identity, Key};
use syncbridge_domain::ledger::LedgerRow;
use syncbridge_domain::mapping::{FieldMapping, Mapping};
use syncbridge_domain::policy::Direction;
use syncbridge_domain::receipt::{Item, ItemId};
use syncbridge_domain::row::{Presence, SourceRow};
use syncbridge_manifest::SyncDefinitionSpec;
use syncbridge_meta_store::DefinitionStore;
use syncbridge_meta_store::ledger::{
    ConflictEntry, ConflictFilter, HistoryEntry, HistoryPage, Stood, history, list_conflicts,
};

use crate::Operations;
use crate::addressed::Addressed;
use crate::conflict_list::ConflictView;
use crate::error::Result;
use crate::history_view::{Layouts, MarkView, hex};
use crate::ledger_show::{dirty_row, name_of};
use crate::why_told::{self, Facts};
use crate::why_view::{
    AgainstAgreed, CellAgreed, CellLive, CellStep, InQuarantine, OpenWrite, SideNow, Waiting, WhyView,
};

/// How many entries of a row's history are looked through for changes of one cell.
const LOOKED_THROUGH: u32 = 500;
/// How many conflicts of a cell are shown.
const CONFLICTS: u32 = 20;

/// What is asked about a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WhyAsked<'a> {
    /// Values of the key columns.
    pub key: &'a [String],
    /// The column: of the table, or of the list by internal or shown name.
    pub field: &'a str,
    /// Look at both sides now.
    pub live: bool,
    /// So many changes at most.
    pub limit: u32,
}

/// What the memory holds about a row.
struct Known {
    row: Option<LedgerRow>,
    refused: Option<Quarantined>,
    open: Vec<Effect>,
    waits: Option<DirtyRow>,
    entries: Vec<HistoryEntry>,
    conflicts: Vec<ConflictEntry>,
}

impl Known {
    fn is_nothing(&self) -> bool {
        self.row.is_none()
            && self.refused.is_none()
            && self.open.is_empty()
            && self.waits.is_none()
            && self.entries.is_empty()
    }
}

impl Operations {
    /// Tells why a cell shows what it shows.
    ///
    /// # Errors
    /// `why.field` for a column that is not mapped; `why.unknown_row` for a key of which nothing is known; what keeps
    /// the table, and with `live` the list, from being read.
    pub async fn why(&self, name: &str, asked: WhyAsked<'_>) -> Result<WhyView> {
        let mut connection = self.store.acquire().await?;
        let addressed = self.addressed(&mut connection, name).await?;
        let spec = self.definition_spec(&mut connection, name).await?;
        drop(connection);
        let at = field(&addressed.mapping, name, asked.field)?;
        let field = &addressed.mapping.fields[at];
        let key = addressed.key(asked.key)?;
        let identity = addressed.identity(&key);
        let memory = DefinitionStore::open(&self.store, &self.ring, addressed.id).await?;
        let known = self.known(&addressed, &memory, identity, &field.column).await?;
        let live_row = match asked.live {
            true => Some(self.live_row(&addressed, &key).await?),
            false => None,
        };
        let is_there = !matches!(live_row, None | Some(Presence::None));
        if known.is_nothing() && !is_there {
            return Err(unknown_row(name, asked.live).into());
        }
        let mut layouts = Layouts::new(&memory, &addressed.mapping);
        let agreed = match &known.row {
            Some(row) => agreed_of(&mut layouts, row, at).await?,
            None => (None, None),
        };
        let live = match (live_row, &known.row) {
            (None, _) => None,
            (Some(source), None) => Some(live_cell(&addressed, at, agreed, &source, None)),
            (Some(source), Some(row)) => {
                let item = Box::pin(self.live_item(name, &row.item)).await?;
                Some(live_cell(&addressed, at, agreed, &source, Some(item)))
            }
        };
        let (changes, older) = cell_changes(
            &mut layouts,
            &memory,
            identity,
            field,
            &known.entries,
            asked.limit,
        )
        .await?;
        let direction = effective(&spec, field);
        let mut view = WhyView {
            definition: name.to_owned(),
            identity: identity.to_string(),
            key: asked.key.to_vec(),
            column: field.column.clone(),
            list_column: field.display_name.clone(),
            direction: direction.word(),
            agreed: known.row.as_ref().map(|row| cell_agreed(row, agreed)),
            live,
            open_writes: known
                .open
                .iter()
                .map(|effect| open_write(effect, field))
                .collect(),
            waits: known.waits.map(|waits| waiting(&waits)),
            quarantine: known.refused.map(in_quarantine),
            conflicts: known
                .conflicts
                .into_iter()
                .map(|entry| ConflictView::of(name.to_owned(), entry))
                .collect(),
            changes,
            older,
            told: String::new(),
        };
        view.told = why_told::tell(&Facts {
            view: &view,
            direction,
            conflict: field.conflict.unwrap_or(spec.policies.conflict),
            on_foreign_edit: field.on_foreign_edit.unwrap_or(spec.policies.on_foreign_edit),
        });
        Ok(view)
    }

    async fn known(
        &self,
        addressed: &Addressed,
        memory: &DefinitionStore,
        identity: Identity,
        column: &str,
    ) -> Result<Known> {
        let filter = ConflictFilter {
            identities: Some(vec![identity]),
            column: Some(column.to_owned()),
            ..ConflictFilter::default()
        };
        let mut connection = self.store.acquire().await?;
        let conflicts = list_conflicts(&mut connection, addressed.id, &filter, None, CONFLICTS).await?;
        let page = HistoryPage::newest(LOOKED_THROUGH);
        let entries = history(&mut connection, addressed.id, identity, page).await?;
        drop(connection);
        Ok(Known {
            row: memory.rows(&[identity]).await?.into_iter().next().flatten(),
            refused: memory
                .quarantined(&[identity])
                .await?
                .into_iter()
                .next()
                .flatten(),
            open: memory.writes_of(identity).await?,
            waits: dirty_row(memory, identity).await?,
            entries,
            conflicts,
        })
    }

    async fn live_row(&self, addressed: &Addressed, key: &Key) -> Result<Presence<SourceRow>> {
        let keys = [key.clone()];
        let mut rows = self.adapters.read_rows(addressed.place(), &keys).await?;
        Ok(rows.pop().unwrap_or(Presence::None))
    }

    /// The item as the list shows it now.
    async fn live_item(&self, name: &str, item: &ItemId) -> Result<Option<Item>> {
        let mut connection = self.store.acquire().await?;
        let prepared = self.prepare(&mut connection, name).await?;
        drop(connection);
        let Some(target) = &prepared.list else {
            return Ok(None);
        };
        let read = self
            .adapters
            .read_item(&prepared.graph, target, &prepared.mapping, item);
        Ok(read.await?)
    }
}

/// Which way a field travels in this definition.
fn effective(spec: &SyncDefinitionSpec, field: &FieldMapping) -> Direction {
    match (spec.direction, field.direction) {
        (whole, Direction::Both) => whole,
        (_, own) => own,
    }
}

async fn agreed_of(layouts: &mut Layouts<'_>, row: &LedgerRow, at: usize) -> Result<(CellHash, CellHash)> {
    let stood = Stood {
        agreed: row.agreed.clone(),
        layout: row.layout,
        state: Some(row.state),
    };
    let agreed = layouts.read(&stood).await?;
    Ok(agreed.fields.get(at).copied().unwrap_or_default())
}

fn cell_agreed(row: &LedgerRow, agreed: (CellHash, CellHash)) -> CellAgreed {
    CellAgreed {
        state: name_of(row.state),
        item: row.item.to_string(),
        version: row.version.to_string(),
        source_hash: hex(agreed.0),
        target_hash: hex(agreed.1),
        mark: MarkView {
            generation: row.mark.generation,
            lsn: row.mark.lsn.0,
        },
        last_run: row.last_run.to_string(),
    }
}

fn waiting(dirty: &DirtyRow) -> Waiting {
    match dirty.mark.target {
        TargetHint::Changed => Waiting::ItemChanged,
        TargetHint::Deleted | TargetHint::Missing => Waiting::ItemGone,
        TargetHint::Presumed => Waiting::Changed,
    }
}

fn in_quarantine(refused: Quarantined) -> InQuarantine {
    InQuarantine {
        accepted: refused.ignored.is_some(),
        since: refused.since,
        code: refused.entry.failure.code,
        column: refused.entry.failure.column,
        cause: refused.entry.failure.cause,
        fix: refused.entry.failure.fix,
    }
}

fn open_write(effect: &Effect, field: &FieldMapping) -> OpenWrite {
    let name = match effect.kind.is_of_row() {
        true => &field.column,
        false => &field.target,
    };
    OpenWrite {
        kind: effect.kind.name(),
        state: effect.state,
        run: effect.run.to_string(),
        seconds_ago: effect.age.as_secs(),
        of_this_cell: effect.sent.contains_key(name),
    }
}

fn live_cell(
    addressed: &Addressed,
    at: usize,
    agreed: (CellHash, CellHash),
    source: &Presence<SourceRow>,
    item: Option<Option<Item>>,
) -> CellLive {
    let field = &addressed.mapping.fields[at];
    let against = |known: CellHash, seen: CellHash| match known {
        None => AgainstAgreed::Unknown,
        known if known == seen => AgainstAgreed::AsAgreed,
        _ => AgainstAgreed::Changed,
    };
    let bare = |is| SideNow { is, value: None };
    let source = match source {
        Presence::One(row) => {
            let cell = &row.cells[at];
            let shown = match to_target(field, addressed.mapping.time_zone, cell) {
                Ok(value) => value.to_json(),
                Err(_) => cell
                    .as_deref()
                    .map_or(Json::Null, |text| Json::String(text.to_owned())),
            };
            SideNow {
                is: against(agreed.0, source_hash(addressed.hash_key(), cell)),
                value: Some(shown),
            }
        }
        Presence::Many(_) => bare(AgainstAgreed::Several),
        Presence::None | Presence::Unseen => bare(AgainstAgreed::Gone),
    };
    let target = match item {
        None => bare(AgainstAgreed::NotLooked),
        Some(None) => bare(AgainstAgreed::Gone),
        Some(Some(item)) => match item.value(&field.target) {
            None => bare(AgainstAgreed::Unseen),
            Some(shown) => SideNow {
                is: against(agreed.1, target_hash(addressed.hash_key(), shown)),
                value: Some(shown.clone()),
            },
        },
    };
    CellLive { source, target }
}

/// What happened to one cell, with values where they are kept.
async fn cell_changes(
    layouts: &mut Layouts<'_>,
    memory: &DefinitionStore,
    identity: Identity,
    field: &FieldMapping,
    entries: &[HistoryEntry],
    limit: u32,
) -> Result<(Vec<CellStep>, bool)> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut changes = Vec::new();
    let mut older = entries.len() >= LOOKED_THROUGH as usize;
    for entry in entries {
        let view = layouts.view(entry).await?;
        let Some(cell) = view.fields.iter().find(|cell| cell.column == field.column) else {
            continue;
        };
        if changes.len() == limit {
            older = true;
            break;
        }
        let mut change = CellStep {
            number: view.number,
            at: view.at,
            run: view.run.clone(),
            direction: view.direction,
            kind: view.kind,
            outcome: view.outcome.clone(),
            row_rule: view.rule,
            rule: cell.rule,
            by: cell.by.or(view.by),
            beside: view.beside,
            source_before: cell.source_before.clone(),
            source_after: cell.source_after.clone(),
            target_before: cell.target_before.clone(),
            target_after: cell.target_after.clone(),
            version_before: view.version_before,
            version_after: view.version_after,
            value_before: None,
            value_after: None,
            request_id: view.request_id.clone(),
        };
        if entry.has_values
            && let Some(values) = memory.history_values(identity, entry.number).await?
        {
            let name = match view.direction {
                Way::ToSource => &field.column,
                _ => &field.target,
            };
            change.value_before = values.before.get(name).cloned();
            change.value_after = values.sent.get(name).cloned();
        }
        changes.push(change);
    }
    Ok((changes, older))
}

/// Which field is meant: a column of the table, or of the list by its internal or its shown name.
fn field(mapping: &Mapping, name: &str, asked: &str) -> Result<usize> {
    let named = |is: &dyn Fn(&FieldMapping) -> bool| mapping.fields.iter().position(is);
    let found = named(&|field| field.column == asked)
        .or_else(|| named(&|field| field.target.eq_ignore_ascii_case(asked)))
        .or_else(|| named(&|field| field.display_name.to_lowercase() == asked.to_lowercase()))
        .or_else(|| named(&|field| field.column.eq_ignore_ascii_case(asked)));
    Ok(found.ok_or_else(|| {
        let columns: Vec<&str> = mapping.fields.iter().map(|field| field.column.as_str()).collect();
        Failure::new(
            Scope::Row,
            "why.field",
            format!("definition `{name}` maps no column of this name"),
            format!("it maps {}", columns.join(", ")),
        )
    })?)
}

fn unknown_row(name: &str, live: bool) -> Failure {
    let fix = match live {
        true => "look at the spelling of the key: values of the key columns in their order, as PostgreSQL prints them"
            .to_owned(),
        false => format!(
            "look at the spelling of the key; where the row is new, `syncbridge run {name}` makes its item, and `--live` \
             looks whether the table has it"
        ),
    };
    let cause = match live {
        true => "nothing was ever known of a row with this key, and the table has none",
        false => "nothing was ever known of a row with this key",
    };
    Failure::new(Scope::Row, "why.unknown_row", cause, fix)
}
