//! Certificates made for a test, and a judge of what is signed with them that shares nothing with the signer.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::KeySize;
use chrono::TimeDelta;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, PublicKeyData as _};
use rustls::pki_types::PrivatePkcs8KeyDer;
use serde_json::Value as Json;

use super::*;
use crate::testing::Counting;

/// A certificate and its key.
pub(crate) struct Minted {
    certificate: rcgen::Certificate,
    key: KeyPair,
}

impl Minted {
    pub(crate) fn certificate(&self) -> SigningCertificate {
        SigningCertificate::from_pem(&self.certificate.pem().into(), &self.key.serialize_pem().into())
            .unwrap()
    }

    pub(crate) fn thumbprint(&self) -> String {
        URL_SAFE_NO_PAD.encode(digest(&SHA256, self.certificate.der()))
    }
}

/// A certificate that is good from and to so many days after `now`.
pub(crate) fn minted(now: DateTime<Utc>, from: i64, to: i64) -> Minted {
    let key = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let pkcs8 = AsDer::<Pkcs8V1Der<'_>>::as_der(&key).unwrap();
    let pkcs8 = PrivatePkcs8KeyDer::from(pkcs8.as_ref().to_vec());
    let key = KeyPair::from_pkcs8_der_and_sign_algo(&pkcs8, &PKCS_RSA_SHA256).unwrap();
    made(key, now, from, to)
}

fn made(key: KeyPair, now: DateTime<Utc>, from: i64, to: i64) -> Minted {
    let mut params = CertificateParams::new(vec!["app.example".into()]).unwrap();
    let day = |days: i64| (now + TimeDelta::days(days)).timestamp();
    params.not_before = rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(day(from).unsigned_abs());
    params.not_after = rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(day(to).unsigned_abs());
    Minted {
        certificate: params.self_signed(&key).unwrap(),
        key,
    }
}

/// Header and claims of a token whose signature holds under the public key.
pub(crate) fn authentic(token: &str, pair: &Minted) -> (Json, Json) {
    let key = DecodingKey::from_rsa_der(pair.key.der_bytes());
    let mut rules = Validation::new(Algorithm::PS256);
    // Time and audience are for the test to judge.
    rules.validate_exp = false;
    rules.validate_aud = false;
    let found = jsonwebtoken::decode::<Json>(token, &key, &rules).unwrap();
    (serde_json::to_value(&found.header).unwrap(), found.claims)
}

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_790_000_000, 0).unwrap()
}

fn pem(certificate: &str, key: &str) -> Result<SigningCertificate, Failure> {
    SigningCertificate::from_pem(&certificate.to_owned().into(), &key.to_owned().into())
}

/// The older form of an RSA key. A PKCS#8 file holds it as its last part, an octet string.
fn pkcs1(key: &KeyPair) -> String {
    let pkcs8 = key.serialize_der();
    // Version, algorithm (RSA, no parameters), and four bytes of tag and length of the octet string.
    let at = pkcs8
        .windows(2)
        .skip(20)
        .position(|pair| pair == [0x30, 0x82])
        .unwrap()
        + 20;
    let body = base64::engine::general_purpose::STANDARD.encode(&pkcs8[at..]);
    format!("-----BEGIN RSA PRIVATE KEY-----\n{body}\n-----END RSA PRIVATE KEY-----\n")
}

#[test]
fn both_forms_of_a_key_and_one_text_for_both_are_read() {
    let pair = minted(now(), -1, 100);
    let (certificate, key) = (pair.certificate.pem(), pair.key.serialize_pem());
    let both = format!("{key}{certificate}");
    for (certificate, key) in [
        (certificate.as_str(), key.as_str()),
        (&certificate, &pkcs1(&pair.key)),
        (&both, &both),
    ] {
        let read = pem(certificate, key).unwrap();
        let signed = read.assertion("a", "c", now(), Counting::new().as_ref()).unwrap();
        authentic(signed.expose_secret(), &pair);
        assert!(!format!("{read:?}").contains("PRIVATE"));
    }
}

#[test]
fn what_is_wrong_with_certificate_or_key_is_told_and_the_text_is_not() {
    let pair = minted(now(), -1, 100);
    let (certificate, key) = (pair.certificate.pem(), pair.key.serialize_pem());
    let other = minted(now(), -1, 100).key.serialize_pem();
    let curve = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let curve_key = curve.serialize_pem();
    let curved = made(curve, now(), -1, 100).certificate.pem();
    let sealed = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nhunter2\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let older =
        "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,AB\n\nhunter2\n";
    let damaged = certificate.replacen("MII", "hunter2", 1);
    let rows = [
        ("hunter2", key.as_str(), codes::CERTIFICATE_UNREADABLE),
        ("", &key, codes::CERTIFICATE_UNREADABLE),
        (&damaged, &key, codes::CERTIFICATE_UNREADABLE),
        (&key, &key, codes::CERTIFICATE_UNREADABLE),
        (&certificate, "hunter2", codes::KEY_UNREADABLE),
        (&certificate, &certificate, codes::KEY_UNREADABLE),
        (&certificate, sealed, codes::KEY_ENCRYPTED),
        (&certificate, older, codes::KEY_ENCRYPTED),
        (&certificate, &other, codes::KEY_MISMATCH),
        (&curved, &key, codes::KEY_MISMATCH),
        (&curved, &curve_key, codes::KEY_UNREADABLE),
    ];
    for (certificate, key, code) in rows {
        let failure = pem(certificate, key).unwrap_err();
        assert_eq!((failure.code.as_str(), failure.scope), (code, Scope::Tenant));
        assert!(!failure.to_string().contains("hunter2"), "{failure}");
        assert!(!failure.fix.is_empty());
    }
}

#[test]
fn a_certificate_is_spoken_of_in_the_month_before_it_ends() {
    let notice = |days| minted(now(), -1, days).certificate().notice(now());
    assert_eq!(notice(31), None);
    let told = notice(12).unwrap();
    assert!(told.contains("12 days") || told.contains("11 days"), "{told}");
    assert_eq!(notice(-1), None, "that is an error by then");
}

#[test]
fn the_time_of_a_certificate_is_judged_to_the_second() {
    let read = minted(now(), -1, 1).certificate();
    let at = |at: DateTime<Utc>| {
        read.assertion("a", "c", at, Counting::new().as_ref())
            .err()
            .map(|failure| failure.code)
    };
    let day = TimeDelta::days(1);
    let second = TimeDelta::seconds(1);
    assert_eq!(at(now() - day), None);
    assert_eq!(at(now() + day), None);
    assert_eq!(
        at(now() - day - second).as_deref(),
        Some(codes::CERTIFICATE_EARLY)
    );
    assert_eq!(
        at(now() + day + second).as_deref(),
        Some(codes::CERTIFICATE_EXPIRED)
    );
}
