//! Saved plans: what a rehearsed run would write is put down change by change, and a run of a plan writes what stands
//! there and nothing else (DESIGN §12, I12).
//!
//! Both make the same [`PlannedChange`] of a write at the same place, where it is about to be recorded. A run of a plan
//! decides anew on what it reads, and a write passes only where the two are one: same change, same states below it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value as Json;
use syncbridge_domain::effect::{EffectKind, NewEffect};
use syncbridge_domain::failure::{Failure, Scope};
use syncbridge_domain::identity::Identity;
use syncbridge_domain::ids::{EffectId, PlanId};
use syncbridge_domain::item_subject::subject_of_item;
use syncbridge_domain::mapping::SYNC_KEY_COLUMN;
use syncbridge_domain::plan_remark::ForeignEdit;
use syncbridge_domain::reconcile::{Decision, FieldDecision};
use syncbridge_domain::row::{Cell, Presence};
use syncbridge_domain::saved_plan::{ChangeState, PlannedChange, PlannedField};

use crate::ports::plan_book::PlanBook;
use crate::ports::{PortResult, Settlement, Verdict};
use crate::session::{Session, World};
use crate::stage::Stage;
use crate::work::{Heard, Intended, Work};

/// Code of planned changes that were not made, because what they rest on had changed.
const DRIFTED: &str = "plan.drifted";
/// How many changes are kept at once.
const KEEP_AT: usize = 1_000;

/// What a run has to do with a saved plan.
pub(crate) enum Planning<'a> {
    /// Nothing.
    None,
    /// It is rehearsed, to work the plan out.
    Rehearses(Rehearsal<'a>),
    /// It makes what stands in the plan.
    Follows(Following<'a>),
}

/// A plan being worked out.
pub(crate) struct Rehearsal<'a> {
    plan: PlanId,
    book: &'a dyn PlanBook,
    stage: &'a Stage,
    sheet: Mutex<Sheet>,
}

/// What is not yet in the book.
#[derive(Default)]
struct Sheet {
    /// Writes that are recorded and not settled.
    pending: BTreeMap<EffectId, PlannedChange>,
    /// Writes that would be made.
    made: Vec<PlannedChange>,
    foreign: Vec<ForeignEdit>,
}

impl<'a> Rehearsal<'a> {
    pub(crate) fn new(plan: PlanId, book: &'a dyn PlanBook, stage: &'a Stage) -> Self {
        Self {
            plan,
            book,
            stage,
            sheet: Mutex::new(Sheet::default()),
        }
    }

    fn sheet(&self) -> MutexGuard<'_, Sheet> {
        self.sheet.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A plan being run.
pub(crate) struct Following<'a> {
    plan: PlanId,
    book: &'a dyn PlanBook,
    /// Rows whose planned change is not what would be done now.
    drifted: u64,
    /// Rows that changed and of which the plan does not speak.
    outside: u64,
}

impl<'a> Following<'a> {
    pub(crate) fn new(plan: PlanId, book: &'a dyn PlanBook) -> Self {
        Self {
            plan,
            book,
            drifted: 0,
            outside: 0,
        }
    }
}

pub(crate) fn no_book() -> Failure {
    Failure::new(
        Scope::Outage,
        "plan.no_book",
        "this worker was given no place that plans are kept in",
        "report this as a defect; nothing was written",
    )
}

/// What a plan says to one write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    /// It is planned.
    Planned,
    /// The plan rests on a look at the item, and this write does not yet.
    LookFirst,
    /// Another change of this row is planned.
    Drifted,
    /// Nothing of this row is planned.
    Outside,
}

impl<W: World> Session<'_, W> {
    /// Whether this run is only rehearsed.
    pub(crate) fn rehearses(&self) -> bool {
        matches!(self.planning, Planning::Rehearses(_))
    }

    /// How much may be deleted of what stands in a plan, or is going to; nothing where there is none. A person looks at
    /// each deletion of a plan that goes beyond the guard; one that did not when it was made is held to what is left.
    pub(crate) fn deletes_by_plan(&self, allowance: u64) -> Option<u64> {
        match self.planning {
            Planning::None => None,
            Planning::Follows(_) if !self.spec.options.plan_approved => Some(allowance),
            Planning::Rehearses(_) | Planning::Follows(_) => Some(u64::MAX),
        }
    }

    /// Which of these rows a rehearsal has planned already: neither side shows what was only rehearsed, so that a later
    /// pass of it must not look at them again.
    pub(crate) async fn rehearsed(&self, ids: &[Identity]) -> PortResult<Vec<Identity>> {
        let Planning::Rehearses(rehearsal) = &self.planning else {
            return Ok(Vec::new());
        };
        self.keep_foreseen(true).await?;
        let counts = rehearsal.book.counts(rehearsal.plan, ids).await?;
        let mut known: Vec<Identity> = counts.into_iter().map(|(identity, _)| identity).collect();
        known.sort_unstable();
        Ok(known)
    }

    /// Puts down a write that is recorded; it is planned once it is settled as made.
    pub(crate) fn foresee<A: Intended>(&self, write: &A) {
        if let Planning::Rehearses(rehearsal) = &self.planning {
            let change = self.change_of(write);
            rehearsal.sheet().pending.insert(write.effect().id, change);
        }
    }

    /// What became of writes that were put down.
    pub(crate) fn foreseen(&self, settled: &[Settlement]) {
        let Planning::Rehearses(rehearsal) = &self.planning else {
            return;
        };
        let mut sheet = rehearsal.sheet();
        for settlement in settled {
            let Some(mut change) = sheet.pending.remove(&settlement.effect) else {
                continue;
            };
            if matches!(settlement.verdict, Verdict::Applied(_) | Verdict::Removed) {
                self.fill_in_before(&mut change, rehearsal.stage);
                sheet.made.push(change);
            }
        }
    }

    /// What an item held where nobody had looked when it was decided.
    fn fill_in_before(&self, change: &mut PlannedChange, stage: &Stage) {
        let Some(link) = change.item.as_ref().filter(|_| !change.kind.is_of_row()) else {
            return;
        };
        let Some(shown) = stage.before(&link.id) else {
            return;
        };
        for field in change.fields.iter_mut().filter(|field| !field.was_read()) {
            let target = self.target_of(&field.column);
            if let Some(value) = shown.value(target) {
                field.before = value.clone();
            }
        }
    }

    /// Notes edits on the side that does not own their fields, which stand for now.
    pub(crate) fn foresee_foreign(&self, work: &Work, decision: &Decision) {
        let Planning::Rehearses(rehearsal) = &self.planning else {
            return;
        };
        let (Some(source), Some(item)) = (work.source.one(), work.target.one()) else {
            return;
        };
        for (at, decided) in decision.fields.iter().enumerate() {
            let field = &self.spec.mapping.fields[at];
            let shown = item.value(&field.target);
            if let (FieldDecision::ForeignReported, Some(shown)) = (decided, shown) {
                rehearsal.sheet().foreign.push(ForeignEdit {
                    identity: work.identity(),
                    key: work.subject.key.clone(),
                    column: field.column.clone(),
                    source: self.source_value(field, &source.cells[at]),
                    target: shown.clone(),
                });
            }
        }
    }

    /// Puts what was planned into the book.
    pub(crate) async fn keep_foreseen(&self, all: bool) -> PortResult<()> {
        let Planning::Rehearses(rehearsal) = &self.planning else {
            return Ok(());
        };
        let (mut made, foreign) = {
            let mut sheet = rehearsal.sheet();
            if !all && sheet.made.len() + sheet.foreign.len() < KEEP_AT {
                return Ok(());
            }
            (
                std::mem::take(&mut sheet.made),
                std::mem::take(&mut sheet.foreign),
            )
        };
        let mut ids: Vec<Identity> = made.iter().map(|change| change.identity).collect();
        ids.sort_unstable();
        ids.dedup();
        let counts = rehearsal.book.counts(rehearsal.plan, &ids).await?;
        let mut next: BTreeMap<Identity, u64> = counts.into_iter().collect();
        for change in &mut made {
            let place = next.entry(change.identity).or_default();
            change.ordinal = u16::try_from(*place).unwrap_or(u16::MAX);
            *place += 1;
        }
        if !made.is_empty() {
            rehearsal.book.keep(rehearsal.plan, &made).await?;
        }
        match foreign.is_empty() {
            true => Ok(()),
            false => rehearsal.book.note_foreign(rehearsal.plan, &foreign).await,
        }
    }

    /// Of these writes those that the plan holds, with others to be decided anew. What drifted is left for the next
    /// run, and what the plan does not speak of stays dirty.
    pub(crate) async fn only_planned<A: Intended>(
        &mut self,
        writes: Vec<A>,
        left: &mut Vec<Work>,
    ) -> PortResult<(Vec<A>, Vec<Work>)> {
        let Planning::Follows(following) = &self.planning else {
            return Ok((writes, Vec::new()));
        };
        let changes: Vec<PlannedChange> = writes.iter().map(|write| self.change_of(write)).collect();
        let of_items: Vec<Option<Identity>> =
            changes.iter().map(|change| self.item_identity(change)).collect();
        let mut ids: Vec<Identity> = changes.iter().map(|change| change.identity).collect();
        ids.extend(of_items.iter().flatten());
        ids.sort_unstable();
        ids.dedup();
        let planned = by_identity(following.book.planned(following.plan, &ids).await?);
        let mut passed = Vec::with_capacity(writes.len());
        let (mut again, mut outside, mut drifted) = (Vec::new(), Vec::new(), 0);
        for ((write, change), of_item) in writes.into_iter().zip(changes).zip(of_items) {
            let unseen = write.work().target == Presence::Unseen && write.work().base.is_some();
            match word_on(&change, of_item, unseen, &planned) {
                Word::Planned => passed.push(write),
                Word::LookFirst => {
                    let work = write.into_work();
                    again.push(Work {
                        heard: Heard::changed(),
                        rounds: work.rounds.saturating_add(1),
                        ..work
                    });
                }
                Word::Drifted => {
                    drifted += 1;
                    left.push(write.into_work());
                }
                Word::Outside => outside.push(write.into_work()),
            }
        }
        if let Planning::Follows(following) = &mut self.planning {
            following.drifted += drifted;
            following.outside += outside.len() as u64;
        }
        self.mark_left(outside).await?;
        Ok((passed, again))
    }

    /// Closes a plan that was run to its end, and says what was not made of it.
    pub(crate) async fn conclude(&mut self) -> PortResult<()> {
        let Planning::Follows(following) = &self.planning else {
            return Ok(());
        };
        let (plan, drifted, outside) = (following.plan, following.drifted, following.outside);
        let concluded = following.book.conclude(self.fence(), plan).await?;
        // A change whose row shows no need for it any more is left like one that would be another now.
        let silent = concluded.outdated.saturating_sub(drifted);
        self.counters.parked += silent;
        if concluded.outdated > 0 {
            self.notice(format!(
                "{DRIFTED}: {} planned changes were not made, because their rows or items are not any more what the \
                 plan rests on; `syncbridge plans show {plan} --state outdated` lists them, and the next run decides \
                 about them anew",
                concluded.outdated
            ));
        }
        if outside > 0 {
            self.notice(format!(
                "{outside} rows changed of which the plan does not speak: they were not touched and wait for the next \
                 run"
            ));
        }
        Ok(())
    }

    /// A write as a plan holds it.
    fn change_of<A: Intended>(&self, write: &A) -> PlannedChange {
        let (work, effect) = (write.work(), write.effect());
        let subject = match &effect.item {
            // What follows the insert of a row that has no key yet belongs to its item.
            Some(link) if Stage::is_invented(&effect.subject.key) => subject_of_item(
                self.ports.hash_key,
                &self.spec.namespace,
                link.before.guid,
                &link.id,
            ),
            _ => effect.subject.clone(),
        };
        PlannedChange {
            identity: subject.identity,
            ordinal: 0,
            key: subject.key,
            kind: effect.kind,
            item: effect.item.clone(),
            row_version: effect.expected_row_version,
            digest: work.source.one().map(|row| self.digest(&row.cells)),
            fields: self.fields_of(work, effect),
        }
    }

    fn fields_of(&self, work: &Work, effect: &NewEffect) -> Vec<PlannedField> {
        let of_row = effect.kind.is_of_row();
        let fields = &self.spec.mapping.fields;
        let field = |(name, value): (&String, &Json)| {
            let at = fields.iter().position(|field| match of_row {
                true => field.column == *name,
                false => field.target == *name,
            });
            let cell = |at: usize| work.source.one().map(|row| text(&row.cells[at]));
            let before = match (of_row, at) {
                (true, Some(at)) => cell(at).unwrap_or(Json::Null),
                _ if effect.kind == EffectKind::CreateItem => Json::Null,
                _ => match &work.target {
                    Presence::One(item) => item.value(name).cloned().unwrap_or_else(PlannedField::unread),
                    _ => PlannedField::unread(),
                },
            };
            // A sync key says nothing that the row's key does not, and that of a row to come is not known.
            let ours = name == SYNC_KEY_COLUMN;
            PlannedField {
                column: at.map_or_else(|| name.clone(), |at| fields[at].column.clone()),
                before: if ours { Json::Null } else { before },
                after: if ours { Json::Null } else { value.clone() },
            }
        };
        effect.sent.iter().map(field).collect()
    }

    fn target_of<'n>(&'n self, column: &'n str) -> &'n str {
        let fields = &self.spec.mapping.fields;
        fields
            .iter()
            .find(|field| field.column == column)
            .map_or(column, |field| field.target.as_str())
    }

    /// Under whose identity the stamp of a person's item is planned, whose row had no key then.
    fn item_identity(&self, change: &PlannedChange) -> Option<Identity> {
        let link = change
            .item
            .as_ref()
            .filter(|_| change.kind == EffectKind::PatchItem)?;
        let subject = subject_of_item(
            self.ports.hash_key,
            &self.spec.namespace,
            link.before.guid,
            &link.id,
        );
        (subject.identity != change.identity).then_some(subject.identity)
    }
}

type Planned = BTreeMap<Identity, Vec<PlannedChange>>;

fn by_identity(all: Vec<(PlannedChange, ChangeState)>) -> Planned {
    let mut planned = Planned::new();
    for (change, state) in all {
        if state == ChangeState::Waiting {
            planned.entry(change.identity).or_default().push(change);
        }
    }
    planned
}

fn word_on(change: &PlannedChange, of_item: Option<Identity>, unseen: bool, planned: &Planned) -> Word {
    let none = Vec::new();
    let own = planned.get(&change.identity).unwrap_or(&none);
    if own.iter().any(|planned| is_planned(planned, change)) {
        return Word::Planned;
    }
    let stamps = of_item
        .and_then(|identity| planned.get(&identity))
        .unwrap_or(&none);
    if stamps.iter().any(|planned| completes_insert(planned, change)) {
        return Word::Planned;
    }
    let rests_on_a_look = |planned: &PlannedChange| {
        let other = |change: &PlannedChange| change.item.as_ref().map(|item| item.before);
        planned.kind == change.kind && planned.ordinal == 0 && other(planned) != other(change)
    };
    if unseen && own.iter().any(rests_on_a_look) {
        return Word::LookFirst;
    }
    match own.is_empty() && stamps.is_empty() {
        true => Word::Outside,
        false => Word::Drifted,
    }
}

/// Whether a write is the very one that was planned. Further writes of a row rest on the ones before them, whose states
/// nobody could know.
fn is_planned(planned: &PlannedChange, change: &PlannedChange) -> bool {
    let follows = planned.ordinal > 0;
    let same_ground = planned.digest == change.digest && planned.row_version == change.row_version;
    let item = |change: &PlannedChange| change.item.as_ref().map(|item| item.id.clone());
    planned.kind == change.kind
        && (follows || same_ground && planned.item == change.item)
        && (!follows || item(planned) == item(change))
        && same_fields(&planned.fields, &change.fields)
}

/// Whether a write completes the insert of a row that got its key only then: it gives the item its sync key, and may
/// bring what the source chose for the row.
fn completes_insert(planned: &PlannedChange, change: &PlannedChange) -> bool {
    let item = |change: &PlannedChange| change.item.as_ref().map(|item| item.id.clone());
    planned.ordinal > 0
        && planned.kind == change.kind
        && item(planned) == item(change)
        && planned
            .fields
            .iter()
            .all(|field| change.fields.iter().any(|made| made.column == field.column))
}

fn same_fields(planned: &[PlannedField], made: &[PlannedField]) -> bool {
    planned.len() == made.len()
        && planned
            .iter()
            .zip(made)
            .all(|(planned, made)| planned.column == made.column && planned.after == made.after)
}

fn text(cell: &Cell) -> Json {
    cell.as_deref()
        .map_or(Json::Null, |text| Json::String(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use syncbridge_domain::agreed::RowDigest;
    use syncbridge_domain::effect::ItemLink;
    use syncbridge_domain::identity::{KeyColumn, encode_key};
    use syncbridge_domain::pg_type::PgType;
    use syncbridge_domain::receipt::ItemId;
    use syncbridge_domain::version::Version;
    use uuid::Uuid;

    use super::*;

    fn change() -> PlannedChange {
        let column = KeyColumn {
            name: "id".into(),
            pg_type: PgType::Text,
        };
        PlannedChange {
            identity: Identity::from_bytes([1; 16]),
            ordinal: 0,
            key: encode_key(&[column], &[Some("1")]).unwrap(),
            kind: EffectKind::PatchItem,
            item: Some(ItemLink {
                id: ItemId("7".into()),
                before: Version {
                    guid: Uuid::from_u128(7),
                    counter: 3,
                },
            }),
            row_version: Some(2),
            digest: Some(RowDigest([4; 16])),
            fields: vec![PlannedField {
                column: "title".into(),
                before: json!("old"),
                after: json!("new"),
            }],
        }
    }

    fn with(alter: impl FnOnce(&mut PlannedChange)) -> PlannedChange {
        let mut other = change();
        alter(&mut other);
        other
    }

    fn newer(change: &mut PlannedChange) {
        change.item.as_mut().unwrap().before.counter = 4;
    }

    fn word(planned: &[PlannedChange], made: &PlannedChange, unseen: bool) -> Word {
        let all = planned
            .iter()
            .map(|one| (one.clone(), ChangeState::Waiting))
            .collect();
        word_on(made, None, unseen, &by_identity(all))
    }

    #[test]
    fn a_write_passes_only_where_change_and_ground_are_the_planned_ones() {
        let planned = [change()];
        assert_eq!(word(&planned, &change(), false), Word::Planned);
        // What is there now was not looked at when the write was decided; its precondition stands for it.
        let unread = with(|one| one.fields[0].before = PlannedField::unread());
        assert_eq!(word(&planned, &unread, true), Word::Planned);
        let others = [
            with(|one| one.kind = EffectKind::DeleteItem),
            with(newer),
            with(|one| one.item.as_mut().unwrap().id = ItemId("8".into())),
            with(|one| one.row_version = Some(3)),
            with(|one| one.digest = Some(RowDigest([5; 16]))),
            with(|one| one.fields[0].after = json!("newer")),
            with(|one| one.fields[0].column = "body".into()),
            with(|one| one.fields.push(one.fields[0].clone())),
            with(|one| one.fields.clear()),
        ];
        for (at, other) in others.iter().enumerate() {
            assert_eq!(word(&planned, other, false), Word::Drifted, "{at}");
        }
        assert_eq!(word(&[], &change(), false), Word::Outside);
        let made = by_identity(vec![(change(), ChangeState::Applied)]);
        assert_eq!(word_on(&change(), None, false, &made), Word::Outside);
    }

    #[test]
    fn a_plan_that_rests_on_a_look_makes_the_run_look_too() {
        let planned = [with(newer)];
        assert_eq!(word(&planned, &change(), true), Word::LookFirst);
        assert_eq!(word(&planned, &change(), false), Word::Drifted);
        assert_eq!(word(&planned, &with(newer), false), Word::Planned);
    }

    #[test]
    fn a_further_write_of_a_row_rests_on_the_one_before_it() {
        let second = with(|one| one.ordinal = 1);
        let later = with(|one| {
            newer(one);
            one.row_version = Some(9);
            one.digest = Some(RowDigest([9; 16]));
        });
        assert_eq!(word(std::slice::from_ref(&second), &later, false), Word::Planned);
        let other = with(|one| one.fields[0].after = json!("newer"));
        assert_eq!(word(std::slice::from_ref(&second), &other, false), Word::Drifted);
        let another_item = with(|one| one.item.as_mut().unwrap().id = ItemId("8".into()));
        assert_eq!(word(&[second], &another_item, false), Word::Drifted);
    }

    #[test]
    fn the_stamp_of_a_new_row_may_bring_what_the_source_chose_and_nothing_else_may() {
        let of_item = Identity::from_bytes([2; 16]);
        let stamp = |ordinal| {
            with(|one| {
                one.identity = of_item;
                one.ordinal = ordinal;
                one.fields[0].column = SYNC_KEY_COLUMN.into();
                one.fields[0].after = Json::Null;
            })
        };
        let made = with(|one| {
            let chosen = one.fields[0].clone();
            one.fields[0].column = SYNC_KEY_COLUMN.into();
            one.fields[0].after = Json::Null;
            one.fields.push(chosen);
        });
        let word = |planned: PlannedChange, made: &PlannedChange| {
            let planned = by_identity(vec![(planned, ChangeState::Waiting)]);
            word_on(made, Some(of_item), false, &planned)
        };
        assert_eq!(word(stamp(1), &made), Word::Planned);
        assert_eq!(word(stamp(0), &made), Word::Drifted);
        assert_eq!(word(stamp(1), &change()), Word::Drifted);
    }
}
