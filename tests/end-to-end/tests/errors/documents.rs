//! Mistakes in documents, in where secrets are, and in names.

use serde_json::json;

use super::{
    CONNECTION, all_are_refused, apply, assert_clear, assert_lists, assert_nothing_written, documents,
    mistake, text, world,
};

#[tokio::test]
async fn a_14_a_document_that_is_wrong_is_refused_at_its_line_and_column() {
    let world = world().await;
    let good =
        "apiVersion: syncbridge/v1\nkind: Application\nmetadata:\n  name: company\nspec:\n  owner: Sales\n";
    let with = |from: &str, to: &str| {
        assert!(good.contains(from));
        good.replace(from, to)
    };
    let cases = [
        (
            "a tab",
            with("  owner", "\towner"),
            &[":6:2:", "[manifest.syntax]"][..],
        ),
        (
            "an open quote",
            with("Sales", "'Sales"),
            &[":6:", "[manifest.syntax]"],
        ),
        (
            "an unknown key",
            with("owner", "ownr"),
            &[":6:3:", "`ownr`", "`owner`", "[manifest.unknown_key]"],
        ),
        (
            "an unknown key above",
            with("metadata", "metdata"),
            &[":3:1:", "`metadata`", "[manifest.unknown_key]"],
        ),
        (
            "a wrong kind",
            with("Application", "Aplication"),
            &[":2:7:", "`Application`", "[manifest.invalid_value]"],
        ),
        (
            "a newer version",
            with("/v1", "/v9"),
            &[":1:13:", "syncbridge/v1", "[manifest.unknown_kind]"],
        ),
        (
            "a name that is none",
            with("company", "Our Company"),
            &[":4:9:", "[manifest.invalid_value]"],
        ),
        (
            "a wrong type",
            with("Sales", "[a, b]"),
            &[":6:10:", "[manifest.wrong_type]"],
        ),
        (
            "twice the same",
            format!("{good}---\n{good}"),
            &[":8:1:", ":1:1;", "[manifest.duplicate_document]"],
        ),
        (
            "a missing reference",
            with("Application", "Database").replace("owner: Sales", "application: nobody"),
            &["Application `nobody`", "[manifest.unknown_reference]"],
        ),
        (
            "a missing key",
            with("Application", "Database").replace("owner: Sales", "description: x"),
            &["`spec.application`", "[manifest.missing_key]"],
        ),
    ];
    for (name, text, says) in cases {
        let ran = apply(&world, &text);
        assert_clear(name, &ran, 1, says);
        assert!(ran.err().contains("given.yaml:"), "{name}: {}", ran.err());
        assert_nothing_written(name, &world).await;
    }
    let missing = world.command(&["apply", "-f", "nowhere.yaml"]);
    assert_clear("a file that is not there", &missing, 1, &["nowhere.yaml"]);
    let empty = apply(&world, "# nothing\n");
    assert_clear("a file without documents", &empty, 1, &["no document"]);
    assert_nothing_written("files", &world).await;
}

#[tokio::test]
async fn a_14_secrets_that_cannot_be_had_are_named_and_nothing_is_stored() {
    let world = world().await;
    let secret = (CONNECTION, "/spec/clientSecret");
    all_are_refused(
        &world,
        vec![
            mistake(
                "a variable that is not set",
                secret,
                json!({"env": "SYNCBRIDGE_SECRET_NOWHERE"}),
                &[
                    "SYNCBRIDGE_SECRET_NOWHERE",
                    "`contoso`",
                    "[manifest.secret_missing]",
                ],
            ),
            mistake(
                "a variable of others",
                secret,
                json!({"env": "PATH"}),
                &["SYNCBRIDGE_SECRET_", "[manifest.invalid_value]"],
            ),
            mistake(
                "a file without folder",
                secret,
                json!({"file": "contoso"}),
                &["SYNCBRIDGE_SECRETS_FOLDER", "[manifest.secret_missing]"],
            ),
            mistake(
                "nothing stored",
                secret,
                json!({"stored": true}),
                &["`contoso`", "[manifest.secret_missing]"],
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_14_names_that_nothing_has_are_answered_with_those_there_are() {
    let world = world().await;
    apply(&world, &text(&documents(&world))).ok();
    for (arguments, code, says) in [
        (
            &["run", "project"][..],
            1,
            &["`project`", "projects", "[manifest.unknown]"][..],
        ),
        (&["verify", "project"], 1, &["projects", "[manifest.unknown]"]),
        (&["plan", "project"], 1, &["projects", "[manifest.unknown]"]),
        (
            &["get", "definition", "project"],
            1,
            &["projects", "[manifest.unknown]"],
        ),
        (&["get", "definitoin"], 1, &["definition", "`definitoin`"]),
        (&["list", "connexions"], 1, &["connection"]),
        (&["runs", "project"], 1, &["projects", "[manifest.unknown]"]),
        (
            &["quarantine", "list", "project"],
            1,
            &["projects", "[manifest.unknown]"],
        ),
        (
            &["ledger", "show", "project", "1"],
            1,
            &["projects", "[manifest.unknown]"],
        ),
        (
            &["ledger", "show", "projects", "1", "2"],
            1,
            &["id", "[ledger.key]"],
        ),
        (&["ledger", "show", "projects", "one"], 1, &["id", "[ledger.key]"]),
        (
            &["delete", "definition", "project"],
            1,
            &["projects", "[manifest.unknown]"],
        ),
        (
            &["delete", "connection", "contoso"],
            1,
            &["`projects`", "[configuration.in_use]"],
        ),
        (
            &["verify", "projects"],
            1,
            &["syncbridge run projects", "[run.no_list]"],
        ),
    ] {
        let ran = world.command(arguments);
        assert_clear(&arguments.join(" "), &ran, code, says);
    }
    for usage in [
        &["rum"][..],
        &["run"],
        &["run", "projects", "--fulll"],
        &["apply"],
        &["runs", "--limit", "0"],
    ] {
        let ran = world.command(usage);
        assert_eq!(ran.code(), 2, "{usage:?}: {}", ran.err());
    }
    assert_lists("names", &world, 0).await;
}
