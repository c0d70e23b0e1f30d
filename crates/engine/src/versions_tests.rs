use serde_json::json;
use syncbridge_domain::mapping::TitleRule;
use syncbridge_domain::pg_type::PgType;
use syncbridge_domain::policy::Direction;
use syncbridge_domain::version::Version;

use super::*;

const OURS: Option<bool> = Some(true);
const THEIRS: Option<bool> = Some(false);

fn mapping() -> Mapping {
    let field = |column: &str, pg_type, facet| FieldMapping {
        column: column.to_lowercase(),
        pg_type,
        nullable: true,
        target: column.to_owned(),
        display_name: column.to_owned(),
        facet,
        direction: Direction::Both,
        passive: false,
        conflict: None,
        on_foreign_edit: None,
    };
    Mapping {
        key: Vec::new(),
        fields: vec![
            field("Note", PgType::Text, Facet::Text { max_length: 255 }),
            field("Seen", PgType::TimestampTz, Facet::DateTime),
        ],
        title: TitleRule::Key,
        time_zone: "UTC".parse().expect("a zone"),
    }
}

fn history(counter: u64, label: u64, versions: &[(u64, &str, Option<bool>)]) -> ItemHistory {
    ItemHistory {
        now: Version {
            guid: uuid::Uuid::from_u128(1),
            counter,
        },
        label,
        versions: versions
            .iter()
            .map(|(label, note, by_us)| ItemVersion {
                label: *label,
                fields: Fields::from([("Note".to_owned(), json!(note))]),
                complete: true,
                by_us: *by_us,
            })
            .collect(),
    }
}

/// What a history says of `ours` having been sent where version 5 showed `before`; the counter of what it left.
fn patched(history: &ItemHistory, alone: bool) -> Result<u64, Past> {
    let hash_key = HashKey::new(1, &[7; 32]);
    let agreed = Agreed {
        fields: vec![
            (None, target_hash(&hash_key, &json!("before"))),
            (None, target_hash(&hash_key, &serde_json::Value::Null)),
        ],
        ..Agreed::unknown(2)
    };
    told(history, alone, &json!({"Note": "ours"}), |seen| {
        seen.of_patch(5, Some(&agreed))
    })
}

fn told(
    history: &ItemHistory,
    alone: bool,
    sent: &serde_json::Value,
    ask: impl FnOnce(&Seen<'_>) -> Past,
) -> Result<u64, Past> {
    let seen = Seen {
        mapping: &mapping(),
        hash_key: &HashKey::new(1, &[7; 32]),
        sent: &sent.as_object().expect("fields").clone().into_iter().collect(),
        id: &ItemId("3".into()),
        history,
        alone,
    };
    match ask(&seen) {
        Past::Ours(item) => Ok(item.version.counter),
        other => Err(other),
    }
}

#[test]
fn the_version_that_brought_what_was_sent_is_ours_whoever_wrote_later() {
    let told = history(
        7,
        7,
        &[(7, "theirs", THEIRS), (6, "ours", OURS), (5, "before", THEIRS)],
    );
    assert_eq!(patched(&told, true), Ok(6));
    assert_eq!(patched(&told, false), Ok(6));
    let unsigned = history(
        7,
        7,
        &[(7, "theirs", None), (6, "ours", None), (5, "before", None)],
    );
    assert_eq!(patched(&unsigned, true), Ok(6));
}

#[test]
fn what_the_list_stored_in_another_form_is_ours_by_its_place_unless_another_write_of_ours_may_be_there() {
    let told = history(
        7,
        7,
        &[(7, "theirs", THEIRS), (6, "OURS", OURS), (5, "before", THEIRS)],
    );
    assert_eq!(patched(&told, true), Ok(6));
    assert_eq!(patched(&told, false), Err(Past::Never));
}

#[test]
fn a_person_who_typed_the_same_is_not_us() {
    let told = history(
        8,
        8,
        &[
            (8, "theirs", THEIRS),
            (7, "ours", THEIRS),
            (6, "x", THEIRS),
            (5, "before", OURS),
        ],
    );
    assert_eq!(patched(&told, true), Err(Past::Never));
}

#[test]
fn a_history_that_does_not_reach_back_proves_nothing_and_one_that_does_proves_that_nothing_happened() {
    let whole = history(
        7,
        7,
        &[(7, "theirs", THEIRS), (6, "x", THEIRS), (5, "before", OURS)],
    );
    assert_eq!(patched(&whole, true), Err(Past::Never));
    let trimmed = history(7, 7, &[(7, "theirs", THEIRS), (6, "x", THEIRS)]);
    assert_eq!(patched(&trimmed, true), Err(Past::Untold));
    let off = history(7, 1, &[(1, "theirs", THEIRS)]);
    assert_eq!(patched(&off, true), Err(Past::Untold));
}

#[test]
fn a_counter_that_moved_by_itself_does_not_make_an_older_write_of_ours_this_one() {
    // The counter moved twice without a version: version 4 is an older write of ours with the same value.
    let told = history(
        8,
        6,
        &[
            (6, "theirs", THEIRS),
            (5, "before", THEIRS),
            (4, "ours", OURS),
            (3, "x", THEIRS),
        ],
    );
    assert_eq!(patched(&told, true), Err(Past::Untold));
    let applied = history(
        8,
        7,
        &[(7, "theirs", THEIRS), (6, "ours", OURS), (5, "before", THEIRS)],
    );
    assert_eq!(patched(&applied, true), Ok(7));
}

#[test]
fn instants_alone_prove_nothing_because_versions_shift_them() {
    let told_ = history(7, 7, &[(7, "x", THEIRS), (6, "x", THEIRS), (5, "x", OURS)]);
    let sent = json!({"Seen": "2026-01-01T00:00:00Z"});
    let asked = told(&told_, true, &sent, |seen| seen.of_patch(5, None));
    assert_eq!(asked, Err(Past::Untold));
}

#[test]
fn an_item_is_ours_by_its_first_version() {
    let create = |history: &ItemHistory, alone| {
        told(history, alone, &json!({"Note": "ours"}), |seen| seen.of_create())
    };
    let made = history(2, 2, &[(2, "theirs", THEIRS), (1, "ours", OURS)]);
    assert_eq!((create(&made, true), create(&made, false)), (Ok(1), Ok(1)));
    let altered = history(2, 2, &[(2, "theirs", THEIRS), (1, "OURS", OURS)]);
    assert_eq!(create(&altered, true), Ok(1));
    assert_eq!(
        create(&altered, false),
        Err(Past::Untold),
        "another create of ours made it"
    );
    let foreign = history(2, 2, &[(2, "theirs", THEIRS), (1, "ours", THEIRS)]);
    assert_eq!(create(&foreign, true), Err(Past::Never));
    let off = history(2, 1, &[(1, "theirs", OURS)]);
    assert_eq!(create(&off, true), Err(Past::Untold));
}
