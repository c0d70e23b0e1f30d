//! What a person reads when a document is wrong: the whole message, with file, line and column.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on says why"
)]

use syncbridge_manifest::{MAX_BYTES, ProblemCode, parse, parse_all};

const HEAD: &str = "apiVersion: syncbridge/v1\nkind: SyncDefinition\nmetadata: {name: projects}\nspec:\n";
const MINIMAL: &str = "  database: company\n  connection: contoso\n  source: {table: company.projects}\n  \
                       target: {site: contoso.sharepoint.com:/sites/Company, list: Projects}\n";

fn messages(text: &str) -> Vec<String> {
    match parse("sync.yaml", text) {
        Ok(documents) => panic!("{} documents were accepted", documents.len()),
        Err(problems) => problems.iter().map(ToString::to_string).collect(),
    }
}

/// A valid definition with further lines below `spec`, which begin in line 9.
fn with(lines: &str) -> String {
    format!("{HEAD}{MINIMAL}{lines}")
}

fn instance(password: &str) -> String {
    format!(
        "apiVersion: syncbridge/v1\nkind: Instance\nmetadata: {{name: main}}\nspec:\n  database: company\n  \
         host: db.example.org\n  dbname: company\n  user: sync\n  password: {password}\n"
    )
}

#[track_caller]
fn says(text: &str, expected: &[&str]) {
    let found = messages(text);
    assert_eq!(found, expected, "\n--- found:\n{}\n---", found.join("\n"));
}

#[test]
fn a_minimal_definition_is_accepted_and_each_wrong_line_below_is_the_only_fault() {
    assert_eq!(parse("sync.yaml", &with("")).map(|found| found.len()), Ok(1));
}

#[test]
fn a_14_malformed_yaml_names_line_and_column() {
    let help =
        "check indentation (blanks, no tabs), quotes, and the blank after each colon [manifest.syntax]";
    for (text, place_and_cause) in [
        (
            "a: [1, 2\nb: 3\n",
            "sync.yaml:2:2: this is not valid YAML: illegal placement of ':' indicator",
        ),
        (
            "a: b: c\n",
            "sync.yaml:1:5: this is not valid YAML: mapping values are not allowed in this context",
        ),
        (
            "a:\n\tb: 1\n",
            "sync.yaml:2:2: this is not valid YAML: tabs disallowed within this context (block indentation)",
        ),
        (
            "a: 1\nb: \"open\n",
            "sync.yaml:2:4: this is not valid YAML: unclosed quote",
        ),
        (
            "{\"a\": 1,}}",
            "sync.yaml:1:10: this is not valid YAML: misplaced bracket",
        ),
    ] {
        says(text, &[&format!("{place_and_cause} → {help}")]);
    }
}

#[test]
fn a_14_an_unknown_key_is_refused_with_its_place_and_the_nearest_key() {
    says(
        &with("  feilds:\n    - column: name\n  colour: red\n"),
        &[
            "sync.yaml:9:3: unknown key `feilds` in `spec` → did you mean `fields`? [manifest.unknown_key]",
            "sync.yaml:11:3: unknown key `colour` in `spec` → allowed: database, connection, source, target, \
             direction, twoWay, mode, fields, exclude, onDelete, conflict, onForeignEdit, onForeignRestore, fourEyes, \
             guards, namespace, history, limits, paused [manifest.unknown_key]",
        ],
    );
}

#[test]
fn everything_that_is_wrong_is_said_at_once_in_the_order_of_the_text() {
    let text = format!(
        "{HEAD}  database: Company\n  source:\n    table: projects\n    feed: watermark\n  target:\n    \
         site: contoso\n    list: ''\n    timeZone: Europe/Berln\n  direction: boht\n  onDelete: archive\n  \
         paused: 'no'\n"
    );
    says(
        &text,
        &[
            "sync.yaml:5:3: `spec.connection` is missing → name the Connection to the list's tenant \
             [manifest.missing_key]",
            "sync.yaml:5:13: `Company` is no name for `spec.database` → use 1 to 63 lower-case letters, digits and \
             hyphens, with a letter or digit at both ends [manifest.invalid_value]",
            "sync.yaml:7:12: `spec.source.table` is `projects` → write `schema.table`, such as `public.projects`, \
             or `{schema: …, table: …}` where a name holds a dot; no quotes inside the names \
             [manifest.invalid_value]",
            "sync.yaml:8:5: `spec.source.feed` is `watermark`, and `watermark` names no column → add the column \
             that rises with every change: `watermark: updated_at` [manifest.contradiction]",
            "sync.yaml:10:11: `spec.target.site` is `contoso` → the address of the site \
             (https://contoso.sharepoint.com/sites/Company), host and path (contoso.sharepoint.com:/sites/Company), \
             or Graph's site id (host,guid,guid) [manifest.invalid_value]",
            "sync.yaml:11:11: `spec.target.list` is empty → give it a value, or remove the key \
             [manifest.invalid_value]",
            "sync.yaml:12:15: `Europe/Berln` is no time zone → did you mean `Europe/Berlin`? \
             [manifest.invalid_value]",
            "sync.yaml:13:14: `spec.direction` is `boht` → did you mean `both`? Allowed: push, pull, both \
             [manifest.invalid_value]",
            "sync.yaml:15:11: `spec.paused` is text, not true or false → write `true` or `false`, without quotes \
             [manifest.wrong_type]",
        ],
    );
}

#[test]
fn what_is_said_of_the_way_back_is_held_to_the_direction_and_to_its_bounds() {
    says(
        &with("  twoWay: {inserts: ignore}\n"),
        &[
            "sync.yaml:9:3: `spec.twoWay` stands beside `direction: push` → remove it, or write `direction: both`: it \
             says how the source follows the list [manifest.contradiction]",
        ],
    );
    says(
        &with(
            "  direction: both\n  mode: archive_only\n  twoWay:\n    inserts: yes\n    fullVisibility: attest\n    \
             deleteDelay: soon\n    lossy: allowed\n",
        ),
        &[
            "sync.yaml:10:3: `spec.mode` is `archive_only`, and `spec.direction` is `both` → write `direction: push`, \
             or `mode: sync`: an archive is written once and takes nothing back [manifest.contradiction]",
            "sync.yaml:12:14: `spec.twoWay.inserts` is `yes` → allowed: accept, ignore [manifest.invalid_value]",
            "sync.yaml:13:21: `spec.twoWay.fullVisibility` is `attest` → did you mean `attested`? Allowed: attested, \
             unknown [manifest.invalid_value]",
            "sync.yaml:14:18: `spec.twoWay.deleteDelay` is `soon` → a whole number with its unit, from 1s to 366d: \
             90s, 30m, 24h or 7d; or `off` [manifest.invalid_value]",
        ],
    );
    says(
        &with("  direction: both\n  twoWay: {pingPong: {alternations: 1, within: off}, lossy: allo}\n"),
        &[
            "sync.yaml:10:37: `spec.twoWay.pingPong.alternations` is 1 → a whole number from 2 to 1000 \
             [manifest.invalid_value]",
            "sync.yaml:10:48: `spec.twoWay.pingPong.within` is `off` → a whole number with its unit, such as 6h: this \
             guard is never off [manifest.invalid_value]",
            "sync.yaml:10:61: `spec.twoWay.lossy` is `allo` → did you mean `allow`? Allowed: allow, refuse \
             [manifest.invalid_value]",
        ],
    );
    says(
        &with("  direction: both\n  fields: [{column: due, direction: back, lossy: true}]\n"),
        &[
            "sync.yaml:10:37: `spec.fields[0].direction` is `back` → allowed: push, pull, both [manifest.invalid_value]",
            "sync.yaml:10:50: `spec.fields[0].lossy` is true or false, not text → put it in quotes \
             [manifest.wrong_type]",
        ],
    );
}

#[test]
fn what_the_list_itself_knows_is_taken_as_it_is_and_causes_no_writes() {
    says(
        &with(
            "  direction: both\n  fields:\n    - {column: a, system: Modified, passive: false, direction: push}\n    - \
             {column: b, system: Editor, as: who, passive: true, direction: pull}\n    - {column: c, system: Version}\n",
        ),
        &[
            "sync.yaml:11:37: `spec.fields[0].passive` is false, and a system field would cause writes → remove it: the \
             list writes the field with every write of ours, so that one would follow the other for ever \
             [manifest.contradiction]",
            "sync.yaml:11:53: `spec.fields[0].direction` leads to the list, which alone writes a system field → write \
             `direction: pull`, or remove it [manifest.contradiction]",
            "sync.yaml:12:35: `spec.fields[1].as` stands beside `system` → remove it: what the list itself knows of an \
             item is only taken as it is [manifest.contradiction]",
            "sync.yaml:13:27: `spec.fields[2].system` is `Version` → allowed: ID, Created, Modified, Author, Editor \
             [manifest.invalid_value]",
        ],
    );
}

#[test]
fn a_key_that_stands_twice_is_refused_at_the_second_place() {
    says(
        &with("  paused: true\n  paused: false\n"),
        &[
            "sync.yaml:10:3: the key `paused` stands here for the second time → it stands first in line 9; keep one \
           of them [manifest.duplicate_key]",
        ],
    );
}

#[test]
fn contradictions_between_keys_are_refused() {
    let cases: [(&str, &str, &str); 8] = [
        (
            "  exclude: [a]\n  fields: [{column: a}]\n",
            "9:3: `spec.exclude` stands beside `spec.fields` → keep one: `fields` names all columns that travel, \
             `exclude` those that do not",
            "manifest.contradiction",
        ),
        (
            "  exclude: [a, b, a]\n",
            "9:19: `a` stands twice in `spec.exclude` → keep it once",
            "manifest.invalid_value",
        ),
        (
            "  fields: [{column: a}, {column: a}]\n",
            "9:25: the column `a` stands twice → keep it once",
            "manifest.invalid_value",
        ),
        (
            "  fields: [{column: a, as: Name}, {column: b, as: NAME}]\n",
            "9:35: the display name `NAME` stands twice → give each list column its own",
            "manifest.invalid_value",
        ),
        (
            "  fields: [{column: a, title: true}, {column: b, title: true}]\n",
            "9:38: the column `b` is a second title → an item has one title, and `a` is it already",
            "manifest.contradiction",
        ),
        (
            "  fields: [{column: a, title: true, name: Code}]\n",
            "9:37: `spec.fields[0].name` stands beside `title: true` → remove one: the internal name of the title \
             column is always `Title`",
            "manifest.contradiction",
        ),
        (
            "  fields: [{column: a, type: {kind: date, decimals: 2}}]\n",
            "9:43: `spec.fields[0].type.decimals` is an option of `number`, not of `date` → remove it, or change \
             `kind`",
            "manifest.contradiction",
        ),
        (
            "  fields: [{column: a, name: SyncBridgeKey}]\n",
            "9:30: `SyncBridgeKey` is a name this product keeps for itself → choose another; for the title column \
             write `title: true`",
            "manifest.invalid_value",
        ),
    ];
    for (lines, expected, code) in cases {
        says(&with(lines), &[&format!("sync.yaml:{expected} [{code}]")]);
    }
}

#[test]
fn a_value_of_the_wrong_type_or_range_is_refused() {
    let cases: [(&str, &str, &str); 6] = [
        (
            "  namespace: 2024\n",
            "9:14: `spec.namespace` is a whole number, not text → put it in quotes",
            "manifest.wrong_type",
        ),
        (
            "  namespace:\n",
            "9:12: `spec.namespace` is nothing, not text → give it a value, or remove the key",
            "manifest.wrong_type",
        ),
        (
            "  limits: {batchWrites: 21}\n",
            "9:25: `spec.limits.batchWrites` is 21 → a whole number from 1 to 20",
            "manifest.invalid_value",
        ),
        (
            "  guards: {deletes: {share: 5}}\n",
            "9:29: `spec.guards.deletes.share` is 5 → a share from 0 to 1, such as 0.05",
            "manifest.invalid_value",
        ),
        (
            "  exclude: []\n",
            "9:12: `spec.exclude` has 0 items → from 1 to 1600; remove the key for none",
            "manifest.invalid_value",
        ),
        (
            "  conflict: source-wins\n",
            "9:13: `spec.conflict` is `source-wins` → did you mean `source_wins`? Allowed: source_wins, \
             target_wins, latest_wins, manual",
            "manifest.invalid_value",
        ),
    ];
    for (lines, expected, code) in cases {
        says(&with(lines), &[&format!("sync.yaml:{expected} [{code}]")]);
    }
}

#[test]
fn guards_are_refused_at_the_place_that_is_wrong() {
    let window = |text: &str| format!("  guards: {{freeze: [{{{text}}}]}}\n");
    for (lines, message) in [
        (
            "  guards: {sentinels: []}\n".to_owned(),
            "9:23: `spec.guards.sentinels` has 0 items → from 1 to 100; remove the key for none",
        ),
        (
            "  guards:\n    sentinels:\n      - [DE, 2024]\n      - [FR]\n".to_owned(),
            "12:9: `spec.guards.sentinels[1]` has 1 values, and the first has 2 → one value for each key column, in \
             the order of the key: `[DE, 2024]`",
        ),
        (
            "  guards: {sentinels: [7, [7]]}\n".to_owned(),
            "9:27: `spec.guards.sentinels[1]` stands there before → keep it once",
        ),
        (
            "  guards: {sentinels: [1.5]}\n".to_owned(),
            "9:24: `spec.guards.sentinels[0]` is a number, not a key value → a key value as PostgreSQL prints it: a \
             text, a whole number, `true` or `false`; put any other in quotes",
        ),
        (
            "  guards: {sentinel: [1]}\n".to_owned(),
            "9:12: unknown key `sentinel` in `spec.guards` → did you mean `sentinels`?",
        ),
        (
            window("from: '18:00', timeZone: UTC"),
            "9:21: `spec.guards.freeze[0].to` is missing → when it ends: `to: \"06:00\"` is on the next day where \
             that is not after `from`",
        ),
        (
            window("from: '18:00', to: '24:00', timeZone: UTC"),
            "9:41: `spec.guards.freeze[0].to` is `24:00` → hours and minutes, from 00:00 to 23:59",
        ),
        (
            window("from: '6:00', to: '07:00', timeZone: UTC"),
            "9:28: `spec.guards.freeze[0].from` is `6:00` → hours and minutes, from 00:00 to 23:59",
        ),
        (
            window("days: [mon, monday], from: '06:00', to: '07:00', timeZone: UTC"),
            "9:34: `spec.guards.freeze[0].days[1]` is `monday` → allowed: mon, tue, wed, thu, fri, sat, sun",
        ),
        (
            window("days: [mon, mon], from: '06:00', to: '07:00', timeZone: UTC"),
            "9:34: `spec.guards.freeze[0].days[1]` stands there before → keep it once",
        ),
        (
            window("from: '06:00', to: '07:00', timeZone: Europe/Berln"),
            "9:60: `Europe/Berln` is no time zone → did you mean `Europe/Berlin`?",
        ),
        (
            window("from: '06:00', to: '06:00', timeZone: UTC"),
            "9:20: the windows of `spec.guards.freeze` leave no moment of the week free → shorten one; `onDelete: \
             keep` is the way to delete nothing at all",
        ),
        (
            "  onForeignRestore: insert\n".to_owned(),
            "9:21: `spec.onForeignRestore` is `insert` → allowed: report, delete, keep",
        ),
    ] {
        let found = messages(&with(&lines));
        assert_eq!(found.len(), 1, "{found:#?}");
        assert!(
            found[0].starts_with(&format!("sync.yaml:{message} [manifest.")),
            "{found:#?}"
        );
    }
    let keyed = MINIMAL.replace("company.projects}", "company.projects, key: [a, b]}");
    let text = format!("{HEAD}{keyed}  guards: {{sentinels: [[1]]}}\n");
    says(
        &text,
        &[
            "sync.yaml:9:24: `spec.guards.sentinels[0]` has 1 values, and the key has 2 → one value for each key \
           column, in the order of the key: `[DE, 2024]` [manifest.contradiction]",
        ],
    );
}

#[test]
fn an_unknown_kind_or_version_is_refused() {
    says(
        "apiVersion: syncbridge/v2\nkind: Sync\nmetadata: {name: a}\nspec: {}\n",
        &[
            "sync.yaml:1:13: `apiVersion` is `syncbridge/v2` → this version reads `syncbridge/v1` \
             [manifest.unknown_kind]",
            "sync.yaml:2:7: `kind` is `Sync` → allowed: Application, Database, Instance, Connection, \
             SyncDefinition [manifest.invalid_value]",
        ],
    );
}

#[test]
fn a_secret_is_named_by_exactly_one_allowed_key() {
    let one = "write exactly one of `{env: SYNCBRIDGE_SECRET_…}`, `{file: NAME}` or `{value: …}`";
    let cases = [
        ("{}", format!("9:13: `spec.password` has 0 of the keys that name a secret → {one} [manifest.contradiction]")),
        (
            "{env: SYNCBRIDGE_SECRET_DB, file: db}",
            format!("9:13: `spec.password` has 2 of the keys that name a secret → {one} [manifest.contradiction]"),
        ),
        (
            "{env: HOME}",
            "9:19: `spec.password.env` names a variable that documents may not read → name one that begins with \
             SYNCBRIDGE_SECRET_, then capital letters, digits and `_`; a secret itself goes into `value` \
             [manifest.invalid_value]"
                .to_owned(),
        ),
        (
            "{file: ../shadow}",
            "9:20: `spec.password.file` is not a bare file name → name a file of the server's folder for secrets: \
             letters, digits, `.`, `_` and `-`, no folders [manifest.invalid_value]"
                .to_owned(),
        ),
    ];
    for (password, expected) in cases {
        says(&instance(password), &[&format!("sync.yaml:{expected}")]);
    }
}

#[test]
fn a_12_no_message_repeats_a_secret_however_it_was_written() {
    for password in [
        "hunter2",
        "{hunter2}",
        "{hunter2: x}",
        "{env: hunter2}",
        "{file: hunter2/x}",
        "{value: !hunter2 x}",
        "{value: *hunter2}",
        "{value: &hunter2 x}",
        "{value: [hunter2]}",
        "{value: {hunter2: 1}}",
        "{value: \"hunter2\\u0001\"}",
        "{value: hunter2, value: hunter2}",
        "{value: hunter2, env: hunter2}",
        "{value: hunter2",
        "{value: \"hunter2}",
        "{value: hunter2: x}",
        "{stored: hunter2}",
    ] {
        let all = messages(&instance(password)).join("\n");
        assert!(!all.contains("hunter2"), "{password}: {all}");
    }
}

#[test]
fn a_connection_sends_its_secret_only_to_an_address_that_can_be_trusted() {
    let connection = |custom: &str| {
        format!(
            "apiVersion: syncbridge/v1\nkind: Connection\nmetadata: {{name: c}}\nspec:\n  tenant: contoso\n  \
             clientId: sim-client\n  clientSecret: {{file: graph}}\n  custom: {{authority: '{custom}', \
             graphRoot: 'https://graph.example.org'}}\n"
        )
    };
    for good in [
        "https://login.example.org",
        "http://127.0.0.1:8080",
        "http://localhost:1",
        "http://[::1]:80/",
    ] {
        assert!(parse("c.yaml", &connection(good)).is_ok(), "{good}");
    }
    for bad in [
        "http://login.example.org",
        "http://localhost.example.org",
        "http://127.0.0.1.example.org",
        "https://",
        "https:///x",
        "https://me@example.org",
        "https://example.org/?x",
        "ftp://localhost",
        "login.example.org",
    ] {
        let found = messages(&connection(bad));
        assert!(
            found.len() == 1 && found[0].contains("[manifest.invalid_value]"),
            "{bad}: {found:?}"
        );
    }
}

#[test]
fn a_document_described_twice_is_refused_across_files() {
    let one = "apiVersion: syncbridge/v1\nkind: Application\nmetadata: {name: shop}\n";
    let problems = parse_all([("a.yaml", one), ("b.yaml", one)]).unwrap_err();
    let found: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        found,
        [
            "b.yaml:1:1: Application `shop` is described for the second time → it is described first at a.yaml:1:1; \
          keep one of them [manifest.duplicate_document]"
        ]
    );
}

#[test]
fn the_problems_of_every_document_of_a_file_are_found_at_their_lines() {
    let text = "apiVersion: syncbridge/v1\nkind: Application\nmetadata: {name: A}\n---\n---\napiVersion: syncbridge/v1\n\
                kind: Application\nmetadata: {name: B}\n";
    let places: Vec<String> = messages(text)
        .iter()
        .map(|m| m.split(": ").next().unwrap().to_owned())
        .collect();
    assert_eq!(places, ["sync.yaml:3:18", "sync.yaml:8:18"]);
}

#[test]
fn a_text_from_windows_is_read_and_its_problems_stand_at_the_right_places() {
    let text = format!("{}{}", '\u{feff}', with("  paused: false\n")).replace('\n', "\r\n");
    assert_eq!(parse("sync.yaml", &text).map(|found| found.len()), Ok(1));
    let wrong = text.replace("paused", "pauset");
    says(
        &wrong,
        &["sync.yaml:9:3: unknown key `pauset` in `spec` → did you mean `paused`? [manifest.unknown_key]"],
    );
}

#[test]
fn a_text_without_documents_is_no_error() {
    for text in ["", "\n", "# nothing yet\n", "---\n---\n", "null"] {
        assert_eq!(parse("empty.yaml", text), Ok(Vec::new()), "{text:?}");
    }
}

#[test]
fn a_bomb_is_refused_before_it_grows() {
    let laughs = "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\n".to_owned();
    let deep = "[".repeat(10_000);
    let nested = (0..200)
        .map(|depth| format!("{}a:\n", " ".repeat(depth)))
        .collect::<String>();
    let many = "- a\n".repeat(200_000);
    let documents = "---\na: 1\n".repeat(2_000);
    let large = format!("a: '{}'", "x".repeat(MAX_BYTES));
    for (text, code) in [
        (laughs, ProblemCode::YamlFeature),
        (deep, ProblemCode::TooLarge),
        (nested, ProblemCode::TooLarge),
        (many, ProblemCode::TooLarge),
        (documents, ProblemCode::TooLarge),
        (large, ProblemCode::TooLarge),
    ] {
        let problems = parse("bomb.yaml", &text).unwrap_err();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert_eq!(problems[0].code, code, "{}", problems[0]);
    }
}

#[test]
fn at_most_a_hundred_problems_of_a_text_are_kept() {
    let lines: String = (0..500).map(|n| format!("  wrong{n}: 1\n")).collect();
    assert_eq!(messages(&with(&lines)).len(), 100);
}

#[test]
fn every_code_has_its_section_in_the_documentation() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/errors/manifest.md");
    let page = std::fs::read_to_string(page).unwrap();
    for code in ProblemCode::ALL {
        assert!(
            page.contains(&format!("## `{code}`")),
            "docs/errors/manifest.md has no section `{code}`"
        );
    }
}

#[test]
fn what_is_asked_of_columns_and_lists_has_to_make_sense() {
    let text = format!(
        "{HEAD}  database: company\n  connection: contoso\n  source: {{table: public.t}}\n  \
         target: {{site: contoso.sharepoint.com, list: T, identityColumn: Key}}\n  fields:\n    \
         - {{column: a, title: true, index: true}}\n    - {{column: b, type: multiline, index: true}}\n    \
         - {{column: c, newChoices: sometimes}}\n"
    );
    let messages = messages(&text);
    for part in [
        "`spec.target.identityColumn` is for lists of your own",
        "`spec.fields[0].index` stands beside `title: true`",
        "`spec.fields[1].index` stands beside `type: multiline`",
        "`spec.fields[2].newChoices`",
    ] {
        assert!(
            messages.iter().any(|message| message.contains(part)),
            "{part}: {messages:#?}"
        );
    }
}
