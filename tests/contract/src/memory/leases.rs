//! Fences: whoever holds not the newest epoch, or a lease that ran out, writes nothing.

use std::time::Duration;

use syncbridge_domain::effect::Fence;
use syncbridge_domain::feed::Cursor;
use syncbridge_domain::mapping::LayoutStamp;
use syncbridge_engine::ports::{Ledger, Verdict};

use crate::sample::{
    LIST, Worker, applied, changed, code, create, mark, refused, row, settlement, subject, worker,
};
use crate::world::MemoryWorld;

/// Every write there is, each with this fence; answers what each was told.
async fn all_writes<M: Ledger>(us: &Worker<M>, fence: Fence) -> Vec<Option<String>> {
    let who = subject("stale");
    let admitted = create(&subject("admitted"));
    let memory = &us.memory;
    let settled = [settlement(&admitted, Verdict::Released, None)];
    let entries = [(refused(&who, 1), None)];
    let told =
        |answer: Result<(), syncbridge_domain::failure::Failure>| answer.err().map(|failure| failure.code);
    vec![
        told(memory.admit(fence, us.run, &[create(&who)]).await.map(drop)),
        told(memory.settle(fence, us.run, &settled).await),
        told(memory.adopt(fence, &[row(&who, 1)], &[None], &[]).await.map(drop)),
        told(memory.probed(fence, &[admitted.id]).await),
        told(
            memory
                .mark_dirty(fence, &[changed(&who, 1)], Some(&moved()))
                .await,
        ),
        told(memory.clear_dirty(fence, &[(who.identity, 1)]).await),
        told(memory.quarantine(fence, us.run, &entries).await),
        told(memory.requeue_due(fence).await.map(drop)),
        told(memory.requeue_approved(fence).await.map(drop)),
        told(memory.remember_layout(fence, LayoutStamp(9), &[1]).await),
        told(memory.swept(fence, us.run, mark(1)).await),
    ]
}

fn moved() -> Cursor {
    Cursor::Steady {
        watermark: Some("moved".into()),
        pending: Vec::new(),
    }
}

async fn assert_untouched<M: Ledger>(us: &Worker<M>) {
    assert!(us.unsettled().await.is_empty() && us.dirty().await.is_empty());
    assert_eq!(us.memory.cursor().await.unwrap(), Cursor::default());
    assert_eq!(us.memory.live_rows().await.unwrap(), 0);
    assert_eq!(us.memory.quarantine_size().await.unwrap(), 0);
    assert_eq!(us.memory.layout(LayoutStamp(9)).await.unwrap(), None);
    assert!(us.memory.sweep_due(Duration::from_hours(1)).await.unwrap());
}

pub async fn an_older_epoch_writes_nothing<W: MemoryWorld>() {
    let world = W::open().await;
    let us = worker(&world, LIST).await;
    world.release(us.fence).await;
    let newer = world.acquire(us.id, Duration::from_mins(5)).await;
    assert!(newer.epoch > us.fence.epoch);
    assert_eq!(
        all_writes(&us, us.fence).await,
        vec![Some("lease.lost".to_owned()); 11]
    );
    assert_untouched(&us).await;
}

pub async fn a_lease_that_ran_out_writes_nothing_even_if_nobody_took_it<W: MemoryWorld>() {
    let world = W::open().await;
    let (id, memory) = world.define(LIST).await;
    let fence = world.acquire(id, Duration::from_mins(5)).await;
    let us = Worker {
        id,
        memory,
        fence,
        run: crate::sample::run(),
    };
    world.pass(Duration::from_mins(4)).await;
    us.memory.mark_dirty(fence, &[], None).await.unwrap();
    us.memory.requeue_due(fence).await.unwrap();
    world.pass(Duration::from_secs(61)).await;
    assert_eq!(
        all_writes(&us, fence).await,
        vec![Some("lease.lost".to_owned()); 11]
    );
    assert_untouched(&us).await;
    let again = world.acquire(id, Duration::from_mins(5)).await;
    assert!(again.epoch > fence.epoch, "every lease has an epoch of its own");
}

pub async fn a_fence_that_was_never_given_writes_nothing<W: MemoryWorld>() {
    let world = W::open().await;
    let us = worker(&world, LIST).await;
    let future = Fence {
        epoch: us.fence.epoch + 1,
        ..us.fence
    };
    assert_eq!(
        all_writes(&us, future).await,
        vec![Some("lease.lost".to_owned()); 11]
    );
    assert_untouched(&us).await;
}

pub async fn a_fence_of_another_definition_is_no_fence<W: MemoryWorld>() {
    let world = W::open().await;
    let (us, other) = (worker(&world, LIST).await, worker(&world, LIST).await);
    assert_eq!(
        all_writes(&us, other.fence).await,
        vec![Some("lease.mismatch".to_owned()); 11]
    );
    assert_untouched(&us).await;
}

pub async fn an_open_write_outlives_its_lease_and_is_settled_under_the_next<W: MemoryWorld>() {
    let world = W::open().await;
    let mut us = worker(&world, LIST).await;
    let effect = create(&subject("a"));
    us.admit(&effect).await;
    let before = us.fence;
    world.release(us.fence).await;
    us.fence = world.acquire(us.id, crate::sample::TERM).await;
    let read = us.memory.unsettled(10).await.unwrap().remove(0);
    assert_eq!((read.id, read.epoch), (effect.id, before.epoch));
    let settled = [settlement(&effect, applied(&row(&effect.subject, 1)), None)];
    assert_eq!(
        code(us.memory.settle(before, us.run, &settled).await),
        "lease.lost"
    );
    us.memory.settle(us.fence, us.run, &settled).await.unwrap();
    assert_eq!(us.memory.live_rows().await.unwrap(), 1);
}
