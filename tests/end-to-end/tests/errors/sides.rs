//! Mistakes about the database, the tenant, and what the app may do there.

use serde_json::json;
use syncbridge_end_to_end::{CLIENT_ID, Ran};

use super::{
    CONNECTION, DEFINITION, INSTANCE, all_are_refused, apply, assert_clear, assert_lists,
    assert_nothing_written, closed_port, documents, mistake, text, world, write,
};

#[tokio::test]
async fn a_14_what_is_wrong_with_the_database_is_said_and_nothing_is_stored() {
    let world = world().await;
    let spec = |key| (INSTANCE, key);
    let source = |key| (DEFINITION, key);
    all_are_refused(
        &world,
        vec![
            mistake(
                "wrong password",
                spec("/spec/password"),
                json!({"value": "wrong"}),
                &["password", "[source.password]"],
            ),
            mistake(
                "unknown role",
                spec("/spec/user"),
                "nobody_of_this_name",
                &["nobody_of_this_name", "[source.password]"],
            ),
            mistake(
                "closed port",
                spec("/spec/port"),
                closed_port(),
                &["127.0.0.1:", "[source.unreachable]"],
            ),
            mistake(
                "unknown host",
                spec("/spec/host"),
                "nowhere.invalid",
                &["nowhere.invalid", "[source.unreachable]"],
            ),
            mistake(
                "unknown database",
                spec("/spec/dbname"),
                "no_such_db",
                &["no_such_db", "[source.database_missing]"],
            ),
            mistake(
                "TLS that is not offered",
                spec("/spec/tls/mode"),
                "require",
                &["TLS", "[source.tls_refused]"],
            ),
            mistake(
                "unknown table",
                source("/spec/source/table"),
                "public.projcts",
                &["projcts", "`projects`", "[source.table_missing]"],
            ),
            mistake(
                "unknown schema",
                source("/spec/source/table"),
                "publik.projects",
                &["publik", "[source.schema_missing]"],
            ),
            mistake(
                "unknown key column",
                source("/spec/source/key"),
                json!(["idd"]),
                &["`idd`", "id, name", "[manifest.mapping]"],
            ),
            mistake(
                "unknown excluded column",
                source("/spec/exclude"),
                json!(["stagee"]),
                &["`stagee`", "id, name", "[manifest.mapping]"],
            ),
            mistake(
                "unknown field",
                source("/spec/fields"),
                json!([{"column": "nmae"}]),
                &["`nmae`", "id, name", "[manifest.mapping]"],
            ),
            mistake(
                "unknown watermark",
                source("/spec/source"),
                json!({"table": "public.projects", "feed": "watermark", "watermark": "chagned"}),
                &["`chagned`", "id, name", "[manifest.mapping]"],
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_14_what_is_wrong_with_the_tenant_is_said_and_nothing_is_stored() {
    let world = world().await;
    let spec = |key| (CONNECTION, key);
    let nobody = format!("http://127.0.0.1:{}", closed_port());
    all_are_refused(
        &world,
        vec![
            mistake(
                "wrong client secret",
                spec("/spec/clientSecret"),
                json!({"value": "wrong"}),
                &["secret", "[auth.client_secret_wrong"],
            ),
            mistake(
                "unknown client",
                spec("/spec/clientId"),
                "99999999-2222-4333-8444-555555555555",
                &["client id", "[auth.client_unknown"],
            ),
            mistake(
                "unknown tenant",
                spec("/spec/tenant"),
                "fabrikam.example",
                &["tenant", "[auth.tenant_unknown"],
            ),
            mistake(
                "a Graph that nobody answers for",
                spec("/spec/custom"),
                json!({"authority": nobody, "graphRoot": nobody}),
                &["cannot be reached", "[graph.unreachable"],
            ),
            mistake(
                "unknown site",
                (DEFINITION, "/spec/target/site"),
                "contoso.sharepoint.com:/sites/Nowhere",
                &["/sites/Nowhere", "[graph.site_not_found"],
            ),
            mistake(
                "a site that is none",
                (DEFINITION, "/spec/target/site"),
                "our company site",
                &["given.yaml:9:", "[manifest.invalid_value]"],
            ),
        ],
    )
    .await;

    let given = text(&documents(&world));
    let ran = Ran::of(
        world
            .prepare(&["apply", "-f", write(&world, &given).as_str()])
            .env("SYNCBRIDGE_ALLOW_CUSTOM_CLOUD", "false"),
    );
    assert_clear(
        "a custom cloud nobody allowed",
        &ran,
        1,
        &["SYNCBRIDGE_ALLOW_CUSTOM_CLOUD", "[graph.egress_denied"],
    );
    assert_nothing_written("a custom cloud nobody allowed", &world).await;

    world
        .sim_send("PUT", "permissions", &json!({"clients": {CLIENT_ID: "none"}}))
        .await;
    let ran = apply(&world, &given);
    assert_clear(
        "a site without permission",
        &ran,
        1,
        &["403", "Sites.", "[graph.forbidden"],
    );
    assert_nothing_written("a site without permission", &world).await;
}

#[tokio::test]
async fn a_14_a_run_without_the_right_to_make_or_fill_the_list_writes_nothing() {
    let world = world().await;
    apply(&world, &text(&documents(&world))).ok();
    world
        .sim_send("PUT", "permissions", &json!({"clients": {CLIENT_ID: "write"}}))
        .await;
    let ran = world.command(&["run", "projects"]);
    assert_clear(
        "a list that may not be made",
        &ran,
        1,
        &["403", "Sites.", "[graph.forbidden"],
    );
    assert_lists("a list that may not be made", &world, 0).await;

    // The list is there, and may not be changed any more.
    world.sim_send("PUT", "permissions", &json!({})).await;
    assert_eq!(world.run("projects")["outcome"]["state"], "completed");
    world
        .sql("update projects set name = 'changed'; insert into projects values (2, 'two')")
        .await;
    world.reset_account().await;
    let deny = json!({"deny": [{"client": CLIENT_ID, "list": "projects", "access": "write"}]});
    world.sim_send("PUT", "permissions", &deny).await;
    let ran = world.command(&["run", "projects"]);
    assert_eq!(ran.code(), 1, "{}{}", ran.out(), ran.err());
    for part in ["failed", "403", "→", "[graph.forbidden"] {
        assert!(ran.out().contains(part), "{part}: {}{}", ran.out(), ran.err());
    }
    assert_lists("a list that may not be changed", &world, 1).await;
    for table in ["quarantine", "effects"] {
        let rows = world.meta_count(&format!("select count(*) from {table}")).await;
        assert_eq!(rows, 0, "{table}: a right that lacks is no row's fault");
    }

    world.sim_send("PUT", "permissions", &json!({})).await;
    assert_eq!(world.run("projects")["outcome"]["state"], "completed");
    world.assert_equal("projects", 2);
}
