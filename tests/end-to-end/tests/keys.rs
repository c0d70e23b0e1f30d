//! Keys of every kind: one item a row, and no row ever looks deleted because of how its key is written.

use serde_json::{Value as Json, json};
use syncbridge_end_to_end::{World, Writes};

/// Runs a definition and answers what it wrote.
async fn written(world: &World, name: &str, more: &[&str]) -> Writes {
    world.reset_account().await;
    let report = world.run_with(name, more);
    assert_eq!(
        report["outcome"]["state"], "completed",
        "{name} {more:?}: {report:#}"
    );
    world.writes().await
}

/// Name of the definition and of its list.
fn list_of(table: &str, feed: &str) -> String {
    format!("{table}-{}", feed.replace('_', "-"))
}

/// A table `name` with the key columns of `columns` and the rows of `keys`, pushed by both feeds in pages so
/// small that most of them end between two keys that another collation would order otherwise. The key columns
/// are not mapped where `unmapped` is given.
async fn one_item_a_row(world: &World, name: &str, columns: &str, key: &[&str], keys: &str, unmapped: bool) {
    let listed = key.join(", ");
    world
        .sql(&format!(
            "create table {name} ({columns}, label text, changed timestamptz not null default '2026-01-01Z',
                 primary key ({listed}));
             insert into {name} ({listed}) {keys};
             update {name} set label = md5(({listed})::text);"
        ))
        .await;
    let rows = world.count(&format!("select count(*) from {name}")).await;
    assert!(rows > 6, "{name}: {rows} rows are too few for pages of 5");
    for feed in ["full_scan", "watermark"] {
        let list = list_of(name, feed);
        let mut source = json!({"feed": feed});
        if feed == "watermark" {
            source["watermark"] = json!("changed");
        }
        let mut more = json!({"source": source, "limits": {"pageRows": 5}, "onDelete": "propagate"});
        if unmapped {
            more["exclude"] = json!(key);
        }
        world
            .apply(&world.definition(&list, &format!("public.{name}"), more))
            .ok();
        let created = u64::try_from(rows).unwrap();
        assert_eq!(
            written(world, &list, &[]).await,
            Writes {
                creates: created,
                ..Writes::NONE
            },
            "{list}"
        );
        let again: [&[&str]; 3] = [&[], &[], &["--full"]];
        for more in again {
            assert_eq!(written(world, &list, more).await, Writes::NONE, "{list} {more:?}");
        }
        world.assert_equal(&list, rows);
        assert_eq!(world.items(&list).await.len() as u64, created, "{list}");
    }
    // Every key addresses its row: all change, one goes, and that one alone.
    world
        .sql(&format!(
            "update {name} set label = 'changed', changed = '2026-02-01Z';
             delete from {name} where ctid = (select ctid from {name} order by {listed} offset 2 limit 1)"
        ))
        .await;
    for feed in ["full_scan", "watermark"] {
        let list = list_of(name, feed);
        let patches = u64::try_from(rows - 1).unwrap();
        let expected = Writes {
            creates: 0,
            patches,
            deletes: 1,
        };
        assert_eq!(written(world, &list, &["--full"]).await, expected, "{list}");
        world.assert_equal(&list, rows - 1);
    }
}

/// Texts that collations order, fold or ignore in different ways, and that are all different.
const TEXTS: &str = "'a', 'A', 'á', 'Á', 'à', 'ä', 'ae', 'Ae', 'æ', 'z', 'Z', 'ß', 'ss', 'SS', 'a ', 'a  ', ' a', '',
    ' ', 'a-b', 'ab', 'a b', 'a_b', 'aB', 'AB', 'co-op', 'coop', 'Coop', 'résumé', 'resume', 'Resume', 'Ⅳ', 'IV',
    'ﬁ', 'fi', U&'\\00E9', U&'e\\0301', 'ı', 'i', 'I', 'İ', '😀', '日本', 'か', 'カ', '%', '\\', '''', '\"', '1', '01',
    '10', '9', U&'\\00A0', U&'a\\200Bb', 'null', 'NULL'";

#[tokio::test]
async fn a_07_text_keys_under_a_linguistic_collation_give_one_item_a_row() {
    let world = World::new().await;
    let keys = format!("select v from unnest(array[{TEXTS}]) v");
    one_item_a_row(
        &world,
        "icu",
        r#"code text collate "en-x-icu" not null"#,
        &["code"],
        &keys,
        false,
    )
    .await;
    one_item_a_row(
        &world,
        "swedish",
        r#"code varchar(20) collate "sv-x-icu" not null"#,
        &["code"],
        &keys,
        true,
    )
    .await;
}

#[tokio::test]
async fn a_07_padded_keys_give_one_item_a_row_and_blanks_do_not_tell_them_apart() {
    let world = World::new().await;
    let keys = "select v from unnest(array['a', 'A', 'ab   ', 'b', ' b', 'á', 'zzzzz', 'x y', '1', '01']) v";
    one_item_a_row(
        &world,
        "padded",
        r#"code char(5) collate "en-x-icu" not null"#,
        &["code"],
        keys,
        false,
    )
    .await;
    // Wider columns pad more; the value and so the row stay the same.
    world.sql("alter table padded alter code type char(9)").await;
    for feed in ["full_scan", "watermark"] {
        let list = list_of("padded", feed);
        assert_eq!(written(&world, &list, &["--full"]).await.deletes, 0, "{list}");
        world.assert_equal(&list, 9);
    }
}

#[tokio::test]
async fn a_07_composite_keys_give_one_item_a_row() {
    let world = World::new().await;
    // Parts that would run into each other if they were only strung together.
    let keys = "select * from (values ('a', 1, '2026-01-01'::date), ('a', 11, '2026-01-01'), ('a1', 1, '2026-01-01'),
        ('a', 1, '2026-01-02'), ('A', 1, '2026-01-01'), ('a ', 1, '2026-01-01'), ('a|1', 1, '2026-01-01'),
        ('', 1, '2026-01-01'), ('', 11, '2026-01-01'), ('á', -1, '2026-01-01'), ('á', 1, '2026-01-01'),
        ('ä', 0, '2026-01-01')) v";
    let columns = r#"place text collate "de-x-icu" not null, number int not null, day date not null"#;
    one_item_a_row(
        &world,
        "composite",
        columns,
        &["place", "number", "day"],
        keys,
        false,
    )
    .await;
    one_item_a_row(
        &world,
        "hidden",
        columns,
        &["day", "place", "number"],
        "select day, place, number from composite",
        true,
    )
    .await;
}

#[tokio::test]
async fn a_07_uuid_keys_give_one_item_a_row() {
    let world = World::new().await;
    one_item_a_row(
        &world,
        "uuids",
        "code uuid not null",
        &["code"],
        "select (lpad(to_hex(n * 7919), 8, '0') || '-ABCD-4abc-8ABC-0123456789ab')::uuid from generate_series(1, 40) n",
        false,
    )
    .await;
}

#[tokio::test]
async fn a_07_enum_keys_give_one_item_a_row() {
    let world = World::new().await;
    world
        .sql("create type stage as enum ('zero', 'Zero', 'a b', 'late', 'early', 'é', 'last', 'gone')")
        .await;
    one_item_a_row(
        &world,
        "stages",
        "code stage not null",
        &["code"],
        "select unnest(enum_range(null::stage))",
        false,
    )
    .await;
}

#[tokio::test]
async fn a_07_numbers_equal_in_value_are_one_key_however_they_are_written() {
    let world = World::new().await;
    let numbers = "'1.0', '2.50', '100', '1e3', '0.0010', '-0.0', '-7.0', '123456789012345678901234567890.10', \
                   'NaN', 'Infinity', '-Infinity'";
    one_item_a_row(
        &world,
        "numbers",
        "code numeric not null",
        &["code"],
        &format!("select v::numeric from unnest(array[{numbers}]) v"),
        true,
    )
    .await;
    one_item_a_row(
        &world,
        "floats",
        "code float8 not null",
        &["code"],
        &format!("select v::float8 from unnest(array[{numbers}, '1e-300', '0.1', '0.30000000000000004']) v"),
        true,
    )
    .await;
    // 1.0 and 1.00 are one value to PostgreSQL: the same row, the same item, and here not even a change.
    world
        .sql(
            "update numbers set code = (code::text || '0')::numeric where code::text ~ '^-?[0-9]+[.][0-9]+$'",
        )
        .await;
    for feed in ["full_scan", "watermark"] {
        let list = list_of("numbers", feed);
        assert_eq!(written(&world, &list, &["--full"]).await, Writes::NONE, "{list}");
    }
}

#[tokio::test]
async fn a_07_keys_that_are_instants_give_one_item_a_row() {
    let world = World::new().await;
    // Lists hold whole seconds; rows a microsecond apart are two all the same.
    let instants = "select '2026-03-29 00:59:59.999999+00'::timestamptz + n * interval '1 microsecond'
        from generate_series(0, 9) n union all select '2026-10-25 02:30+02' union all select '2026-10-25 02:30+01'";
    one_item_a_row(
        &world,
        "instants",
        "code timestamptz not null",
        &["code"],
        instants,
        false,
    )
    .await;
    one_item_a_row(
        &world,
        "endless",
        "code timestamptz not null",
        &["code"],
        &format!("{instants} union all select 'infinity' union all select '-infinity' union all select '0044-03-15 BC'"),
        true,
    )
    .await;
}

#[tokio::test]
async fn a_07_keys_of_flags_days_and_small_numbers_give_one_item_a_row() {
    let world = World::new().await;
    one_item_a_row(
        &world,
        "flags",
        "flag bool not null, day date not null, small int2 not null",
        &["flag", "day", "small"],
        "select n % 2 = 0, '2026-02-27'::date + n / 4, n - 5 from generate_series(1, 12) n",
        false,
    )
    .await;
}

#[tokio::test]
async fn a_07_a_key_that_no_field_shows_still_gives_one_item_a_row() {
    let world = World::new().await;
    world
        .sql(
            r#"create table t (code text collate "en-x-icu" not null unique, id uuid primary key, label text);
               insert into t select case when n % 2 = 0 then 'Code ' else 'code ' end || n / 2,
                   md5(n::text)::uuid, 'same for all' from generate_series(1, 60) n;"#,
        )
        .await;
    let fields = json!([{"column": "label"}]);
    for (name, key) in [("by-id", Json::Null), ("by-code", json!(["code"]))] {
        let mut source = json!({});
        if !key.is_null() {
            source = json!({"key": key});
        }
        let more =
            json!({"source": source, "fields": fields, "limits": {"pageRows": 7}, "onDelete": "propagate"});
        world.apply(&world.definition(name, "public.t", more)).ok();
        assert_eq!(
            written(&world, name, &[]).await,
            Writes {
                creates: 60,
                ..Writes::NONE
            },
            "{name}"
        );
        let again: [&[&str]; 3] = [&[], &[], &["--full"]];
        for more in again {
            assert_eq!(written(&world, name, more).await, Writes::NONE, "{name} {more:?}");
        }
        world.assert_equal(name, 60);
    }
    // Only the identity tells these rows apart, and it does.
    world.sql("delete from t where code = 'Code 7'").await;
    for name in ["by-id", "by-code"] {
        assert_eq!(
            written(&world, name, &[]).await,
            Writes {
                deletes: 1,
                ..Writes::NONE
            },
            "{name}"
        );
        world.assert_equal(name, 59);
    }
}
