//! A copy of a definition's memory: everything can be written in it, and nothing of that is ever seen outside.

use std::time::Duration;

use serde_json::json;
use syncbridge_domain::agreed::RowDigest;
use syncbridge_domain::effect::EffectKind;
use syncbridge_domain::identity::HashKey;
use syncbridge_domain::ids::{PlanId, RevisionId};
use syncbridge_domain::ledger::LedgerRow;
use syncbridge_domain::plan_remark::{ForeignEdit, RemarkKind};
use syncbridge_domain::quota::Ru;
use syncbridge_domain::saved_plan::PlannedChange;
use syncbridge_domain::version::Version;
use syncbridge_meta_store::ledger::{self, NewPlan, PlanTally};
use syncbridge_meta_store::{DefinitionStore, Rehearsal, Verdict};
use uuid::Uuid;

use crate::fixture::{
    ACTOR, LIST, Memory, World, create, dirty, patch, refused, row, run, settlement, subject,
};

async fn copy(world: &World, memory: &Memory) -> (Rehearsal, DefinitionStore) {
    let copy = world.store.rehearsal(memory.id, LIST).await.unwrap();
    let store = DefinitionStore::open(&copy.store, &world.ring, memory.id)
        .await
        .unwrap();
    (copy, store)
}

async fn tables(world: &World) -> Vec<String> {
    let mut all = Vec::new();
    for table in [
        "writer_leases",
        "cursors",
        "layouts",
        "ledger",
        "item_links",
        "effects",
        "dirty",
        "quarantine",
        "conflicts",
        "ledger_history",
        "sweeps",
    ] {
        let sql = format!("SELECT coalesce(string_agg(t::text, '|' ORDER BY t::text), '') FROM {table} t");
        let text: String = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
            .fetch_one(&world.pool)
            .await
            .unwrap();
        all.push(text);
    }
    all
}

#[tokio::test]
async fn a_copy_begins_as_the_memory_is_and_what_is_written_in_it_stays_in_it() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    world.definition("other", "another list").await;
    let (known, new) = (row(&subject("known"), 1), row(&subject("new"), 2));
    memory.write(&known).await;
    memory
        .store
        .mark_dirty(memory.fence, &[dirty(&subject("dirty"), 1)], None)
        .await
        .unwrap();
    let before = tables(&world).await;
    let (copy, store) = copy(&world, &memory).await;
    let seen = store.rows(&[known.identity, new.identity]).await.unwrap();
    assert_eq!(seen, [memory.row(known.identity).await, None]);
    assert_eq!(store.dirty(None, 10).await.unwrap().len(), 1);
    // A whole life of a row: admitted once, settled, refused, marked, cleared.
    let effects = [create(&subject("new")), patch(seen[0].as_ref().unwrap())];
    store.admit(copy.fence, memory.run, &effects).await.unwrap();
    let twice = store
        .admit(copy.fence, memory.run, &[create(&subject("new"))])
        .await
        .unwrap();
    assert_eq!(twice, [syncbridge_domain::effect::Admission::Busy]);
    let newer = LedgerRow {
        version: Version {
            counter: 2,
            ..known.version
        },
        ..known.clone()
    };
    let settled = [
        settlement(&effects[0], Verdict::Applied(Box::new(new.clone())), None),
        settlement(&effects[1], Verdict::Applied(Box::new(newer)), None),
    ];
    store.settle(copy.fence, memory.run, &settled).await.unwrap();
    store
        .mark_dirty(copy.fence, &[dirty(&subject("more"), 1)], None)
        .await
        .unwrap();
    store
        .quarantine(copy.fence, memory.run, &[(refused(&subject("bad"), 1), None)])
        .await
        .unwrap();
    assert_eq!(
        store.rows(&[new.identity]).await.unwrap()[0]
            .as_ref()
            .unwrap()
            .row_version,
        1
    );
    assert_eq!(store.live_rows().await.unwrap(), 2);
    assert_eq!(tables(&world).await, before, "the memory itself is as it was");
    assert_eq!(memory.store.live_rows().await.unwrap(), 1);
    // Whoever drives the definition is not disturbed, and does not show in the copy.
    memory
        .store
        .mark_dirty(memory.fence, &[dirty(&subject("late"), 1)], None)
        .await
        .unwrap();
    assert_eq!(store.dirty(None, 10).await.unwrap().len(), 2);
    copy.close().await;
    assert_eq!(memory.store.dirty(None, 10).await.unwrap().len(), 2);
}

#[tokio::test]
async fn nothing_that_is_not_copied_can_be_written() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    let (copy, _) = copy(&world, &memory).await;
    let mut connection = copy.store.acquire().await.unwrap();
    for statement in [
        "UPDATE definitions SET paused = true",
        "DELETE FROM public.ledger",
        "INSERT INTO public.dirty SELECT * FROM pg_temp.dirty",
        "SELECT nextval('public.dirty_sequence')",
    ] {
        let refused = sqlx::raw_sql(statement)
            .execute(&mut *connection)
            .await
            .unwrap_err();
        assert!(
            refused.to_string().contains("read-only") || refused.to_string().contains("paused"),
            "{statement}: {refused}"
        );
    }
    // A fence of the copy means nothing outside of it.
    let outside = memory
        .store
        .mark_dirty(copy.fence, &[dirty(&subject("a"), 1)], None)
        .await;
    assert!(outside.is_err());
}

async fn begun(memory: &Memory) -> PlanId {
    let id = PlanId::from_uuid(Uuid::now_v7());
    let new = NewPlan {
        id,
        revision: RevisionId::from_uuid(Uuid::from_u128(9)),
        run: memory.run,
        requested_by: ACTOR,
    };
    memory.store.begin_plan(new).await.unwrap();
    id
}

fn change(name: &str, kind: EffectKind, ordinal: u16) -> PlannedChange {
    let subject = subject(name);
    PlannedChange {
        identity: subject.identity,
        ordinal,
        key: subject.key,
        kind,
        item: None,
        row_version: None,
        digest: Some(RowDigest([5; 16])),
        fields: Vec::new(),
    }
}

#[tokio::test]
async fn what_a_rehearsal_leaves_is_remarked_in_the_plan_and_what_it_plans_is_counted_and_hashed() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    let plan = begun(&memory).await;
    let (copy, store) = copy(&world, &memory).await;
    let changes = [
        change("planned", EffectKind::CreateItem, 0),
        change("planned", EffectKind::PatchItem, 1),
    ];
    memory.store.add_planned(plan, &changes).await.unwrap();
    let counts = memory
        .store
        .planned_counts(plan, &[subject("planned").identity, subject("x").identity])
        .await;
    assert_eq!(counts.unwrap(), [(subject("planned").identity, 2)]);
    store
        .quarantine(copy.fence, memory.run, &[(refused(&subject("bad"), 1), None)])
        .await
        .unwrap();
    let marks = ["planned", "bad", "held"].map(|name| dirty(&subject(name), 1));
    store.mark_dirty(copy.fence, &marks, None).await.unwrap();
    let edit = ForeignEdit {
        identity: subject("edited").identity,
        key: subject("edited").key,
        column: "title".into(),
        source: json!("planted in the table"),
        target: json!("planted in the list"),
    };
    memory
        .store
        .note_foreign(plan, std::slice::from_ref(&edit))
        .await
        .unwrap();
    memory.store.note_foreign(plan, &[edit]).await.unwrap();
    copy.remark(plan, memory.run, false).await.unwrap();
    let refusals = copy.refusals(memory.run).await.unwrap();
    assert_eq!(refusals.iter().map(|one| one.rows).collect::<Vec<_>>(), [1]);
    let key = HashKey::new(1, &[1; 32]);
    let hour = Duration::from_hours(1);
    let counts = memory
        .store
        .complete_plan(plan, &key, Ru(4), true, hour)
        .await
        .unwrap();
    assert_eq!((counts.items_created, counts.items_patched), (1, 1));
    assert_eq!(
        (counts.refused, counts.waiting, counts.foreign, counts.conflicts),
        (1, 1, 1, 0)
    );
    assert!(counts.beyond_guard);
    let remarks = memory.store.plan_remarks(plan, 0, 10).await.unwrap();
    let told: Vec<_> = remarks.iter().map(|one| (one.kind, one.identity)).collect();
    assert!(
        told.contains(&(RemarkKind::Refused, subject("bad").identity)),
        "{told:?}"
    );
    assert!(
        told.contains(&(RemarkKind::Waiting, subject("held").identity)),
        "{told:?}"
    );
    assert_eq!(told.len(), 3, "{told:?}");
    let foreign = remarks
        .iter()
        .find(|one| one.kind == RemarkKind::Foreign)
        .unwrap();
    assert_eq!(
        foreign.values,
        Some((json!("planted in the table"), json!("planted in the list")))
    );
    let clear = "SELECT count(*) FROM plan_remarks WHERE position('planted'::bytea IN sealed_source) > 0";
    assert_eq!(world.count(clear).await, 0);
    // The hash holds what is stored and nothing else.
    let mut connection = world.store.acquire().await.unwrap();
    let known = ledger::plan(
        &mut connection,
        syncbridge_domain::ids::WorkspaceId::DEFAULT,
        plan,
    )
    .await
    .unwrap();
    let known = known.hash.unwrap();
    assert!(memory.store.is_as_hashed(plan, &key, known).await.unwrap());
    sqlx::query("UPDATE plan_rows SET kind = 'delete_item' WHERE ordinal = 1")
        .execute(&world.pool)
        .await
        .unwrap();
    assert!(!memory.store.is_as_hashed(plan, &key, known).await.unwrap());
}

#[tokio::test]
async fn what_became_of_a_plan_is_told_by_the_history_of_its_runs_alone() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    let plan = begun(&memory).await;
    let made = ["made", "refused", "drifted", "others"].map(|name| change(name, EffectKind::CreateItem, 0));
    memory.store.add_planned(plan, &made).await.unwrap();
    let key = HashKey::new(1, &[1; 32]);
    memory
        .store
        .complete_plan(plan, &key, Ru(8), false, Duration::from_hours(1))
        .await
        .unwrap();
    let (planned, another) = (memory.run, run());
    for (run, options) in [(planned, json!({ "plan": plan })), (another, json!({}))] {
        sqlx::query(
            "INSERT INTO runs (run_id, workspace_id, definition_id, kind, state, spec, requested_by)
             SELECT $1, workspace_id, definition_id, 'push', 'queued', $2, 'tester' FROM definitions
             WHERE definition_id = $3",
        )
        .bind(run.uuid())
        .bind(json!({ "options": options }))
        .bind(memory.id.uuid())
        .execute(&world.pool)
        .await
        .unwrap();
    }
    for (name, by, verdict) in [
        (
            "made",
            planned,
            Verdict::Applied(Box::new(row(&subject("made"), 1))),
        ),
        (
            "refused",
            planned,
            Verdict::Quarantined(Box::new(refused(&subject("refused"), 1))),
        ),
        (
            "others",
            another,
            Verdict::Applied(Box::new(row(&subject("others"), 2))),
        ),
    ] {
        let effect = create(&subject(name));
        memory
            .store
            .admit(memory.fence, by, std::slice::from_ref(&effect))
            .await
            .unwrap();
        memory
            .store
            .settle(memory.fence, by, &[settlement(&effect, verdict, None)])
            .await
            .unwrap();
    }
    let tally = memory.store.conclude_plan(memory.fence, plan).await.unwrap();
    let expected = PlanTally {
        applied: 1,
        refused: 1,
        outdated: 2,
        waiting: 0,
    };
    assert_eq!(tally, expected);
    // A plan of which nothing was begun is not one to be gone on with.
    let mut connection = world.store.acquire().await.unwrap();
    assert!(
        !ledger::plan_was_begun(&mut connection, memory.id, plan)
            .await
            .unwrap()
    );
}
