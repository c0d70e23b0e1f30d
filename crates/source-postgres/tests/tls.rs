//! Transport security against a server with certificates of our own.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use syncbridge_devstack::postgres::TlsFiles;
use syncbridge_devstack::testing::{PrivatePostgres, private_postgres};
use syncbridge_source_postgres::{Access, Catalog, TlsMode};

struct Secured {
    access: Access,
    authority: Vec<u8>,
    _server: PrivatePostgres,
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A server on 127.0.0.1 whose certificate bears this name, and which refuses sessions without TLS.
async fn secured(name: &str) -> Secured {
    let issuer = authority();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec![name.to_owned()])
        .unwrap()
        .signed_by(&key, &issuer)
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let files = (folder.path().join("server.crt"), folder.path().join("server.key"));
    std::fs::write(&files.0, certificate.pem()).unwrap();
    std::fs::write(&files.1, key.serialize_pem()).unwrap();
    let server = private_postgres(|options| {
        options.tls = Some(TlsFiles {
            certificate: files.0,
            key: files.1,
            client_authority: None,
        });
        options.extra_hba = "hostnossl all reader 127.0.0.1/32 reject".to_owned();
    })
    .await;
    let mut connection = server.cluster.connect("postgres").await.unwrap();
    crate::world::run(&mut connection, "CREATE ROLE reader LOGIN PASSWORD 'r'").await;
    let mut access = Access::parse_url(&server.cluster.url("postgres")).unwrap();
    access.user = "reader".to_owned();
    access.password = "r".to_owned().into();
    Secured {
        access,
        authority: issuer.pem().into_bytes(),
        _server: server,
    }
}

async fn code(access: &Access, tls: TlsMode) -> Result<(), String> {
    let access = Access {
        tls,
        ..access.clone()
    };
    Catalog::connect(&access)
        .await
        .map(|_| ())
        .map_err(|failure| failure.code)
}

#[tokio::test]
async fn full_verification_accepts_the_right_certificate_only() {
    let mut secured = secured("localhost").await;
    let right = || Some(secured.authority.clone());
    let other = Some(authority().pem().into_bytes());
    let by_name = Access {
        host: "localhost".to_owned(),
        ..secured.access.clone()
    };
    assert_eq!(
        code(&by_name, TlsMode::VerifyFull { root_pem: right() }).await,
        Ok(())
    );
    assert_eq!(
        code(&by_name, TlsMode::VerifyFull { root_pem: other }).await,
        Err("source.tls_untrusted".to_owned())
    );
    assert_eq!(
        code(&by_name, TlsMode::VerifyFull { root_pem: None }).await,
        Err("source.tls_untrusted".to_owned())
    );
    assert_eq!(
        code(&secured.access, TlsMode::VerifyFull { root_pem: right() }).await,
        Err("source.tls_name".to_owned()),
        "the certificate names localhost, not 127.0.0.1"
    );
    assert_eq!(code(&secured.access, TlsMode::Require).await, Ok(()));
    assert_eq!(
        code(&secured.access, TlsMode::Disable).await,
        Err("source.refused".to_owned())
    );
    secured.access.tls = TlsMode::VerifyFull {
        root_pem: Some(b"no certificate at all".to_vec()),
    };
    assert!(Catalog::connect(&secured.access).await.is_err());
}

#[tokio::test]
async fn a_server_without_tls_is_refused_where_tls_was_asked_for() {
    let world = crate::world::world("SELECT 1").await;
    for tls in [TlsMode::Require, TlsMode::VerifyFull { root_pem: None }] {
        assert_eq!(
            code(&world.access, tls).await,
            Err("source.tls_refused".to_owned())
        );
    }
}

#[tokio::test]
async fn a_url_can_name_the_authority_by_a_file() {
    let secured = secured("localhost").await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &secured.authority).unwrap();
    let url = |path: &str| {
        format!(
            "postgres://reader:r@localhost:{}/postgres?sslmode=verify-full&sslrootcert={path}",
            secured.access.port
        )
    };
    let access = Access::parse_url(&url(file.path().to_str().unwrap())).unwrap();
    assert!(Catalog::connect(&access).await.is_ok());
    assert_eq!(
        Access::parse_url(&url("/no/such/file")).unwrap_err().code,
        "source.tls_root"
    );
}
