//! Source writes: their witness, noted before they commit, and what it changes about who they are held under.

use syncbridge_domain::agreed::Agreed;
use syncbridge_domain::dirty::TargetHint;
use syncbridge_domain::effect::{Admission, AfterState, EffectKind, ItemLink, NewEffect, Subject, Witness};
use syncbridge_domain::mapping::LayoutStamp;
use syncbridge_domain::receipt::ItemId;
use syncbridge_domain::version::Version;
use syncbridge_engine::ports::pull_memory::PullMemory;
use syncbridge_engine::ports::{Ledger as _, Settlement, Verdict};
use uuid::Uuid;

use crate::sample::{
    LIST, Worker, applied, code, create, hinted, mark, refused, row, settlement, subject, worker, write_to,
};
use crate::world::MemoryWorld;

/// A row to be made from an item, which is known by a provisional identity until then.
fn insert(provisional: &Subject, item: u128) -> NewEffect {
    NewEffect {
        kind: EffectKind::InsertRow,
        item: Some(ItemLink {
            id: ItemId(item.to_string()),
            before: Version {
                guid: Uuid::from_u128(item),
                counter: 4,
            },
        }),
        ..create(provisional)
    }
}

fn witness(effect: &NewEffect, subject: &Subject, xid: Option<u64>) -> Witness {
    Witness {
        effect: effect.id,
        subject: subject.clone(),
        xid,
        after: AfterState {
            agreed: Agreed::unknown(2).to_bytes(),
            layout: LayoutStamp(3),
            mark: mark(77),
        },
    }
}

async fn note<W: MemoryWorld<Memory: PullMemory>>(us: &Worker<W::Memory>, witness: Witness) {
    us.memory.note_witnesses(us.fence, &[witness]).await.unwrap();
}

pub async fn an_insert_is_held_under_its_rows_identity_from_its_witness_on<
    W: MemoryWorld<Memory: PullMemory>,
>() {
    let world = W::open().await;
    let us = worker(&world, LIST).await;
    let (item, who) = (subject("an item"), subject("a row"));
    let effect = insert(&item, 1);
    us.admit(&effect).await;
    assert_eq!(us.memory.unsettled(1).await.unwrap()[0].witnessed, None);
    let noted = witness(&effect, &who, Some(u64::from(u32::MAX) + 9));
    note::<W>(&us, noted.clone()).await;
    let read = us.memory.unsettled(1).await.unwrap().remove(0);
    assert_eq!(
        (read.id, read.kind, &read.subject),
        (effect.id, EffectKind::InsertRow, &who)
    );
    assert_eq!(read.witnessed, Some(noted.xid));
    assert_eq!(
        (&read.after, &read.sent, &read.item),
        (&noted.after, &effect.sent, &effect.item)
    );
    assert_eq!(us.ask(&create(&who)).await, Admission::Busy);
    us.admit(&create(&item)).await;
    assert_eq!(
        us.ask(&insert(&subject("another"), 1)).await,
        Admission::Busy,
        "its item is held too"
    );
}

pub async fn a_table_that_cannot_tell_its_transactions_leaves_a_witness_without_an_id<
    W: MemoryWorld<Memory: PullMemory>,
>() {
    let world = W::open().await;
    let us = worker(&world, LIST).await;
    let who = subject("a");
    us.write(&row(&who, 1)).await;
    let effect = write_to(&us.row(who.identity).await.unwrap(), EffectKind::UpdateRow);
    us.admit(&effect).await;
    note::<W>(&us, witness(&effect, &who, None)).await;
    assert_eq!(us.memory.unsettled(1).await.unwrap()[0].witnessed, Some(None));
    // Staged once more after a rollback, the new witness counts.
    note::<W>(&us, witness(&effect, &who, Some(5))).await;
    assert_eq!(us.memory.unsettled(1).await.unwrap()[0].witnessed, Some(Some(5)));
}

pub async fn a_row_that_another_write_holds_cannot_be_taken<W: MemoryWorld<Memory: PullMemory>>() {
    let world = W::open().await;
    let us = worker(&world, LIST).await;
    let (taken, free) = (subject("taken"), subject("free"));
    us.admit(&create(&taken)).await;
    let (one, two) = (insert(&subject("item 1"), 1), insert(&subject("item 2"), 2));
    us.memory
        .admit(us.fence, us.run, &[one.clone(), two.clone()])
        .await
        .unwrap();
    let witnesses = [witness(&one, &free, Some(5)), witness(&two, &taken, Some(6))];
    let answer = us.memory.note_witnesses(us.fence, &witnesses).await;
    assert_eq!(code(answer), "effect.taken");
    let effects = us.memory.unsettled(10).await.unwrap();
    assert!(
        effects.iter().all(|effect| effect.witnessed.is_none()),
        "nothing was noted"
    );
    us.admit(&create(&free)).await;
    // Two items of one row: the same.
    let both = subject("both");
    let witnesses = [witness(&one, &both, Some(5)), witness(&two, &both, Some(6))];
    let answer = us.memory.note_witnesses(us.fence, &witnesses).await;
    assert_eq!(code(answer), "effect.taken");
}

pub async fn only_an_open_write_of_a_row_can_be_witnessed<W: MemoryWorld<Memory: PullMemory>>() {
    let world = W::open().await;
    let us = worker(&world, LIST).await;
    let who = subject("a");
    us.write(&row(&who, 1)).await;
    let stored = us.row(who.identity).await.unwrap();
    let unknown = |answer| code::<()>(answer) == "ledger.effect_unknown";
    let never_admitted = insert(&subject("x"), 9);
    let answer = us
        .memory
        .note_witnesses(us.fence, &[witness(&never_admitted, &who, None)])
        .await;
    assert!(unknown(answer));
    let of_item = write_to(&stored, EffectKind::PatchItem);
    us.admit(&of_item).await;
    assert!(unknown(
        us.memory
            .note_witnesses(us.fence, &[witness(&of_item, &who, None)])
            .await
    ));
    us.settle(&of_item, Verdict::Released).await.unwrap();
    let update = write_to(&stored, EffectKind::UpdateRow);
    us.admit(&update).await;
    let of_another = witness(&update, &subject("b"), None);
    assert!(
        unknown(us.memory.note_witnesses(us.fence, &[of_another]).await),
        "only inserts change whose they are"
    );
    us.settle(&update, Verdict::Armed).await.unwrap();
    assert!(unknown(
        us.memory
            .note_witnesses(us.fence, &[witness(&update, &who, None)])
            .await
    ));
}

pub async fn a_stale_fence_notes_nothing<W: MemoryWorld<Memory: PullMemory>>() {
    let world = W::open().await;
    let us = worker(&world, LIST).await;
    let effect = insert(&subject("an item"), 1);
    us.admit(&effect).await;
    world.release(us.fence).await;
    let answer = us
        .memory
        .note_witnesses(us.fence, &[witness(&effect, &subject("a"), Some(5))])
        .await;
    assert_eq!(code(answer), "lease.lost");
    assert_eq!(us.memory.unsettled(1).await.unwrap()[0].witnessed, None);
}

pub async fn a_row_made_from_an_item_takes_over_what_was_kept_for_the_item<
    W: MemoryWorld<Memory: PullMemory>,
>() {
    let world = W::open().await;
    let us = worker(&world, LIST).await;
    // Settled by the row's identity or by the item's: it is the same write.
    for (number, by_item) in [(1, true), (2, false)] {
        let item = subject(&format!("item {number}"));
        let who = subject(&format!("row {number}"));
        us.mark(hinted(&item, TargetHint::Changed)).await;
        us.memory
            .quarantine(us.fence, us.run, &[(refused(&item, 1), None)])
            .await
            .unwrap();
        let sequence = us.sequence(item.identity).await;
        let effect = insert(&item, number);
        us.admit(&effect).await;
        note::<W>(&us, witness(&effect, &who, Some(5))).await;
        let settled = Settlement {
            identity: if by_item { item.identity } else { who.identity },
            ..settlement(&effect, applied(&row(&who, number)), Some(sequence))
        };
        us.memory.settle(us.fence, us.run, &[settled]).await.unwrap();
        assert_eq!(us.row(who.identity).await.unwrap().row_version, 1);
        assert_eq!(us.row(item.identity).await, None);
        assert!(
            us.dirty().await.is_empty() && !us.is_refused(item.identity).await,
            "by item: {by_item}"
        );
        let guid = Uuid::from_u128(number);
        assert_eq!(us.memory.linked(&[guid]).await.unwrap(), [Some(who.identity)]);
    }
}

pub async fn a_mark_of_the_item_that_came_after_the_look_goes_on_as_the_rows<
    W: MemoryWorld<Memory: PullMemory>,
>() {
    let world = W::open().await;
    let us = worker(&world, LIST).await;
    let (item, who) = (subject("an item"), subject("a row"));
    us.mark(hinted(&item, TargetHint::Changed)).await;
    let sequence = us.sequence(item.identity).await;
    let effect = insert(&item, 1);
    us.admit(&effect).await;
    note::<W>(&us, witness(&effect, &who, Some(5))).await;
    us.mark(hinted(&item, TargetHint::Deleted)).await;
    let settled = settlement(&effect, applied(&row(&who, 1)), Some(sequence));
    us.memory.settle(us.fence, us.run, &[settled]).await.unwrap();
    let [left] = <[_; 1]>::try_from(us.dirty().await).unwrap();
    assert_eq!(
        (left.mark.identity, left.mark.target),
        (who.identity, TargetHint::Deleted)
    );
    assert_eq!(left.mark.key, who.key);
    assert!(left.sequence > sequence);
}

pub async fn an_insert_is_settled_for_the_row_it_is_held_under_only<W: MemoryWorld<Memory: PullMemory>>() {
    let world = W::open().await;
    let us = worker(&world, LIST).await;
    let (item, who) = (subject("an item"), subject("a row"));
    let effect = insert(&item, 1);
    us.admit(&effect).await;
    note::<W>(&us, witness(&effect, &who, Some(5))).await;
    let answer = us.settle(&effect, applied(&row(&item, 1))).await;
    assert_eq!(code(answer), "ledger.effect_unknown", "not for the item");
    us.settle(&effect, Verdict::Armed).await.unwrap();
    us.admit(&create(&who)).await;
}
