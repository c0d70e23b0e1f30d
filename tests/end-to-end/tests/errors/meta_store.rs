//! A meta-store or master key that cannot be used.

use syncbridge_end_to_end::Ran;

use super::{assert_clear, assert_lists, assert_nothing_written, closed_port, documents, text, world, write};

#[tokio::test]
async fn a_14_a_meta_store_that_cannot_be_used_is_said() {
    let world = world().await;
    let given = write(&world, &text(&documents(&world)));
    let url = world.meta.url();
    let elsewhere = reqwest::Url::parse(&url).unwrap();
    let at = |change: &dyn Fn(&mut reqwest::Url)| {
        let mut url = elsewhere.clone();
        change(&mut url);
        url.to_string()
    };
    let cases = [
        (
            "a wrong password",
            at(&|url| url.set_password(Some("wrong")).unwrap()),
            &["[meta_store.login]"][..],
        ),
        (
            "a closed port",
            at(&|url| url.set_port(Some(closed_port())).unwrap()),
            &["[meta_store.unreachable]"],
        ),
        (
            "no such database",
            at(&|url| url.set_path("/no_such_db")),
            &["no_such_db", "[meta_store.no_database]"],
        ),
        (
            "no URL at all",
            "meta-store".to_owned(),
            &["postgres://", "[meta_store.url]"],
        ),
        (
            "another database's URL",
            "mysql://u:p@h/d".to_owned(),
            &["postgres://", "[meta_store.url]"],
        ),
        // The source is a database without our schema.
        (
            "a schema that is not there",
            world.source.url(),
            &["syncbridge migrate", "[meta_store.no_schema]"],
        ),
    ];
    for (name, url, says) in cases {
        let ran = Ran::of(
            world
                .prepare(&["apply", "-f", &given])
                .env("SYNCBRIDGE_DATABASE_URL", url),
        );
        assert_clear(name, &ran, 1, says);
    }
    let ran = Ran::of(
        world
            .prepare(&["apply", "-f", &given])
            .env_remove("SYNCBRIDGE_DATABASE_URL"),
    );
    assert_clear("no meta-store named", &ran, 1, &["SYNCBRIDGE_DATABASE_URL"]);

    let keyless = |key: Option<&str>| {
        let mut command = world.prepare(&["apply", "-f", &given]);
        command.env_remove("SYNCBRIDGE_MASTER_KEY_FILE");
        if let Some(key) = key {
            command.env("SYNCBRIDGE_MASTER_KEY", key);
        }
        Ran::of(&mut command)
    };
    assert_clear("no master key", &keyless(None), 1, &["SYNCBRIDGE_MASTER_KEY"]);
    assert_clear(
        "a master key that is none",
        &keyless(Some("short")),
        1,
        &["SYNCBRIDGE_MASTER_KEY"],
    );
    let ran = Ran::of(
        world
            .prepare(&["apply", "-f", &given])
            .env("SYNCBRIDGE_MASTER_KEY_FILE", "nowhere.key"),
    );
    assert_clear("a key file that is not there", &ran, 1, &["nowhere.key"]);
    assert_nothing_written("the meta-store", &world).await;

    // With another key, what the right one sealed cannot be opened: said, and nothing is overwritten.
    world.command(&["apply", "-f", &given]).ok();
    let sealed =
        || world.meta_count("select coalesce(sum(hashtext(sealed::text)::bigint), 0)::bigint from secrets");
    let before = sealed().await;
    let other = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY=";
    assert_clear(
        "another master key",
        &keyless(Some(other)),
        1,
        &["master key", "[secrets."],
    );
    assert_eq!(sealed().await, before);
    assert_lists("another master key", &world, 0).await;
}
