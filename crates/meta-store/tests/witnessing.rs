//! Source writes: the witness before the commit, and what becomes of an item that gets a row.

use syncbridge_domain::dirty::{DirtyMark, TargetHint};
use syncbridge_domain::effect::{Admission, EffectKind, NewEffect};
use syncbridge_domain::failure::Failure;
use syncbridge_domain::ledger::{LedgerRow, LedgerState};
use syncbridge_meta_store::{Error, Verdict, ledger};

use crate::fixture::{
    Memory, World, create, dirty, insert, new_item, patch, refused, row, settlement, subject, witness,
};

fn applied(row: &LedgerRow) -> Verdict {
    Verdict::Applied(Box::new(row.clone()))
}

/// A write to the source row of a ledger row.
fn of_row(kind: EffectKind, row: &LedgerRow) -> NewEffect {
    NewEffect { kind, ..patch(row) }
}

async fn note(memory: &Memory, witness: &syncbridge_domain::effect::Witness) {
    memory
        .store
        .note_witnesses(memory.fence, std::slice::from_ref(witness))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_witness_is_read_back_whole_and_what_was_sent_still_opens() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    let effect = insert(7);
    memory.admit(&effect).await;
    let read = memory.store.unsettled(10).await.unwrap().remove(0);
    assert_eq!(
        (read.kind, read.witnessed, &read.subject),
        (EffectKind::InsertRow, None, &effect.subject)
    );
    let born = subject("born");
    for xid in [None, Some(u64::from(u32::MAX) + 5)] {
        let noted = witness(&effect, &born, xid);
        note(&memory, &noted).await;
        let read = memory.store.unsettled(10).await.unwrap().remove(0);
        assert_eq!(read.witnessed, Some(xid));
        assert_eq!((read.subject, read.after), (noted.subject, noted.after));
        assert_eq!((read.sent, &read.item), (effect.sent.clone(), &effect.item));
    }
}

#[tokio::test]
async fn a_write_staged_again_is_held_under_the_row_it_makes_now() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    let effect = insert(7);
    memory.admit(&effect).await;
    let (first, second) = (subject("first"), subject("second"));
    note(&memory, &witness(&effect, &first, Some(1))).await;
    note(&memory, &witness(&effect, &second, Some(2))).await;
    memory.admit(&create(&first)).await;
    let answer = memory
        .store
        .admit(memory.fence, memory.run, &[create(&second)])
        .await
        .unwrap();
    assert_eq!(answer, [Admission::Busy]);
    let settled = settlement(&effect, applied(&row(&second, 7)), None);
    memory
        .store
        .settle(memory.fence, memory.run, &[settled])
        .await
        .unwrap();
    assert_eq!(memory.row(second.identity).await.unwrap().item.0, "7");
}

#[tokio::test]
async fn values_of_a_write_do_not_open_for_another_row_though_it_is_held_under_one() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    let effect = insert(7);
    memory.admit(&effect).await;
    note(&memory, &witness(&effect, &subject("born"), None)).await;
    sqlx::query("UPDATE effects SET old_identity = identity")
        .execute(&world.pool)
        .await
        .unwrap();
    let error = memory.store.unsettled(1).await.unwrap_err();
    assert!(matches!(error, Error::Open { .. }), "{error:?}");
}

#[tokio::test]
async fn an_insert_does_not_take_a_row_that_has_another_open_write() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    let born = subject("born");
    let (effect, free) = (insert(7), insert(8));
    memory.admit(&create(&born)).await;
    memory.admit(&effect).await;
    memory.admit(&free).await;
    let witnesses = [
        witness(&free, &subject("free"), Some(1)),
        witness(&effect, &born, Some(1)),
    ];
    let error = memory
        .store
        .note_witnesses(memory.fence, &witnesses)
        .await
        .unwrap_err();
    assert!(matches!(error, Error::EffectTaken), "{error:?}");
    assert_eq!(Failure::from(error).code, "effect.taken");
    let unsettled = memory.store.unsettled(10).await.unwrap();
    assert!(
        unsettled.iter().all(|effect| effect.witnessed.is_none()),
        "nothing is noted"
    );
}

#[tokio::test]
async fn of_an_admission_and_a_witness_of_one_row_at_once_one_gets_it() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    for number in 0..10 {
        let effect = insert(number + 1);
        memory.admit(&effect).await;
        let born = subject(&format!("born {number}"));
        let (push, witnesses) = ([create(&born)], [witness(&effect, &born, Some(1))]);
        let (admitted, noted) = tokio::join!(
            memory.store.admit(memory.fence, memory.run, &push),
            memory.store.note_witnesses(memory.fence, &witnesses),
        );
        match (admitted.unwrap()[0], noted) {
            (Admission::Admitted, Err(Error::EffectTaken)) | (Admission::Busy, Ok(())) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn an_item_whose_row_is_being_made_is_made_into_no_second_one() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    let (effect, again) = (insert(7), insert(7));
    memory.admit(&effect).await;
    note(&memory, &witness(&effect, &subject("born"), None)).await;
    let answer = memory
        .store
        .admit(memory.fence, memory.run, &[again])
        .await
        .unwrap();
    assert_eq!(answer, [Admission::Busy]);
}

#[tokio::test]
async fn only_open_writes_of_rows_are_witnessed_and_only_inserts_change_hands() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    let other = subject("other");
    let agreed = row(&subject("a"), 1);
    memory.write(&agreed).await;
    let agreed = memory.row(agreed.identity).await.unwrap();
    let update = of_row(EffectKind::UpdateRow, &agreed);
    memory.admit(&update).await;
    let (item, armed, good) = (create(&subject("b")), insert(7), insert(8));
    memory.admit(&item).await;
    memory.admit(&good).await;
    memory.admit(&armed).await;
    memory.settle(&armed, Verdict::Armed).await.unwrap();
    for (what, wrong) in [
        ("another row", witness(&update, &other, None)),
        ("an item", witness(&item, &item.subject, None)),
        ("an armed one", witness(&armed, &other, None)),
        ("nothing", witness(&create(&other), &other, None)),
    ] {
        let error = memory
            .store
            .note_witnesses(memory.fence, &[witness(&good, &subject("born"), Some(4)), wrong])
            .await
            .expect_err(what);
        assert!(matches!(error, Error::EffectUnknown { .. }), "{what}: {error:?}");
    }
    let unsettled = memory.store.unsettled(10).await.unwrap();
    assert!(unsettled.iter().all(|effect| effect.witnessed.is_none()));
    note(&memory, &witness(&update, &update.subject, Some(4))).await;
}

#[tokio::test]
async fn a_row_made_from_an_item_takes_over_all_that_was_kept_of_the_item() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    // The look is asked for by the item's identity or by the row's: both are the same write.
    for (number, by_row) in [(1, false), (2, true)] {
        let effect = insert(number);
        let who = &effect.subject;
        let mark = DirtyMark {
            target: TargetHint::Changed,
            ..dirty(who, 5)
        };
        memory
            .store
            .mark_dirty(memory.fence, &[mark], None)
            .await
            .unwrap();
        memory
            .store
            .quarantine(memory.fence, memory.run, &[(refused(who, 1), None)])
            .await
            .unwrap();
        let sequence = memory.store.dirty(None, 1).await.unwrap()[0].sequence;
        memory.admit(&effect).await;
        let born = subject(&format!("born {number}"));
        note(&memory, &witness(&effect, &born, Some(1))).await;
        let mut settled = settlement(&effect, applied(&row(&born, number)), Some(sequence));
        if by_row {
            settled.identity = born.identity;
        }
        memory
            .store
            .settle(memory.fence, memory.run, &[settled])
            .await
            .unwrap();
        assert_eq!(memory.row(born.identity).await.unwrap().key, born.key);
        assert_eq!(memory.row(who.identity).await, None);
        let link = effect.item.unwrap().before.guid;
        assert_eq!(memory.store.linked(&[link]).await.unwrap(), [Some(born.identity)]);
        assert_eq!(memory.store.dirty(None, 10).await.unwrap(), []);
        assert_eq!(memory.store.quarantined(&[who.identity]).await.unwrap(), [None]);
        let mut connection = world.store.acquire().await.unwrap();
        let history = ledger::history(
            &mut connection,
            memory.id,
            born.identity,
            ledger::HistoryPage::newest(10),
        )
        .await
        .unwrap();
        let told: Vec<_> = history
            .iter()
            .map(|h| (h.kind.name(), h.outcome.as_str()))
            .collect();
        assert_eq!(told, [("insert_row", "applied")]);
    }
    assert_eq!(world.count("SELECT count(*) FROM effects").await, 0);
}

#[tokio::test]
async fn what_the_list_said_while_an_items_row_was_made_goes_on_as_the_rows() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    for (number, look) in [(1u128, true), (2, false)] {
        let effect = insert(number);
        let who = &effect.subject;
        let said = |target| DirtyMark {
            target,
            ..dirty(who, 5)
        };
        memory
            .store
            .mark_dirty(memory.fence, &[said(TargetHint::Changed)], None)
            .await
            .unwrap();
        let seen = memory.store.dirty(None, 10).await.unwrap();
        let sequence = seen
            .iter()
            .find(|row| row.mark.identity == who.identity)
            .map(|row| row.sequence);
        memory.admit(&effect).await;
        memory
            .store
            .mark_dirty(memory.fence, &[said(TargetHint::Deleted)], None)
            .await
            .unwrap();
        let born = subject(&format!("born {number}"));
        note(&memory, &witness(&effect, &born, Some(1))).await;
        let sequence = sequence.filter(|_| look);
        let settled = settlement(&effect, applied(&row(&born, number)), sequence);
        memory
            .store
            .settle(memory.fence, memory.run, &[settled])
            .await
            .unwrap();
        let left = memory.store.dirty(None, 10).await.unwrap();
        let left = left
            .iter()
            .find(|row| row.mark.identity == born.identity)
            .unwrap();
        assert_eq!(
            (&left.mark.key, left.mark.target),
            (&born.key, TargetHint::Deleted)
        );
    }
    assert_eq!(world.count("SELECT count(*) FROM dirty").await, 2);
}

#[tokio::test]
async fn a_row_that_was_not_made_after_all_leaves_its_item_as_it_was() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    let (released, quarantined) = (insert(1), insert(2));
    let marks = [&released, &quarantined].map(|effect| DirtyMark {
        target: TargetHint::Changed,
        ..dirty(&effect.subject, 5)
    });
    memory.store.mark_dirty(memory.fence, &marks, None).await.unwrap();
    let sequence = memory
        .store
        .dirty(None, 10)
        .await
        .unwrap()
        .iter()
        .find(|row| row.mark.identity == quarantined.subject.identity)
        .map(|row| row.sequence);
    for effect in [&released, &quarantined] {
        memory.admit(effect).await;
        let born = subject(&format!("never born {}", effect.id));
        note(&memory, &witness(effect, &born, Some(1))).await;
    }
    let entry = Verdict::Quarantined(Box::new(refused(&quarantined.subject, 1)));
    let settled = [
        settlement(&released, Verdict::Released, None),
        settlement(&quarantined, entry, sequence),
    ];
    memory
        .store
        .settle(memory.fence, memory.run, &settled)
        .await
        .unwrap();
    let left = memory.store.dirty(None, 10).await.unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].mark.identity, released.subject.identity);
    assert!(
        memory
            .store
            .quarantined(&[quarantined.subject.identity])
            .await
            .unwrap()[0]
            .is_some()
    );
    assert_eq!(world.count("SELECT count(*) FROM effects").await, 0);
}

#[tokio::test]
async fn a_row_is_not_settled_under_an_identity_that_its_write_never_had() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    let effect = insert(7);
    memory.admit(&effect).await;
    let born = subject("born");
    let error = memory.settle(&effect, applied(&row(&born, 7))).await.unwrap_err();
    assert!(matches!(error, Error::EffectUnknown { .. }), "{error:?}");
    assert_eq!(memory.row(born.identity).await, None);
}

#[tokio::test]
async fn rows_updated_and_deleted_are_in_the_history_and_deletes_of_both_sides_are_counted() {
    let world = World::new().await;
    let memory = world.memory("d").await;
    let who = subject("a");
    memory.write(&row(&who, 1)).await;
    for kind in [EffectKind::UpdateRow, EffectKind::DeleteRow] {
        let stored = memory.row(who.identity).await.unwrap();
        let effect = of_row(kind, &stored);
        memory.admit(&effect).await;
        note(&memory, &witness(&effect, &who, Some(9))).await;
        let state = match kind {
            EffectKind::DeleteRow => LedgerState::Tombstone,
            _ => LedgerState::Live,
        };
        memory
            .settle(&effect, applied(&LedgerRow { state, ..stored }))
            .await
            .unwrap();
    }
    let hour = std::time::Duration::from_hours(1);
    assert_eq!(memory.store.deleted_within(hour).await.unwrap(), 1);
    let other = row(&subject("b"), 2);
    memory.write(&other).await;
    let stored = memory.row(other.identity).await.unwrap();
    let effect = of_row(EffectKind::DeleteItem, &stored);
    memory.admit(&effect).await;
    let gone = LedgerRow {
        state: LedgerState::Tombstone,
        ..stored
    };
    memory.settle(&effect, applied(&gone)).await.unwrap();
    assert_eq!(memory.store.deleted_within(hour).await.unwrap(), 2);
    let mut connection = world.store.acquire().await.unwrap();
    let history = ledger::history(
        &mut connection,
        memory.id,
        who.identity,
        ledger::HistoryPage::newest(10),
    )
    .await
    .unwrap();
    let told: Vec<_> = history.iter().map(|h| h.kind.name()).collect();
    assert_eq!(told, ["delete_row", "update_row", "create_item"]);
    let (_, item) = new_item(1);
    assert_eq!(
        memory.store.linked(&[item.before.guid]).await.unwrap(),
        [None],
        "a tombstone has no link"
    );
}
