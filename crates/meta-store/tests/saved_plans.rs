//! Saved plans: worked out, judged, run.

use std::time::Duration;

use serde_json::json;
use syncbridge_domain::agreed::RowDigest;
use syncbridge_domain::effect::EffectKind;
use syncbridge_domain::failure::Failure;
use syncbridge_domain::identity::HashKey;
use syncbridge_domain::ids::{PlanId, RevisionId, WorkspaceId};
use syncbridge_domain::quota::Ru;
use syncbridge_domain::saved_plan::{
    Approval, ChangeState, PlanCounts, PlanHash, PlanHasher, PlanHeader, PlanState, PlanVerdict,
    PlannedChange, PlannedField,
};
use syncbridge_meta_store::ledger::{self, NewPlan};
use syncbridge_meta_store::{Error, Result};
use uuid::Uuid;

use crate::fixture::{ACTOR, Memory, World, new_item, run, subject};

const HOUR: Duration = Duration::from_hours(1);

fn change(name: &str, ordinal: u16) -> PlannedChange {
    let subject = subject(name);
    let (_, item) = new_item(7);
    PlannedChange {
        identity: subject.identity,
        ordinal,
        key: subject.key,
        kind: EffectKind::PatchItem,
        item: Some(item),
        row_version: Some(3),
        digest: Some(RowDigest([5; 16])),
        fields: vec![
            PlannedField {
                column: "title".into(),
                before: json!("planted before"),
                after: json!("planted after"),
            },
            PlannedField {
                column: "price".into(),
                before: json!(null),
                after: json!(0.1),
            },
        ],
    }
}

fn bare(name: &str) -> PlannedChange {
    PlannedChange {
        kind: EffectKind::CreateItem,
        item: None,
        row_version: None,
        digest: None,
        fields: vec![],
        ..change(name, 0)
    }
}

fn hash(changes: &[PlannedChange]) -> PlanHash {
    let mut hasher = PlanHasher::new(&HashKey::new(1, &[1; 32]));
    changes.iter().for_each(|change| hasher.push(change));
    hasher.finish()
}

async fn begin(memory: &Memory) -> PlanId {
    let id = PlanId::from_uuid(Uuid::now_v7());
    let new = NewPlan {
        id,
        revision: RevisionId::from_uuid(Uuid::from_u128(9)),
        run: run(),
        requested_by: ACTOR,
    };
    memory.store.begin_plan(new).await.unwrap();
    id
}

async fn open(memory: &Memory, changes: &[PlannedChange]) -> PlanId {
    let id = begin(memory).await;
    memory.store.add_planned(id, changes).await.unwrap();
    let mut counts = PlanCounts::default();
    changes.iter().for_each(|change| counts.add(change.kind));
    memory
        .store
        .open_plan(id, hash(changes), &counts, Ru(4), HOUR)
        .await
        .unwrap();
    id
}

async fn header(world: &World, id: PlanId) -> PlanHeader {
    let mut connection = world.store.acquire().await.unwrap();
    ledger::plan(&mut connection, WorkspaceId::DEFAULT, id)
        .await
        .unwrap()
}

async fn judge(
    world: &World,
    plan: PlanId,
    actor: &str,
    decision: PlanVerdict,
    four_eyes: bool,
) -> Result<PlanHeader> {
    let mut tx = world.store.begin().await.unwrap();
    let approval = Approval {
        actor: actor.into(),
        decision,
        remark: Some("seen".into()),
    };
    let judged = ledger::judge_plan(&mut tx, plan, &approval, four_eyes).await?;
    tx.commit().await.unwrap();
    Ok(judged)
}

async fn runnable(world: &World, memory: &Memory, plan: PlanId, needs_approval: bool) -> Result<PlanHeader> {
    let mut tx = world.store.begin().await.unwrap();
    ledger::runnable_plan(&mut tx, memory.id, plan, needs_approval).await
}

async fn expire(world: &World) {
    sqlx::query("UPDATE plans SET expires_at = clock_timestamp() - interval '1 ms'")
        .execute(&world.pool)
        .await
        .unwrap();
}

fn code<T: std::fmt::Debug>(answer: Result<T>) -> String {
    Failure::from(answer.unwrap_err()).code
}

#[tokio::test]
async fn a_plan_is_read_back_as_it_was_hashed_and_its_values_are_sealed() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    let mut changes: Vec<PlannedChange> = (0..50).map(|n| change(&n.to_string(), 0)).collect();
    changes.push(change("0", 1));
    changes.push(bare("new"));
    changes.sort_by_key(|change| (change.identity, change.ordinal));
    let id = open(&memory, &changes).await;
    let told = header(&world, id).await;
    assert_eq!((told.state, told.hash), (PlanState::Open, Some(hash(&changes))));
    assert_eq!((told.counts.items_patched, told.counts.items_created), (51, 1));
    assert_eq!(
        (told.requested_by.as_str(), told.predicted_ru, told.generation),
        (ACTOR, Some(Ru(4)), 1)
    );
    let mut read = Vec::new();
    let mut after = None;
    loop {
        let page = memory.store.planned(id, after, 7).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some((last.change.identity, last.change.ordinal));
        assert!(page.iter().all(|one| one.state == ChangeState::Waiting));
        read.extend(page.into_iter().map(|one| one.change));
    }
    assert_eq!(read, changes);
    assert_eq!(hash(&read), hash(&changes));
    let clear = "SELECT count(*) FROM plan_rows WHERE position('planted'::bytea IN sealed_values) > 0";
    assert_eq!(world.count(clear).await, 0);
    assert!(!format!("{read:?}").contains("planted"));
}

#[tokio::test]
async fn a_complete_plan_takes_no_more_changes_and_one_of_another_definition_is_not_there() {
    let world = World::new().await;
    let (memory, other) = (world.memory("d").await, world.memory("other").await);
    let id = open(&memory, &[change("a", 0)]).await;
    assert_eq!(
        code(memory.store.add_planned(id, &[change("b", 0)]).await),
        "plan.state"
    );
    let again = memory
        .store
        .open_plan(id, hash(&[]), &PlanCounts::default(), Ru(0), HOUR)
        .await;
    assert_eq!(code(again), "plan.state");
    assert_eq!(header(&world, id).await.hash, Some(hash(&[change("a", 0)])));
    assert_eq!(other.store.planned(id, None, 10).await.unwrap(), []);
    let foreign = other.store.add_planned(id, &[change("b", 0)]).await;
    assert!(matches!(foreign, Err(Error::NotFound { .. })), "{foreign:?}");
    let foreign = runnable(&world, &other, id, false).await;
    assert!(matches!(foreign, Err(Error::NotFound { .. })), "{foreign:?}");
}

#[tokio::test]
async fn a_plan_runs_once_somebody_else_approved_it() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    let id = open(&memory, &[change("a", 0)]).await;
    assert_eq!(
        code(runnable(&world, &memory, id, true).await),
        "plan.not_approved"
    );
    let own = judge(&world, id, ACTOR, PlanVerdict::Approved, true).await;
    assert_eq!(code(own), "plan.four_eyes");
    let approved = judge(&world, id, "bob", PlanVerdict::Approved, true)
        .await
        .unwrap();
    assert_eq!(approved.state, PlanState::Approved);
    assert_eq!(
        runnable(&world, &memory, id, true).await.unwrap().hash,
        Some(hash(&[change("a", 0)]))
    );
    let twice = judge(&world, id, "carol", PlanVerdict::Approved, true).await;
    assert_eq!(code(twice), "plan.state");
    memory.store.finish_plan(memory.fence, id).await.unwrap();
    assert_eq!(code(runnable(&world, &memory, id, true).await), "plan.state");
    assert_eq!(
        code(memory.store.finish_plan(memory.fence, id).await),
        "plan.state"
    );
    let mut connection = world.store.acquire().await.unwrap();
    let said = ledger::approvals(&mut connection, id).await.unwrap();
    assert_eq!(said.len(), 1, "a refused word is not recorded");
    assert_eq!(
        (said[0].approval.actor.as_str(), said[0].approval.decision),
        ("bob", PlanVerdict::Approved)
    );
}

#[tokio::test]
async fn of_two_words_at_once_the_second_is_judged_after_the_first() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    for _ in 0..5 {
        let id = open(&memory, &[change("a", 0)]).await;
        let (one, two) = tokio::join!(
            judge(&world, id, "bob", PlanVerdict::Approved, true),
            judge(&world, id, "carol", PlanVerdict::Approved, true)
        );
        assert!(one.is_ok() ^ two.is_ok());
        assert_eq!(header(&world, id).await.state, PlanState::Approved);
    }
}

#[tokio::test]
async fn a_rejected_or_expired_plan_never_runs() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    let rejected = open(&memory, &[change("a", 0)]).await;
    judge(&world, rejected, "bob", PlanVerdict::Approved, true)
        .await
        .unwrap();
    judge(&world, rejected, ACTOR, PlanVerdict::Rejected, true)
        .await
        .unwrap();
    assert_eq!(
        code(runnable(&world, &memory, rejected, false).await),
        "plan.state"
    );
    let (waiting, approved) = (open(&memory, &[]).await, open(&memory, &[]).await);
    judge(&world, approved, "bob", PlanVerdict::Approved, true)
        .await
        .unwrap();
    expire(&world).await;
    for id in [waiting, approved] {
        assert_eq!(header(&world, id).await.state, PlanState::Expired);
        assert_eq!(code(runnable(&world, &memory, id, false).await), "plan.expired");
    }
    let late = judge(&world, waiting, "bob", PlanVerdict::Approved, false).await;
    assert_eq!(code(late), "plan.expired");
    let unfinished = begin(&memory).await;
    assert_eq!(
        code(runnable(&world, &memory, unfinished, false).await),
        "plan.state"
    );
}

#[tokio::test]
async fn what_became_of_each_change_is_noted_by_whoever_holds_the_lease() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    let changes = [change("a", 0), change("a", 1), change("b", 0)];
    let id = open(&memory, &changes).await;
    let identity = changes[0].identity;
    let outcome = [
        (identity, 1, ChangeState::Applied),
        (changes[2].identity, 0, ChangeState::Outdated),
    ];
    memory
        .store
        .mark_planned(memory.fence, id, &outcome)
        .await
        .unwrap();
    let mut of_a = memory.store.planned_of(id, &[identity]).await.unwrap();
    of_a.sort_by_key(|one| one.change.ordinal);
    let states: Vec<ChangeState> = of_a.iter().map(|one| one.state).collect();
    assert_eq!(states, [ChangeState::Waiting, ChangeState::Applied]);
    world.expire(memory.id).await;
    let stale = memory
        .store
        .mark_planned(memory.fence, id, &[(identity, 0, ChangeState::Applied)])
        .await;
    assert_eq!(code(stale), "lease.lost");
    assert_eq!(
        code(memory.store.finish_plan(memory.fence, id).await),
        "lease.lost"
    );
    let of_a = memory.store.planned_of(id, &[identity]).await.unwrap();
    assert!(of_a.iter().any(|one| one.state == ChangeState::Waiting));
}

#[tokio::test]
async fn plans_that_are_over_go_with_the_history_of_their_time_and_those_that_may_run_stay() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    let other = world.memory("other").await;
    let day = Duration::from_hours(24);
    let forget = async |most| memory.store.forget_plans(memory.fence, day, most).await.unwrap();
    let three = [change("a", 0), change("b", 0), change("c", 0)];
    let over = open(&memory, &three).await;
    memory.store.finish_plan(memory.fence, over).await.unwrap();
    let runs = open(&memory, &[change("a", 0)]).await;
    let begun = begin(&memory).await;
    memory.store.add_planned(begun, &three).await.unwrap();
    open(&other, &three).await;
    assert_eq!(forget(100).await, 0, "all of them are younger");
    sqlx::query("UPDATE plans SET created_at = created_at - interval '2 days'")
        .execute(&world.pool)
        .await
        .unwrap();
    // The one that never was completed is given up first.
    assert_eq!((forget(2).await, forget(2).await, forget(2).await), (2, 2, 2));
    assert_eq!(forget(2).await, 0);
    let mut connection = world.store.acquire().await.unwrap();
    let left = ledger::list_plans(&mut connection, memory.id, None, 9)
        .await
        .unwrap();
    assert_eq!(left.iter().map(|plan| plan.id).collect::<Vec<_>>(), [runs]);
    expire(&world).await;
    assert_eq!(forget(2).await, 1, "whose time is up never runs");
    assert_eq!(
        world.count("SELECT count(*) FROM plan_rows").await,
        3,
        "the other's"
    );
    world.expire(memory.id).await;
    let refused = memory.store.forget_plans(memory.fence, day, 2).await.unwrap_err();
    assert_eq!(refused.code(), "lease.lost");
}

#[tokio::test]
async fn plans_are_listed_newest_first_and_go_with_their_definition() {
    let world = World::new().await;
    let (memory, other) = (world.memory("d").await, world.memory("other").await);
    open(&other, &[change("a", 0)]).await;
    let mut made = Vec::new();
    for _ in 0..5 {
        made.push(open(&memory, &[change("a", 0)]).await);
    }
    made.reverse();
    let mut connection = world.store.acquire().await.unwrap();
    let mut seen = Vec::new();
    let mut before = None;
    loop {
        let page = ledger::list_plans(&mut connection, memory.id, before, 2)
            .await
            .unwrap();
        let Some(last) = page.last() else { break };
        before = Some(last.id);
        seen.extend(page.into_iter().map(|plan| plan.id));
    }
    assert_eq!(seen, made);
    sqlx::query("DELETE FROM definitions WHERE name = 'd'")
        .execute(&world.pool)
        .await
        .unwrap();
    assert_eq!(world.count("SELECT count(*) FROM plan_rows").await, 1);
}
