//! Conflicts: parked, decided, carried out; and edits that lost by policy.

use std::num::NonZeroU64;

use serde_json::json;
use syncbridge_domain::conflict::{ParkReason, ParkedConflict, Resolution, Side};
use syncbridge_domain::dirty::{DirtyMark, NewQuarantine, TargetHint};
use syncbridge_domain::effect::Subject;
use syncbridge_domain::failure::{Failure, Scope};
use syncbridge_domain::ids::{ConflictId, WorkspaceId};
use syncbridge_meta_store::ledger::{
    self, ConflictChoice, ConflictEntry, ConflictFilter, ConflictStatus, Resolved,
};
use syncbridge_meta_store::{Error, OverriddenEdit};

use crate::fixture::{Memory, World, dirty, parked, refused, row, run, subject};

const ADA: ConflictChoice<'_> = ConflictChoice {
    winner: Side::Target,
    by: "cli:ada",
};

async fn park(memory: &Memory, conflicts: &[ParkedConflict]) {
    memory
        .store
        .park_conflicts(memory.fence, memory.run, conflicts)
        .await
        .unwrap();
}

async fn list(world: &World, memory: &Memory, filter: &ConflictFilter) -> Vec<ConflictEntry> {
    let mut connection = world.store.acquire().await.unwrap();
    ledger::list_conflicts(&mut connection, memory.id, filter, None, 100)
        .await
        .unwrap()
}

async fn resolve(world: &World, memory: &Memory, filter: &ConflictFilter) -> Resolved {
    let mut tx = world.store.begin().await.unwrap();
    let resolved = ledger::resolve_conflicts(&mut tx, memory.id, filter, ADA)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    resolved
}

fn with(status: ConflictStatus) -> ConflictFilter {
    ConflictFilter {
        status: Some(status),
        ..Default::default()
    }
}

fn only(entry: &ConflictEntry) -> ConflictFilter {
    ConflictFilter {
        ids: Some(vec![entry.id]),
        ..Default::default()
    }
}

fn waiting(who: &Subject) -> NewQuarantine {
    NewQuarantine {
        failure: Failure::new(Scope::Row, "conflict.parked", "both sides changed it", "choose"),
        ..refused(who, 1)
    }
}

#[tokio::test]
async fn a_conflict_parked_again_stays_as_it_is_and_one_about_other_values_is_another() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    let who = subject("a");
    let conflict = parked(&who, "title");
    park(&memory, std::slice::from_ref(&conflict)).await;
    let [first] = <[_; 1]>::try_from(list(&world, &memory, &ConflictFilter::default()).await).unwrap();
    assert_eq!(
        (first.identity, first.key.as_ref(), first.column.as_str()),
        (who.identity, Some(&who.key), "title")
    );
    assert_eq!(
        (first.status, first.reason, first.run),
        (ConflictStatus::Open, Some(ParkReason::Policy), memory.run)
    );
    resolve(&world, &memory, &only(&first)).await;
    park(&memory, std::slice::from_ref(&conflict)).await;
    let [same] = <[_; 1]>::try_from(list(&world, &memory, &ConflictFilter::default()).await).unwrap();
    assert_eq!(
        (same.id, same.status),
        (first.id, ConflictStatus::Resolved),
        "the decision stands"
    );
    // The last of several of one field counts; its values are others, so nobody decided about it.
    let unknown = ParkedConflict {
        source_hash: None,
        ..conflict.clone()
    };
    let moved_on = ParkedConflict {
        target: json!("theirs, later"),
        target_hash: NonZeroU64::new(3),
        reason: ParkReason::Ambiguous,
        ..conflict
    };
    park(&memory, &[unknown, moved_on]).await;
    let [other] = <[_; 1]>::try_from(list(&world, &memory, &ConflictFilter::default()).await).unwrap();
    assert_ne!(other.id, first.id);
    assert_eq!(
        (other.status, other.reason, other.winner, other.decided),
        (ConflictStatus::Open, Some(ParkReason::Ambiguous), None, None)
    );
    assert_eq!(
        resolve(&world, &memory, &only(&first)).await,
        Resolved::default(),
        "nobody decides about what they did not see"
    );
    assert!(matches!(
        memory.store.conflict(first.id).await,
        Err(Error::NotFound { .. })
    ));
    let opened = memory.store.conflict(other.id).await.unwrap();
    assert_eq!(
        (opened.source, opened.target),
        (json!("ours"), json!("theirs, later"))
    );
}

#[tokio::test]
async fn unknown_hashes_equal_each_other() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    let conflict = ParkedConflict {
        source_hash: None,
        target_hash: None,
        ..parked(&subject("a"), "title")
    };
    park(&memory, std::slice::from_ref(&conflict)).await;
    let before = list(&world, &memory, &ConflictFilter::default()).await;
    park(&memory, &[conflict]).await;
    assert_eq!(list(&world, &memory, &ConflictFilter::default()).await, before);
}

#[tokio::test]
async fn of_two_runs_that_park_one_conflict_at_once_both_are_heard_and_one_is_kept() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    let conflicts: Vec<ParkedConflict> = (0..200).map(|n| parked(&subject(&n.to_string()), "c")).collect();
    let mut backwards = conflicts.clone();
    backwards.reverse();
    let (one, two) = tokio::join!(
        memory.store.park_conflicts(memory.fence, memory.run, &conflicts),
        memory.store.park_conflicts(memory.fence, run(), &backwards)
    );
    one.unwrap();
    two.unwrap();
    assert_eq!(world.count("SELECT count(*) FROM conflicts").await, 200);
}

#[tokio::test]
async fn a_decision_is_told_until_it_was_carried_out() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    let (a, b) = (subject("a"), subject("b"));
    park(
        &memory,
        &[parked(&a, "title"), parked(&a, "body"), parked(&b, "title")],
    )
    .await;
    let ids = [b.identity, a.identity, subject("none").identity];
    assert_eq!(
        memory.store.resolutions(&ids).await.unwrap(),
        [vec![], vec![], vec![]],
        "nobody decided yet"
    );
    let of_a = ConflictFilter {
        identities: Some(vec![a.identity]),
        ..Default::default()
    };
    let resolved = resolve(&world, &memory, &of_a).await;
    assert_eq!((resolved.conflicts, resolved.rows), (2, 1));
    let decided = |column: &str| Resolution {
        column: column.into(),
        winner: Side::Target,
        source_hash: NonZeroU64::new(u64::MAX),
        target_hash: NonZeroU64::new(2),
    };
    assert_eq!(
        memory.store.resolutions(&ids).await.unwrap(),
        [vec![], vec![decided("body"), decided("title")], vec![]]
    );
    let shown = list(&world, &memory, &with(ConflictStatus::Resolved)).await;
    assert_eq!(shown.len(), 2);
    assert_eq!(shown[0].decided.as_ref().map(|d| d.by.as_str()), Some("cli:ada"));
    assert_eq!((shown[0].winner, shown[0].closed), (Some(Side::Target), None));
    let fields = [(a.identity, "body".to_owned()), (b.identity, "title".to_owned())];
    memory.store.close_conflicts(memory.fence, &fields).await.unwrap();
    assert_eq!(
        memory.store.resolutions(&ids).await.unwrap(),
        [vec![], vec![decided("title")], vec![]]
    );
    assert_eq!(list(&world, &memory, &with(ConflictStatus::Open)).await, []);
    let closed = list(&world, &memory, &with(ConflictStatus::Resolved)).await;
    assert_eq!(closed.iter().filter(|entry| entry.closed.is_some()).count(), 2);
    let opened = memory.store.conflict(closed[0].id).await.unwrap();
    assert_eq!(opened.target, json!("theirs"), "values stay as a record");
    // What is over can be parked anew, beside its record.
    park(&memory, &[parked(&b, "title")]).await;
    assert_eq!(list(&world, &memory, &with(ConflictStatus::Open)).await.len(), 1);
    assert_eq!(world.count("SELECT count(*) FROM conflicts").await, 4);
    let other = ConflictFilter {
        column: Some("body".into()),
        ..Default::default()
    };
    assert_eq!(
        resolve(&world, &memory, &other).await,
        Resolved::default(),
        "what was carried out is not decided again"
    );
}

#[tokio::test]
async fn a_decision_makes_its_row_dirty_and_due_and_others_wait_on() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    let (fresh, marked, elsewhere, undecided) = (
        subject("fresh"),
        subject("marked"),
        subject("elsewhere"),
        subject("undecided"),
    );
    let conflicts: Vec<ParkedConflict> = [&fresh, &marked, &elsewhere, &undecided]
        .into_iter()
        .map(|who| parked(who, "title"))
        .collect();
    park(&memory, &conflicts).await;
    for _ in 0..8 {
        let entries = [
            (waiting(&fresh), None),
            (refused(&elsewhere, 1), None),
            (waiting(&undecided), None),
        ];
        memory
            .store
            .quarantine(memory.fence, memory.run, &entries)
            .await
            .unwrap();
    }
    let gone = DirtyMark {
        target: TargetHint::Deleted,
        ..dirty(&marked, 7)
    };
    memory
        .store
        .mark_dirty(memory.fence, &[gone], None)
        .await
        .unwrap();
    let before = memory.store.dirty(None, 1).await.unwrap()[0].sequence;
    let chosen = ConflictFilter {
        identities: Some(vec![fresh.identity, marked.identity, elsewhere.identity]),
        ..Default::default()
    };
    let resolved = resolve(&world, &memory, &chosen).await;
    assert_eq!((resolved.conflicts, resolved.rows), (3, 3));
    let rows = memory.store.dirty(None, 10).await.unwrap();
    let of = |who: &Subject| rows.iter().find(|row| row.mark.identity == who.identity);
    assert_eq!(of(&fresh).unwrap().mark.target, TargetHint::Changed);
    assert_eq!(of(&fresh).unwrap().mark.key, fresh.key);
    assert_eq!(of(&elsewhere).unwrap().mark.target, TargetHint::Changed);
    let marked = of(&marked).unwrap();
    assert_eq!(
        (marked.mark.target, marked.mark.mark.lsn.0),
        (TargetHint::Deleted, 7)
    );
    assert!(
        marked.sequence > before,
        "a look under way does not clear the decision"
    );
    assert!(of(&undecided).is_none());
    let entries = memory
        .store
        .quarantined(&[fresh.identity, elsewhere.identity, undecided.identity])
        .await
        .unwrap();
    let due: Vec<bool> = entries
        .iter()
        .map(|entry| entry.as_ref().unwrap().retry_at.is_some())
        .collect();
    assert_eq!(due, [true, false, false]);
}

#[tokio::test]
async fn a_decision_about_a_conflict_that_is_just_being_replaced_decides_nothing() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    let conflict = parked(&subject("a"), "title");
    park(&memory, std::slice::from_ref(&conflict)).await;
    let seen = list(&world, &memory, &ConflictFilter::default()).await.remove(0);
    // The other values come, not yet committed, while the person decides about the old ones.
    let mut replacing = world.pool.begin().await.unwrap();
    sqlx::query("UPDATE conflicts SET conflict_id = gen_random_uuid(), target_hash = 77")
        .execute(&mut *replacing)
        .await
        .unwrap();
    let filter = only(&seen);
    let deciding = resolve(&world, &memory, &filter);
    let commit = async {
        world.until_waiting(1).await;
        replacing.commit().await.unwrap();
    };
    let (resolved, ()) = tokio::join!(deciding, commit);
    assert_eq!(resolved, Resolved::default());
    assert_eq!(world.count("SELECT count(*) FROM dirty").await, 0);
}

#[tokio::test]
async fn an_overridden_edit_is_kept_with_both_values_who_and_when() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    let who = subject("a");
    memory.write(&row(&who, 1)).await;
    let when = "2026-03-01T10:00:00Z".parse().unwrap();
    let edit = OverriddenEdit {
        identity: who.identity,
        column: "title".into(),
        source: json!(null),
        target: json!("theirs"),
        winner: Side::Target,
        target_by: Some("grace@example.com".into()),
        target_at: Some(when),
        ambiguous: false,
    };
    let unsigned = OverriddenEdit {
        winner: Side::Source,
        target_by: None,
        target_at: None,
        ambiguous: false,
        ..edit.clone()
    };
    memory
        .store
        .record_conflicts(memory.fence, memory.run, &[edit])
        .await
        .unwrap();
    memory
        .store
        .record_conflicts(memory.fence, memory.run, &[unsigned])
        .await
        .unwrap();
    let listed = list(&world, &memory, &with(ConflictStatus::Overridden)).await;
    assert_eq!(listed.len(), 2);
    let told = |at: usize| {
        (
            listed[at].winner,
            listed[at].target_by.as_deref(),
            listed[at].target_at,
        )
    };
    assert_eq!(told(0), (Some(Side::Source), None, None), "newest first");
    assert_eq!(
        told(1),
        (Some(Side::Target), Some("grace@example.com"), Some(when))
    );
    assert_eq!(listed[1].key.as_ref(), Some(&who.key));
    let opened = memory.store.conflict(listed[1].id).await.unwrap();
    assert_eq!((opened.source, opened.target), (json!(null), json!("theirs")));
    let everything = resolve(&world, &memory, &ConflictFilter::default()).await;
    assert_eq!(everything, Resolved::default(), "the policy decided already");
}

#[tokio::test]
async fn conflicts_are_paged_newest_first_and_filtered() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    let other = world.memory("other").await;
    park(&other, &[parked(&subject("foreign"), "title")]).await;
    let conflicts: Vec<ParkedConflict> = (0..7)
        .map(|n| ParkedConflict {
            reason: if n == 3 {
                ParkReason::PingPong
            } else {
                ParkReason::Policy
            },
            ..parked(&subject(&n.to_string()), "title")
        })
        .collect();
    // Two of one moment, as a batch makes them.
    park(&memory, &conflicts[..2]).await;
    for conflict in &conflicts[2..] {
        park(&memory, std::slice::from_ref(conflict)).await;
    }
    let mut connection = world.store.acquire().await.unwrap();
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = ledger::list_conflicts(&mut connection, memory.id, &ConflictFilter::default(), after, 3)
            .await
            .unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.place());
        seen.extend(page.into_iter().map(|entry| entry.identity));
    }
    assert_eq!(seen.len(), 7);
    assert_eq!(seen[0], subject("6").identity);
    let fought = ConflictFilter {
        reason: Some(ParkReason::PingPong),
        ..Default::default()
    };
    let fought = list(&world, &memory, &fought).await;
    assert_eq!(
        fought.iter().map(|entry| entry.identity).collect::<Vec<_>>(),
        [subject("3").identity]
    );
}

#[tokio::test]
async fn conflicts_are_found_by_id_with_the_name_of_their_definition_and_counted() {
    let world = World::new().await;
    let (one, two) = (world.memory("one").await, world.memory("two").await);
    let who = subject("a");
    park(&one, &[parked(&who, "title"), parked(&who, "body")]).await;
    park(&two, &[parked(&who, "title")]).await;
    let of_one = list(&world, &one, &ConflictFilter::default()).await;
    let of_two = list(&world, &two, &ConflictFilter::default()).await;
    let mut connection = world.store.acquire().await.unwrap();
    let unknown = ConflictId::from_uuid(run().uuid());
    let ids = [of_two[0].id, of_one[0].id, unknown];
    let found = ledger::find_conflicts(&mut connection, WorkspaceId::DEFAULT, &ids)
        .await
        .unwrap();
    let found: Vec<_> = found
        .into_iter()
        .map(|found| (found.definition, found.definition_name, found.entry))
        .collect();
    assert_eq!(
        found,
        [
            (one.id, "one".to_owned(), of_one[0].clone()),
            (two.id, "two".to_owned(), of_two[0].clone())
        ]
    );
    let elsewhere = WorkspaceId::from_uuid(run().uuid());
    let found = ledger::find_conflicts(&mut connection, elsewhere, &ids)
        .await
        .unwrap();
    assert_eq!(found, [], "another workspace has none of them");
    resolve(&world, &one, &only(&of_one[0])).await;
    for (filter, count) in [
        (ConflictFilter::default(), 2),
        (with(ConflictStatus::Open), 1),
        (with(ConflictStatus::Overridden), 0),
    ] {
        let counted = ledger::count_conflicts(&mut connection, one.id, &filter)
            .await
            .unwrap();
        assert_eq!(counted, count, "{filter:?}");
    }
}
