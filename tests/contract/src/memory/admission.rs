//! Recording writes before they are sent: the mutual exclusion between everything that writes.

use std::time::Duration;

use syncbridge_domain::effect::{Admission, EffectKind, EffectState, NewEffect};
use syncbridge_engine::ports::{Ledger as _, Verdict};

use crate::sample::{LIST, create, row, subject, worker, write_to};
use crate::world::MemoryWorld;

pub async fn of_two_writes_of_one_subject_one_is_admitted<W: MemoryWorld>() {
    let world = W::open().await;
    let us = worker(&world, LIST).await;
    let who = subject("a");
    assert_eq!(us.ask(&create(&who)).await, Admission::Admitted);
    assert_eq!(us.ask(&create(&who)).await, Admission::Busy);
    let twice = [create(&subject("b")), create(&subject("b"))];
    let answers = us.memory.admit(us.fence, us.run, &twice).await.unwrap();
    assert_eq!(answers, [Admission::Admitted, Admission::Busy]);
}

pub async fn answers_come_in_the_order_asked_and_a_stale_one_leaves_nothing<W: MemoryWorld>() {
    let world = W::open().await;
    let us = worker(&world, LIST).await;
    us.admit(&create(&subject("busy"))).await;
    let stale = NewEffect {
        expected_row_version: Some(4),
        ..create(&subject("stale"))
    };
    let asked = [
        create(&subject("x")),
        stale,
        create(&subject("y")),
        create(&subject("busy")),
        create(&subject("z")),
    ];
    let answers = us.memory.admit(us.fence, us.run, &asked).await.unwrap();
    use Admission::{Admitted, Busy, Stale};
    assert_eq!(answers, [Admitted, Stale, Admitted, Busy, Admitted]);
    assert_eq!(us.unsettled().await.len(), 4);
    us.admit(&create(&subject("stale"))).await;
}

pub async fn a_decision_on_another_version_of_the_row_is_stale<W: MemoryWorld>() {
    let world = W::open().await;
    let us = worker(&world, LIST).await;
    let who = subject("a");
    us.write(&row(&who, 1)).await;
    let stored = us.row(who.identity).await.unwrap();
    assert_eq!(stored.row_version, 1);
    for expected in [None, Some(0), Some(2)] {
        let effect = NewEffect {
            expected_row_version: expected,
            ..write_to(&stored, EffectKind::PatchItem)
        };
        assert_eq!(us.ask(&effect).await, Admission::Stale, "{expected:?}");
    }
    us.admit(&write_to(&stored, EffectKind::PatchItem)).await;
}

pub async fn one_item_is_not_written_twice_at_once_not_even_by_two_definitions<W: MemoryWorld>() {
    let world = W::open().await;
    let (one, other) = (worker(&world, LIST).await, worker(&world, LIST).await);
    let elsewhere = worker(&world, "another list").await;
    let to_item = |name: &str| NewEffect {
        expected_row_version: None,
        ..write_to(&row(&subject(name), 7), EffectKind::PatchItem)
    };
    one.admit(&to_item("a")).await;
    assert_eq!(one.ask(&to_item("b")).await, Admission::Busy);
    assert_eq!(other.ask(&to_item("c")).await, Admission::Busy);
    elsewhere.admit(&to_item("a")).await;
    // Subjects are a definition's own.
    other.admit(&create(&subject("a"))).await;
}

pub async fn what_was_recorded_is_read_back_whole<W: MemoryWorld>() {
    let world = W::open().await;
    let mut us = worker(&world, LIST).await;
    let effect = NewEffect {
        expected_row_version: None,
        ..write_to(&row(&subject("a"), 5), EffectKind::DeleteItem)
    };
    us.admit(&effect).await;
    let epoch = us.fence.epoch;
    us.later(&world, Duration::from_secs(90)).await;
    let read = us.memory.unsettled(10).await.unwrap().remove(0);
    assert_eq!((read.id, read.run, read.kind), (effect.id, us.run, effect.kind));
    assert_eq!((read.subject, read.item), (effect.subject, effect.item));
    assert_eq!((read.sent, read.after), (effect.sent, effect.after));
    assert_eq!(
        (read.epoch, read.state, read.probes),
        (epoch, EffectState::Open, 0)
    );
    assert_eq!(read.witnessed, None);
    assert!(read.age >= Duration::from_secs(90) && read.age < Duration::from_secs(900));
}

pub async fn open_writes_are_told_first_then_armed_ones_oldest_first<W: MemoryWorld>() {
    let world = W::open().await;
    let mut us = worker(&world, LIST).await;
    let effects = ["a", "b", "c", "d"].map(|name| create(&subject(name)));
    for effect in &effects {
        us.admit(effect).await;
        us.later(&world, Duration::from_secs(1)).await;
    }
    us.settle(&effects[2], Verdict::Armed).await.unwrap();
    us.settle(&effects[0], Verdict::Armed).await.unwrap();
    let order = [1, 3, 0, 2].map(|at| effects[at].id);
    assert_eq!(us.unsettled().await, order);
    let two = us.memory.unsettled(2).await.unwrap();
    assert_eq!(two.iter().map(|effect| effect.id).collect::<Vec<_>>(), order[..2]);
}

pub async fn an_armed_write_leaves_its_subject_free_and_is_looked_for_ever_later<W: MemoryWorld>() {
    let world = W::open().await;
    let mut us = worker(&world, LIST).await;
    let who = subject("a");
    let (first, second) = (create(&who), create(&who));
    us.admit(&first).await;
    us.settle(&first, Verdict::Armed).await.unwrap();
    us.admit(&second).await;
    assert_eq!(us.unsettled().await, [second.id, first.id]);
    let both = [first.id, second.id];
    // One minute, five, thirty, two hours, a day, and then once a day.
    let day = Duration::from_hours(24);
    let waits = [60, 300, 1_800, 7_200, 86_400].map(Duration::from_secs);
    for (probes, wait) in (1..).zip(waits.into_iter().chain([day, day])) {
        us.memory.probed(us.fence, &both).await.unwrap();
        assert_eq!(us.unsettled().await, [second.id], "an open one is always told");
        us.later(&world, wait.saturating_sub(Duration::from_secs(30)))
            .await;
        assert_eq!(us.unsettled().await, [second.id], "not yet, after {probes} looks");
        us.later(&world, Duration::from_secs(31)).await;
        let told = us.memory.unsettled(10).await.unwrap();
        let told: Vec<_> = told.iter().map(|effect| (effect.id, effect.probes)).collect();
        assert_eq!(told, [(second.id, 0), (first.id, probes)]);
    }
}

pub async fn nothing_asked_is_nothing_done<W: MemoryWorld>() {
    let world = W::open().await;
    let us = worker(&world, LIST).await;
    assert!(us.memory.admit(us.fence, us.run, &[]).await.unwrap().is_empty());
    us.memory.settle(us.fence, us.run, &[]).await.unwrap();
    us.memory.probed(us.fence, &[]).await.unwrap();
    us.memory.mark_dirty(us.fence, &[], None).await.unwrap();
    us.memory.clear_dirty(us.fence, &[]).await.unwrap();
    us.memory.quarantine(us.fence, us.run, &[]).await.unwrap();
    us.memory.record_conflicts(us.fence, us.run, &[]).await.unwrap();
    assert!(us.memory.adopt(us.fence, &[], &[], &[]).await.unwrap().is_empty());
    assert!(us.memory.unsettled(10).await.unwrap().is_empty());
}
