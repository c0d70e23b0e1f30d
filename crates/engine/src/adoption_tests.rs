use std::num::NonZeroU64;

use syncbridge_domain::facet::Facet;
use syncbridge_domain::identity::{KeyColumn, encode_key};
use syncbridge_domain::mapping::FieldMapping;
use syncbridge_domain::pg_type::PgType;
use syncbridge_domain::policy::Direction;
use syncbridge_domain::receipt::ItemId;
use syncbridge_domain::version::Version;

use super::*;

fn hash(number: u64) -> CellHash {
    NonZeroU64::new(number)
}

fn mapped(passive: bool) -> FieldMapping {
    FieldMapping {
        column: "c".into(),
        pg_type: PgType::Text,
        nullable: true,
        target: "C".into(),
        display_name: "C".into(),
        facet: Facet::Text { max_length: 255 },
        direction: Direction::Push,
        passive,
        conflict: None,
        on_foreign_edit: None,
    }
}

fn row(fields: &[(u64, u64)]) -> RowNote {
    let column = KeyColumn {
        name: "id".into(),
        pg_type: PgType::Int4,
    };
    RowNote {
        key: encode_key(&[column], &[Some("1")]).unwrap(),
        digest: RowDigest([9; 16]),
        fields: notes(fields),
    }
}

fn item(fields: &[(u64, u64)]) -> ItemNote {
    ItemNote {
        item: ItemId("1".into()),
        version: Version {
            guid: uuid::Uuid::from_u128(1),
            counter: 5,
        },
        fields: notes(fields),
    }
}

fn notes(fields: &[(u64, u64)]) -> Vec<FieldNote> {
    fields
        .iter()
        .map(|(raw, canonical)| FieldNote {
            raw: hash(*raw),
            canonical: hash(*canonical),
        })
        .collect()
}

#[test]
fn equal_fields_are_agreed_on_each_with_its_own_side_and_the_digest_makes_the_row_unchanged() {
    let joined = join_fields(
        &[mapped(false), mapped(false)],
        Agreed::unknown(2),
        &row(&[(1, 7), (2, 8)]),
        &item(&[(3, 7), (4, 8)]),
    );
    assert_eq!(joined.agreed.digest, RowDigest([9; 16]));
    assert_eq!(joined.agreed.fields, [(hash(1), hash(3)), (hash(2), hash(4))]);
}

#[test]
fn a_field_that_differs_stays_unknown_and_forces_a_look() {
    let joined = join_fields(
        &[mapped(false), mapped(false)],
        Agreed::unknown(2),
        &row(&[(1, 7), (2, 8)]),
        &item(&[(3, 7), (4, 9)]),
    );
    assert_eq!(joined.agreed.digest, RowDigest::UNKNOWN);
    assert_eq!(joined.agreed.fields, [(hash(1), hash(3)), (None, None)]);
}

#[test]
fn what_was_known_is_never_replaced_by_what_is_shown_now() {
    let mut before = Agreed::unknown(2);
    before.fields[0] = (hash(1), hash(3));
    // The source changed the first field since, and a person edited it in the list: both must still show.
    let joined = join_fields(
        &[mapped(false), mapped(false)],
        before,
        &row(&[(11, 7), (2, 8)]),
        &item(&[(33, 7), (4, 8)]),
    );
    assert_eq!(joined.agreed.fields, [(hash(1), hash(3)), (hash(2), hash(4))]);
    assert_eq!(joined.agreed.digest, RowDigest::UNKNOWN);
    assert!(joined.moved);
}

#[test]
fn a_passive_field_that_differs_keeps_nobody_from_agreeing() {
    let joined = join_fields(
        &[mapped(false), mapped(true)],
        Agreed::unknown(2),
        &row(&[(1, 7), (2, 8)]),
        &item(&[(3, 7), (4, 9)]),
    );
    assert_eq!(joined.agreed.digest, RowDigest([9; 16]));
    assert_eq!(joined.agreed.fields[1], (None, None));
}
