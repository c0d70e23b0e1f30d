//! Fields that both sides changed.

use std::num::NonZeroU64;
use std::time::Duration;

use serde_json::json;
use syncbridge_domain::conflict::{ParkReason, ParkedConflict, Resolution, Side};
use syncbridge_domain::dirty::TargetHint;
use syncbridge_domain::effect::{EffectKind, NewEffect, Subject};
use syncbridge_domain::ping_pong::{FieldTurn, Turned};
use syncbridge_engine::ports::pull_memory::PullMemory;
use syncbridge_engine::ports::{Ledger, Settlement};

use crate::sample::{LIST, Worker, applied, code, refused_with, row, settlement, subject, worker, write_to};
use crate::world::ConflictWorld;

fn parked(subject: &Subject, column: &str, hashes: (u64, u64)) -> ParkedConflict {
    ParkedConflict {
        identity: subject.identity,
        key: subject.key.clone(),
        column: column.into(),
        reason: ParkReason::Policy,
        source: json!("ours"),
        target: json!({"theirs": [1, null]}),
        source_hash: NonZeroU64::new(hashes.0),
        target_hash: NonZeroU64::new(hashes.1),
    }
}

fn decision(column: &str, winner: Side, hashes: (u64, u64)) -> Resolution {
    Resolution {
        column: column.into(),
        winner,
        source_hash: NonZeroU64::new(hashes.0),
        target_hash: NonZeroU64::new(hashes.1),
    }
}

pub async fn a_decision_is_told_until_it_was_carried_out<W: ConflictWorld<Memory: PullMemory>>() {
    let world = W::open().await;
    let us = worker(&world, LIST).await;
    let (who, other) = (subject("a"), subject("b"));
    let conflicts = [
        parked(&who, "name", (u64::MAX, 0)),
        parked(&who, "note", (3, 4)),
        parked(&other, "name", (5, 6)),
    ];
    us.memory
        .park_conflicts(us.fence, us.run, &conflicts)
        .await
        .unwrap();
    let ids = [other.identity, who.identity, subject("nobody").identity];
    let none = us.memory.resolutions(&ids).await.unwrap();
    assert_eq!(none, vec![Vec::<Resolution>::new(); 3], "nobody decided yet");
    world.decide(us.id, who.identity, "note", Side::Target).await;
    world.decide(us.id, who.identity, "name", Side::Source).await;
    let of_who = vec![
        decision("name", Side::Source, (u64::MAX, 0)),
        decision("note", Side::Target, (3, 4)),
    ];
    assert_eq!(
        us.memory.resolutions(&ids).await.unwrap(),
        [vec![], of_who, vec![]]
    );
    let closed = [
        (who.identity, "name".to_owned()),
        (other.identity, "note".to_owned()),
    ];
    us.memory.close_conflicts(us.fence, &closed).await.unwrap();
    let left = us.memory.resolutions(&[who.identity]).await.unwrap().remove(0);
    assert_eq!(left, [decision("note", Side::Target, (3, 4))]);
}

pub async fn a_conflict_about_the_same_values_keeps_its_decision_and_another_one_loses_it<
    W: ConflictWorld<Memory: PullMemory>,
>() {
    let world = W::open().await;
    let us = worker(&world, LIST).await;
    let who = subject("a");
    let park = async |hashes| {
        let conflict = [parked(&who, "name", hashes)];
        us.memory
            .park_conflicts(us.fence, us.run, &conflict)
            .await
            .unwrap();
    };
    let told = async || us.memory.resolutions(&[who.identity]).await.unwrap().remove(0);
    park((1, 2)).await;
    world.decide(us.id, who.identity, "name", Side::Target).await;
    park((1, 2)).await;
    assert_eq!(told().await, [decision("name", Side::Target, (1, 2))]);
    for hashes in [(9, 2), (9, 0)] {
        park(hashes).await;
        assert_eq!(told().await, [], "nobody decides about values they did not see");
        world.decide(us.id, who.identity, "name", Side::Source).await;
        assert_eq!(told().await, [decision("name", Side::Source, hashes)]);
    }
    world.decide(us.id, who.identity, "name", Side::Target).await;
    assert_eq!(
        told().await,
        [decision("name", Side::Target, (9, 0))],
        "the later decision counts"
    );
}

pub async fn a_closed_conflict_may_come_back<W: ConflictWorld<Memory: PullMemory>>() {
    let world = W::open().await;
    let us = worker(&world, LIST).await;
    let who = subject("a");
    let conflict = [parked(&who, "name", (1, 2))];
    us.memory
        .park_conflicts(us.fence, us.run, &conflict)
        .await
        .unwrap();
    world.decide(us.id, who.identity, "name", Side::Source).await;
    us.memory
        .close_conflicts(us.fence, &[(who.identity, "name".into())])
        .await
        .unwrap();
    us.memory
        .park_conflicts(us.fence, us.run, &conflict)
        .await
        .unwrap();
    assert_eq!(us.memory.resolutions(&[who.identity]).await.unwrap(), [vec![]]);
}

pub async fn a_decision_makes_its_row_dirty_and_due<W: ConflictWorld<Memory: PullMemory>>() {
    let world = W::open().await;
    let us = worker(&world, LIST).await;
    let who = subject("a");
    us.memory
        .park_conflicts(us.fence, us.run, &[parked(&who, "name", (1, 2))])
        .await
        .unwrap();
    let waiting = (refused_with(&who, 1, "conflict.parked"), None);
    for _ in 1..=7 {
        us.memory
            .quarantine(us.fence, us.run, std::slice::from_ref(&waiting))
            .await
            .unwrap();
    }
    assert_eq!(us.memory.requeue_due(us.fence).await.unwrap(), 0);
    world.decide(us.id, who.identity, "name", Side::Source).await;
    let row = us.dirty().await.remove(0);
    assert_eq!((row.mark.identity, &row.mark.key), (who.identity, &who.key));
    assert_eq!(
        row.mark.target,
        TargetHint::Changed,
        "its item is to be looked at"
    );
    let entry = us
        .memory
        .quarantined(&[who.identity])
        .await
        .unwrap()
        .remove(0)
        .unwrap();
    assert_eq!(entry.attempts, 1);
    assert!(entry.retry_at.is_some());
}

pub async fn conflicts_are_a_definitions_own_and_need_its_lease<W: ConflictWorld<Memory: PullMemory>>() {
    let world = W::open().await;
    let (us, other) = (worker(&world, LIST).await, worker(&world, LIST).await);
    let who = subject("a");
    let conflict = [parked(&who, "name", (1, 2))];
    us.memory
        .park_conflicts(us.fence, us.run, &conflict)
        .await
        .unwrap();
    world.decide(us.id, who.identity, "name", Side::Source).await;
    assert_eq!(other.memory.resolutions(&[who.identity]).await.unwrap(), [vec![]]);
    let field = [(who.identity, "name".to_owned())];
    other.memory.close_conflicts(other.fence, &field).await.unwrap();
    world.release(us.fence).await;
    assert_eq!(
        code(us.memory.close_conflicts(us.fence, &field).await),
        "lease.lost"
    );
    assert_eq!(
        code(us.memory.park_conflicts(us.fence, us.run, &conflict).await),
        "lease.lost"
    );
    assert_eq!(us.memory.resolutions(&[who.identity]).await.unwrap()[0].len(), 1);
}

/// Settles an applied write to a row with this turn of its note.
async fn turn<M: Ledger + PullMemory>(us: &Worker<M>, who: &Subject, to: Side, restores: bool) {
    let now = row(who, 1);
    let effect = NewEffect {
        expected_row_version: us.row(who.identity).await.map(|row| row.row_version),
        ..write_to(&now, EffectKind::PatchItem)
    };
    us.admit(&effect).await;
    let turn = FieldTurn {
        column: "note".into(),
        to,
        restores,
        within: Duration::from_hours(1),
    };
    let settled = Settlement {
        turns: vec![turn],
        ..settlement(&effect, applied(&now), None)
    };
    us.memory.settle(us.fence, us.run, &[settled]).await.unwrap();
}

pub async fn what_comes_back_is_counted_until_a_person_decided<W: ConflictWorld<Memory: PullMemory>>() {
    let world = W::open().await;
    let us = worker(&world, LIST).await;
    let who = subject("a");
    us.write(&row(&who, 1)).await;
    let turned = |to, returns| {
        let column = "note".into();
        vec![vec![Turned { column, to, returns }], Vec::new()]
    };
    let ids = [who.identity, subject("nobody").identity];
    assert_eq!(us.memory.turns(&ids).await.unwrap(), vec![Vec::new(), Vec::new()]);
    let steps = [
        (Side::Source, false, 0),
        (Side::Target, false, 0),
        (Side::Source, false, 1),
        (Side::Source, false, 1),
        (Side::Target, true, 2),
        (Side::Source, false, 3),
    ];
    for (to, restores, returns) in steps {
        turn(&us, &who, to, restores).await;
        let known = us.memory.turns(&ids).await.unwrap();
        assert_eq!(known, turned(to, returns), "{to:?} {restores}");
    }
    us.memory
        .park_conflicts(us.fence, us.run, &[parked(&who, "note", (1, 2))])
        .await
        .unwrap();
    world.decide(us.id, who.identity, "note", Side::Target).await;
    let known = us.memory.turns(&ids).await.unwrap();
    assert_eq!(known, turned(Side::Source, 3), "decided is not carried out");
    us.memory
        .close_conflicts(us.fence, &[(who.identity, "note".into())])
        .await
        .unwrap();
    assert_eq!(us.memory.turns(&ids).await.unwrap(), vec![Vec::new(), Vec::new()]);
}

pub async fn returns_of_long_ago_are_not_counted_together<W: ConflictWorld<Memory: PullMemory>>() {
    let world = W::open().await;
    let mut us = worker(&world, LIST).await;
    let who = subject("a");
    us.write(&row(&who, 1)).await;
    for (minutes, returns) in [(0, 1), (40, 2), (40, 1), (40, 2)] {
        us.later(&world, Duration::from_mins(minutes)).await;
        turn(&us, &who, Side::Target, true).await;
        let known = us.memory.turns(&[who.identity]).await.unwrap();
        assert_eq!(
            known[0][0].returns, returns,
            "the window begins with the first of them"
        );
    }
}
