//! Settling writes, all or nothing.

use std::time::Duration;

use syncbridge_domain::dirty::NewQuarantine;
use syncbridge_domain::effect::{Admission, EffectKind, NewEffect};
use syncbridge_domain::history::{Beside, Cause};
use syncbridge_domain::ledger::{LedgerRow, LedgerState};
use syncbridge_domain::reconcile::RowDecision;
use syncbridge_domain::revert::Hold;
use syncbridge_domain::version::Version;
use syncbridge_engine::ports::{Ledger as _, Verdict};
use uuid::Uuid;

use crate::sample::{
    LIST, applied, changed, code, create, refused, row, settlement, subject, worker, write_to,
};
use crate::world::MemoryWorld;

fn tombstone(row: &LedgerRow) -> LedgerRow {
    LedgerRow {
        state: LedgerState::Tombstone,
        ..row.clone()
    }
}

pub async fn an_applied_write_is_in_the_ledger_and_its_item_is_linked<W: MemoryWorld>() {
    let world = W::open().await;
    let us = worker(&world, LIST).await;
    let who = subject("a");
    let expected = row(&who, 1);
    us.write(&expected).await;
    let stored = us.row(who.identity).await.unwrap();
    assert_eq!(
        stored,
        LedgerRow {
            row_version: 1,
            ..expected.clone()
        }
    );
    assert!(us.unsettled().await.is_empty());
    let item = expected.version.guid;
    assert_eq!(
        us.memory.linked(&[item, Uuid::from_u128(2)]).await.unwrap(),
        [Some(who.identity), None]
    );
    let newer = LedgerRow {
        version: Version {
            counter: 2,
            ..expected.version
        },
        ..expected
    };
    let effect = write_to(&stored, EffectKind::PatchItem);
    us.admit(&effect).await;
    us.settle(&effect, applied(&newer)).await.unwrap();
    let stored = us.row(who.identity).await.unwrap();
    assert_eq!((stored.row_version, stored.version.counter), (2, 2));
}

pub async fn a_mark_that_came_after_the_look_survives_the_settlement<W: MemoryWorld>() {
    let world = W::open().await;
    let us = worker(&world, LIST).await;
    let (calm, busy) = (subject("calm"), subject("busy"));
    us.memory
        .mark_dirty(us.fence, &[changed(&calm, 1), changed(&busy, 1)], None)
        .await
        .unwrap();
    let (of_calm, of_busy) = (us.sequence(calm.identity).await, us.sequence(busy.identity).await);
    let effects = [create(&calm), create(&busy)];
    us.memory.admit(us.fence, us.run, &effects).await.unwrap();
    // The source changes again while the write is under way.
    us.mark(changed(&busy, 2)).await;
    let settled = [
        settlement(&effects[0], applied(&row(&calm, 1)), Some(of_calm)),
        settlement(&effects[1], applied(&row(&busy, 2)), Some(of_busy)),
    ];
    us.memory.settle(us.fence, us.run, &settled).await.unwrap();
    let left = us.dirty().await;
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].mark.identity, busy.identity);
    assert!(left[0].sequence > of_busy);
}

pub async fn a_released_or_armed_write_leaves_ledger_and_dirty_row_alone<W: MemoryWorld>() {
    let world = W::open().await;
    let us = worker(&world, LIST).await;
    for (name, verdict, left) in [("released", Verdict::Released, 0), ("armed", Verdict::Armed, 1)] {
        let who = subject(name);
        us.mark(changed(&who, 1)).await;
        let sequence = us.sequence(who.identity).await;
        let effect = create(&who);
        us.admit(&effect).await;
        let settled = [settlement(&effect, verdict, Some(sequence))];
        us.memory.settle(us.fence, us.run, &settled).await.unwrap();
        assert_eq!(us.unsettled().await.len(), left, "{name}");
        assert_eq!(us.sequence(who.identity).await, sequence, "{name}");
        assert_eq!(us.row(who.identity).await, None, "{name}");
        us.admit(&create(&who)).await;
        let again = us.unsettled().await[0];
        let settled = [syncbridge_engine::ports::Settlement {
            effect: again,
            ..settlement(&create(&who), Verdict::Released, None)
        }];
        us.memory.settle(us.fence, us.run, &settled).await.unwrap();
    }
}

pub async fn a_removed_item_leaves_the_ledger_as_it_is<W: MemoryWorld>() {
    let world = W::open().await;
    let us = worker(&world, LIST).await;
    let who = subject("a");
    us.write(&row(&who, 1)).await;
    let stored = us.row(who.identity).await.unwrap();
    // A second item of the row, which the ledger does not link.
    let surplus = NewEffect {
        expected_row_version: Some(1),
        ..write_to(&row(&who, 2), EffectKind::DeleteItem)
    };
    us.admit(&surplus).await;
    us.settle(&surplus, Verdict::Removed).await.unwrap();
    assert_eq!(us.row(who.identity).await.unwrap(), stored);
    assert!(us.unsettled().await.is_empty());
    assert_eq!(
        us.memory.deleted_within(Duration::from_hours(1)).await.unwrap(),
        1
    );
}

/// What was put back waits for a person: unlike what was refused it is not tried again by itself.
pub async fn a_row_that_an_applied_write_holds_waits_and_is_never_due<W: MemoryWorld>() {
    let world = W::open().await;
    let us = worker(&world, LIST).await;
    let who = subject("a");
    us.write(&row(&who, 1)).await;
    let stored = us.row(who.identity).await.unwrap();
    let held = NewQuarantine {
        failure: syncbridge_domain::revert::held("projects", us.run),
        ..refused(&who, 1)
    };
    let mut effect = write_to(&stored, EffectKind::PatchItem);
    effect.cause.beside = Some(Beside::RevertHeld);
    us.admit(&effect).await;
    let open = us.memory.unsettled(10).await.unwrap();
    assert_eq!(open[0].beside, Some(Beside::RevertHeld));
    let settled = [syncbridge_engine::ports::Settlement {
        hold: Hold::Begins(Box::new(held.clone())),
        ..settlement(&effect, applied(&row(&who, 2)), None)
    }];
    us.memory.settle(us.fence, us.run, &settled).await.unwrap();
    assert_eq!(us.row(who.identity).await.unwrap().row_version, 2);
    let waits = us.memory.quarantined(&[who.identity]).await.unwrap();
    let waits = waits[0].as_ref().unwrap();
    assert_eq!((&waits.entry, waits.retry_at), (&held, None));
    assert_eq!(us.memory.requeue_due(us.fence).await.unwrap(), 0);
    assert!(
        us.memory
            .held(&[who.identity])
            .await
            .unwrap()
            .contains(&who.identity)
    );
    // Nothing that is recorded about the row ends it: neither that it needs nothing, nor agreement, nor another write.
    us.mark(changed(&who, 1)).await;
    let sequence = us.sequence(who.identity).await;
    us.memory
        .clear_dirty(us.fence, &[(who.identity, sequence)])
        .await
        .unwrap();
    let stored = us.row(who.identity).await.unwrap();
    let cause = Cause::of(RowDecision::Fields);
    us.memory
        .adopt(us.fence, &[stored], &[None], &[cause])
        .await
        .unwrap();
    let stored = us.row(who.identity).await.unwrap();
    let effect = write_to(&stored, EffectKind::PatchItem);
    us.admit(&effect).await;
    us.settle(&effect, applied(&row(&who, 3))).await.unwrap();
    assert!(us.is_refused(who.identity).await);
    // Only the word that both sides are the same again does.
    us.memory.let_go(us.fence, &[who.identity]).await.unwrap();
    assert!(!us.is_refused(who.identity).await);
    assert!(us.memory.held(&[who.identity]).await.unwrap().is_empty());
}

/// A write after which both sides are the same ends a hold together with what it leaves in the ledger, and whoever was
/// refused is not let go by that word.
pub async fn a_write_that_makes_both_sides_the_same_ends_a_hold<W: MemoryWorld>() {
    let world = W::open().await;
    let us = worker(&world, LIST).await;
    let (who, other) = (subject("a"), subject("b"));
    let held = NewQuarantine {
        failure: syncbridge_domain::revert::held("projects", us.run),
        ..refused(&who, 1)
    };
    us.write(&row(&who, 1)).await;
    let entries = [(held, None), (refused(&other, 1), None)];
    us.memory.quarantine(us.fence, us.run, &entries).await.unwrap();
    let stored = us.row(who.identity).await.unwrap();
    let effect = write_to(&stored, EffectKind::PatchItem);
    us.admit(&effect).await;
    let settled = [syncbridge_engine::ports::Settlement {
        hold: Hold::Ends,
        ..settlement(&effect, applied(&row(&who, 2)), None)
    }];
    us.memory.settle(us.fence, us.run, &settled).await.unwrap();
    assert!(!us.is_refused(who.identity).await);
    us.memory.let_go(us.fence, &[other.identity]).await.unwrap();
    assert!(us.is_refused(other.identity).await);
    assert!(us.memory.held(&[other.identity]).await.unwrap().is_empty());
}

pub async fn a_refused_write_moves_its_row_to_quarantine<W: MemoryWorld>() {
    let world = W::open().await;
    let us = worker(&world, LIST).await;
    let who = subject("a");
    us.mark(changed(&who, 1)).await;
    let effect = create(&who);
    us.admit(&effect).await;
    let verdict = Verdict::Quarantined(Box::new(refused(&who, 1)));
    let settled = [settlement(
        &effect,
        verdict,
        Some(us.sequence(who.identity).await),
    )];
    us.memory.settle(us.fence, us.run, &settled).await.unwrap();
    assert!(us.is_refused(who.identity).await);
    assert!(us.dirty().await.is_empty() && us.unsettled().await.is_empty());
    // Applied later, it leaves.
    let effect = create(&who);
    us.admit(&effect).await;
    us.settle(&effect, applied(&row(&who, 1))).await.unwrap();
    assert!(!us.is_refused(who.identity).await);
}

pub async fn a_slice_is_settled_whole_or_not_at_all<W: MemoryWorld>() {
    let world = W::open().await;
    let us = worker(&world, LIST).await;
    let (one, two) = (create(&subject("one")), create(&subject("two")));
    us.admit(&one).await;
    us.mark(changed(&one.subject, 1)).await;
    let sequence = us.sequence(one.subject.identity).await;
    let settled = [
        settlement(&one, applied(&row(&one.subject, 1)), Some(sequence)),
        settlement(&two, Verdict::Released, None),
    ];
    let answer = us.memory.settle(us.fence, us.run, &settled).await;
    assert_eq!(code(answer), "ledger.effect_unknown");
    assert_eq!(us.row(one.subject.identity).await, None);
    assert_eq!(us.unsettled().await, [one.id]);
    assert_eq!(us.dirty().await.len(), 1);
}

pub async fn an_effect_of_somebody_else_is_unknown<W: MemoryWorld>() {
    let world = W::open().await;
    let (us, other) = (worker(&world, LIST).await, worker(&world, LIST).await);
    let effect = create(&subject("a"));
    us.admit(&effect).await;
    let elsewhere = other.settle(&effect, Verdict::Released).await;
    assert_eq!(code(elsewhere), "ledger.effect_unknown");
    let misnamed = NewEffect {
        subject: subject("b"),
        ..effect.clone()
    };
    for verdict in [Verdict::Released, Verdict::Armed, applied(&row(&subject("b"), 1))] {
        assert_eq!(code(us.settle(&misnamed, verdict).await), "ledger.effect_unknown");
    }
    us.settle(&effect, Verdict::Released).await.unwrap();
    assert_eq!(
        code(us.settle(&effect, Verdict::Released).await),
        "ledger.effect_unknown"
    );
}

pub async fn an_item_of_another_row_cannot_be_taken<W: MemoryWorld>() {
    let world = W::open().await;
    let (us, other) = (worker(&world, LIST).await, worker(&world, LIST).await);
    us.write(&row(&subject("a"), 1)).await;
    for thief in [&us, &other] {
        let effect = create(&subject("thief"));
        thief.admit(&effect).await;
        let answer = thief.settle(&effect, applied(&row(&effect.subject, 1))).await;
        assert_eq!(code(answer), "ledger.item_owned");
        assert_eq!(thief.row(effect.subject.identity).await, None);
        assert_eq!(thief.unsettled().await, [effect.id]);
    }
    let elsewhere = worker(&world, "another list").await;
    elsewhere.write(&row(&subject("a"), 1)).await;
}

pub async fn an_item_may_pass_from_one_row_to_another_in_one_slice<W: MemoryWorld>() {
    let world = W::open().await;
    let us = worker(&world, LIST).await;
    let (from, to) = (subject("from"), subject("to"));
    us.write(&row(&from, 1)).await;
    let stored = us.row(from.identity).await.unwrap();
    let effects = [write_to(&stored, EffectKind::PatchItem), create(&to)];
    us.memory.admit(us.fence, us.run, &effects).await.unwrap();
    let settled = [
        settlement(&effects[0], applied(&tombstone(&stored)), None),
        settlement(&effects[1], applied(&row(&to, 1)), None),
    ];
    us.memory.settle(us.fence, us.run, &settled).await.unwrap();
    let item = stored.version.guid;
    assert_eq!(us.memory.linked(&[item]).await.unwrap(), [Some(to.identity)]);
    assert_eq!(us.row(from.identity).await.unwrap().state, LedgerState::Tombstone);
}

pub async fn a_tombstone_gives_its_item_up_and_another_item_takes_its_place<W: MemoryWorld>() {
    let world = W::open().await;
    let us = worker(&world, LIST).await;
    let who = subject("a");
    us.write(&row(&who, 1)).await;
    for (next, linked) in [
        (row(&who, 2), [None, Some(who.identity)]),
        (tombstone(&row(&who, 2)), [None, None]),
    ] {
        let stored = us.row(who.identity).await.unwrap();
        let effect = write_to(&stored, EffectKind::PatchItem);
        us.admit(&effect).await;
        us.settle(&effect, applied(&next)).await.unwrap();
        let items = [1, 2].map(Uuid::from_u128);
        assert_eq!(us.memory.linked(&items).await.unwrap(), linked);
    }
    let owned = us
        .memory
        .owned(&[Uuid::from_u128(1), Uuid::from_u128(2)])
        .await
        .unwrap();
    assert!(owned.is_empty());
}

pub async fn an_armed_write_that_landed_takes_the_slot_of_the_one_it_made_fail<W: MemoryWorld>() {
    let world = W::open().await;
    let us = worker(&world, LIST).await;
    let who = subject("a");
    let (armed, open) = (create(&who), create(&who));
    us.admit(&armed).await;
    us.settle(&armed, Verdict::Armed).await.unwrap();
    us.admit(&open).await;
    let landed = us.settle(&armed, applied(&row(&who, 1))).await;
    assert_eq!(code(landed), "ledger.subject_busy");
    assert_eq!(us.row(who.identity).await, None);
    let settled = [
        settlement(&armed, applied(&row(&who, 1)), None),
        settlement(&open, Verdict::Released, None),
    ];
    us.memory.settle(us.fence, us.run, &settled).await.unwrap();
    assert_eq!(us.row(who.identity).await.unwrap().row_version, 1);
    assert!(us.unsettled().await.is_empty());
}

pub async fn what_is_decided_while_a_write_lands_late_is_stale<W: MemoryWorld>() {
    let world = W::open().await;
    let us = worker(&world, LIST).await;
    let who = subject("a");
    let armed = create(&who);
    us.admit(&armed).await;
    us.settle(&armed, Verdict::Armed).await.unwrap();
    us.settle(&armed, applied(&row(&who, 1))).await.unwrap();
    assert_eq!(us.ask(&create(&who)).await, Admission::Stale);
}
