//! The four ways a connection signs in, and what a person reads when there is none, or more than one.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on says why"
)]

use syncbridge_manifest::{Document, Proof, SecretRef, SignIn, Spec, parse};

/// A connection with further lines below `spec`, which begin in line 6.
fn connection(lines: &str) -> String {
    format!(
        "apiVersion: syncbridge/v1\nkind: Connection\nmetadata: {{name: contoso}}\nspec:\n  tenant: contoso\n{lines}"
    )
}

fn read(lines: &str) -> (Document, SignIn, Option<String>) {
    let mut found = parse("c.yaml", &connection(lines)).unwrap_or_else(|problems| panic!("{problems:#?}"));
    let document = found.remove(0).value;
    let Spec::Connection(spec) = document.spec.clone() else {
        panic!("not a connection")
    };
    (document, spec.sign_in, spec.authority_file)
}

#[track_caller]
fn says(lines: &str, expected: &[&str]) {
    let found: Vec<String> = match parse("c.yaml", &connection(lines)) {
        Ok(_) => panic!("accepted: {lines}"),
        Err(problems) => problems.iter().map(ToString::to_string).collect(),
    };
    assert_eq!(found, expected, "\n--- found:\n{}\n---", found.join("\n"));
}

#[test]
fn each_way_is_read_and_written_out_so_that_applying_the_export_changes_nothing() {
    let file = |name: &str| SecretRef::File(name.into());
    let app = |proof| SignIn::App {
        client_id: "app".into(),
        proof,
    };
    let rows = [
        (
            "  clientId: app\n  clientSecret: {file: s}\n",
            app(Proof::ClientSecret(file("s"))),
        ),
        (
            "  clientId: app\n  certificate: {pem: {file: app.pem}, key: {file: app.key}}\n",
            app(Proof::Certificate {
                pem: file("app.pem"),
                key: file("app.key"),
            }),
        ),
        (
            "  clientId: app\n  federated: {}\n",
            app(Proof::Federated { token_file: None }),
        ),
        (
            "  clientId: app\n  federated: {tokenFile: /var/run/secrets/tokens/graph}\n",
            app(Proof::Federated {
                token_file: Some("/var/run/secrets/tokens/graph".into()),
            }),
        ),
        ("  managedIdentity: true\n", SignIn::Machine { client_id: None }),
        (
            "  managedIdentity: true\n  clientId: assigned\n",
            SignIn::Machine {
                client_id: Some("assigned".into()),
            },
        ),
    ];
    for (lines, expected) in rows {
        let (document, found, _) = read(lines);
        assert_eq!(found, expected, "{lines}");
        let exported = parse("e.yaml", &document.to_yaml().unwrap())
            .unwrap()
            .remove(0)
            .value;
        assert_eq!(exported, document, "{lines}");
    }
}

#[test]
fn a_certificates_texts_are_shown_nowhere() {
    let (document, ..) = read(
        "  clientId: app\n  certificate:\n    pem: {value: \"-----BEGIN hunter2\\n-----\"}\n    key: {value: hunter2}\n",
    );
    let shown = format!(
        "{document:?}\n{}\n{}",
        document.to_json(),
        document.to_yaml().unwrap()
    );
    assert!(!shown.contains("hunter2"), "{shown}");
    let paths: Vec<&str> = document.secrets().iter().map(|(path, _)| *path).collect();
    assert_eq!(paths, ["spec.certificate.pem", "spec.certificate.key"]);
    let exported = parse("e.yaml", &document.to_yaml().unwrap())
        .unwrap()
        .remove(0)
        .value;
    assert!(
        exported
            .secrets()
            .iter()
            .all(|(_, secret)| **secret == SecretRef::Stored)
    );
}

#[test]
fn exactly_one_way_and_what_it_needs_with_line_and_column() {
    const ONE: &str = "write exactly one of `clientSecret`, `certificate`, `federated` and `managedIdentity`";
    says(
        "  clientId: app\n",
        &[&format!(
            "c.yaml:5:3: `spec.clientSecret` is missing, or another way to sign in → {ONE} [manifest.missing_key]"
        )],
    );
    says(
        "  clientId: app\n  clientSecret: {file: s}\n  federated: {}\n  managedIdentity: true\n",
        &[
            &format!(
                "c.yaml:8:3: `spec.federated` stands beside `clientSecret` → {ONE} [manifest.contradiction]"
            ),
            &format!(
                "c.yaml:9:3: `spec.managedIdentity` stands beside `clientSecret` → {ONE} [manifest.contradiction]"
            ),
        ],
    );
    says(
        "  federated: {}\n",
        &[
            "c.yaml:5:3: `spec.clientId` is missing → the application (client) id of the app registration \
           [manifest.missing_key]",
        ],
    );
    says(
        "  managedIdentity: false\n",
        &[
            "c.yaml:6:20: `spec.managedIdentity` is false → remove the key and write one of the other ways to sign in \
           [manifest.invalid_value]",
        ],
    );
    says(
        "  clientId: app\n  certificate: {pem: {file: app.pem}}\n",
        &[
            "c.yaml:7:16: `spec.certificate.key` is missing → its private key, such as `{file: app.key}` \
           [manifest.missing_key]",
        ],
    );
}

#[test]
fn a_token_file_is_an_absolute_path_without_detours() {
    for bad in [
        "token",
        "../token",
        "/var/run/../../etc/shadow",
        "/var//run",
        "/var/./run",
        "/var/run/",
        "/",
        "\"/a\\nb\"",
    ] {
        let lines = format!("  clientId: app\n  federated: {{tokenFile: {bad}}}\n");
        let problems = parse("c.yaml", &connection(&lines)).unwrap_err();
        assert_eq!(problems.len(), 1, "{bad}: {problems:?}");
        assert!(
            problems[0].to_string().contains("[manifest.invalid_value]"),
            "{bad}: {problems:?}"
        );
    }
}

#[test]
fn a_private_authority_is_a_file_of_the_servers_own_folder() {
    let lines = |tls: &str| format!("  managedIdentity: true\n  tls: {tls}\n");
    assert_eq!(
        read(&lines("{ca: {file: proxy.pem}}")).2.as_deref(),
        Some("proxy.pem")
    );
    for bad in [
        "{ca: /etc/proxy.pem}",
        "{ca: {file: ../proxy.pem}}",
        "{ca: {}}",
        "{}",
        "{mode: disable}",
        "{ca: {file: a}, mode: require}",
    ] {
        assert!(parse("c.yaml", &connection(&lines(bad))).is_err(), "{bad}");
    }
}
