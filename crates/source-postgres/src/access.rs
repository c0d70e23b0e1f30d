//! How to reach a database: address, credentials, transport security, limits.

use std::collections::BTreeMap;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::ConnectOptions as _;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use syncbridge_domain::failure::{Failure, Scope};

/// Transport security of connections. "Try TLS, else go without" does not exist here: whoever can cut the
/// wire could then read the password.
///
/// `verify-ca` does not exist either: the driver trusts the public authorities beside a given root, so
/// without a check of the host's name any certificate bought on the web would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsMode {
    /// No TLS; for loopback and networks that are protected otherwise.
    Disable,
    /// TLS without looking at the certificate: keeps listeners out, not impostors.
    Require,
    /// TLS, and the certificate must come from a trusted authority and name the host.
    VerifyFull {
        /// Authority in PEM, trusted beside the public ones.
        root_pem: Option<Vec<u8>>,
    },
}

/// How long things may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// From the first packet to a session that can be used.
    pub connect: Duration,
    /// One statement on the server.
    pub statement: Duration,
    /// One wait for a lock of a read.
    pub lock: Duration,
    /// One wait for a lock of a write; whoever comes behind us waits no longer because of it.
    pub write_lock: Duration,
    /// A writing transaction from its begin to its end. Locks of ours are never held longer, whatever becomes of
    /// this process: half of it is for the writes, the rest until the commit is watched by the server.
    pub hold: Duration,
    /// A transaction of ours that does nothing.
    pub idle_in_transaction: Duration,
    /// Waiting for one of our own connections to become free.
    pub acquire: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            statement: Duration::from_secs(120),
            lock: Duration::from_secs(5),
            write_lock: Duration::from_secs(2),
            hold: Duration::from_secs(10),
            idle_in_transaction: Duration::from_secs(60),
            acquire: Duration::from_secs(60),
        }
    }
}

/// Everything that is needed to reach one database. `Debug` shows no password.
#[derive(Clone, Debug)]
pub struct Access {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Database.
    pub dbname: String,
    /// Role.
    pub user: String,
    /// Its password; empty where the server asks for none.
    pub password: SecretString,
    /// Transport security.
    pub tls: TlsMode,
    /// Shown in `pg_stat_activity`.
    pub application_name: String,
    /// Most connections held open at once.
    pub max_connections: u32,
    /// How long things may take.
    pub timeouts: Timeouts,
}

impl Access {
    /// Access with the usual limits: port 5432, three connections, TLS by [`TlsMode::for_host`].
    #[must_use]
    pub fn new(host: &str, dbname: &str, user: &str, password: SecretString) -> Self {
        Self {
            host: host.to_owned(),
            port: 5432,
            dbname: dbname.to_owned(),
            user: user.to_owned(),
            password,
            tls: TlsMode::for_host(host),
            application_name: "syncbridge".to_owned(),
            max_connections: 3,
            timeouts: Timeouts::default(),
        }
    }

    /// Reads `postgres://user:password@host:port/database?sslmode=…`. Parts are percent-encoded. Known
    /// parameters: `sslmode` (disable, require, verify-full; on the loopback also prefer, which means disable
    /// there), `sslrootcert` (path of a PEM file, read now), `application_name`, `connect_timeout` (seconds).
    ///
    /// # Errors
    /// `source.url`, without any part of the URL, since it holds a password; `source.tls_root` for an
    /// unreadable authority.
    pub fn parse_url(url: &str) -> Result<Self, Failure> {
        let rest = url
            .strip_prefix("postgres://")
            .or_else(|| url.strip_prefix("postgresql://"))
            .ok_or_else(|| bad_url("does not begin with postgres://"))?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').ok_or_else(|| bad_url("names no database"))?;
        let (login, address) = authority
            .rsplit_once('@')
            .ok_or_else(|| bad_url("names no user"))?;
        let (user, password) = login.split_once(':').unwrap_or((login, ""));
        let (host, port) = split_address(address)?;
        let (host, dbname, user) = (decoded(host)?, decoded(path)?, decoded(user)?);
        for (what, part) in [("host", &host), ("database", &dbname), ("user", &user)] {
            if part.is_empty() {
                return Err(bad_url(&format!("names no {what}")));
            }
        }
        let mut access = Self::new(&host, &dbname, &user, SecretString::from(decoded(password)?));
        access.port = port;
        access.apply_parameters(query)?;
        Ok(access)
    }

    fn apply_parameters(&mut self, query: &str) -> Result<(), Failure> {
        let mut given = BTreeMap::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            given.insert(decoded(name)?, decoded(value)?);
        }
        let root_pem = given
            .remove("sslrootcert")
            .map(|path| read_root(&path))
            .transpose()?;
        match given.remove("sslmode").as_deref() {
            None if root_pem.is_some() => self.tls = TlsMode::VerifyFull { root_pem },
            None => {}
            Some("disable") => self.tls = TlsMode::Disable,
            Some("require") if root_pem.is_none() => self.tls = TlsMode::Require,
            // With a root given, libpq verifies under `require` too; we verify the name as well.
            Some("require" | "verify-full") => self.tls = TlsMode::VerifyFull { root_pem },
            // Nobody can cut the loopback, so the choice "TLS if offered" has one answer there.
            Some("prefer" | "allow") if TlsMode::for_host(&self.host) == TlsMode::Disable => {
                self.tls = TlsMode::Disable;
            }
            Some("verify-ca") => {
                return Err(bad_url(
                    "asks for sslmode=verify-ca, which would accept impostors; use verify-full",
                ));
            }
            Some(_) => {
                return Err(bad_url(
                    "has an sslmode other than disable, require and verify-full",
                ));
            }
        }
        if let Some(name) = given.remove("application_name") {
            self.application_name = name;
        }
        if let Some(seconds) = given.remove("connect_timeout") {
            let seconds = seconds
                .parse()
                .map_err(|_| bad_url("has a connect_timeout that is no number"))?;
            self.timeouts.connect = Duration::from_secs(seconds);
        }
        // A setting of the driver that it prints into URLs; it means nothing here.
        given.remove("statement-cache-capacity");
        match given.keys().next() {
            // The name of a parameter is no secret, its value may be.
            Some(name) => Err(bad_url(&format!("has the unknown parameter `{name}`"))),
            None => Ok(()),
        }
    }

    /// `host:port/database`, for messages.
    #[must_use]
    pub fn address(&self) -> String {
        format!("{}:{}/{}", self.host, self.port, self.dbname)
    }

    pub(crate) fn connect_options(&self) -> PgConnectOptions {
        // Environment variables such as PGHOST are read by the driver; every one that matters is overridden.
        let options = PgConnectOptions::new_without_pgpass()
            .host(&self.host)
            .port(self.port)
            .database(&self.dbname)
            .username(&self.user)
            .password(self.password.expose_secret())
            .application_name(&self.application_name)
            .extra_float_digits(3)
            .disable_statement_logging();
        match &self.tls {
            TlsMode::Disable => options.ssl_mode(PgSslMode::Disable),
            TlsMode::Require => options.ssl_mode(PgSslMode::Require),
            TlsMode::VerifyFull { root_pem } => {
                let options = options.ssl_mode(PgSslMode::VerifyFull);
                match root_pem {
                    Some(pem) => options.ssl_root_cert_from_pem(pem.clone()),
                    None => options,
                }
            }
        }
    }
}

impl TlsMode {
    /// The mode where nobody chose one: none on the loopback interface, full verification elsewhere.
    #[must_use]
    pub fn for_host(host: &str) -> Self {
        let loopback = host == "localhost"
            || host
                .parse::<std::net::IpAddr>()
                .is_ok_and(|address| address.is_loopback());
        if loopback {
            TlsMode::Disable
        } else {
            TlsMode::VerifyFull { root_pem: None }
        }
    }
}

fn bad_url(what: &str) -> Failure {
    Failure::new(
        Scope::Outage,
        "source.url",
        format!("the database URL {what}"),
        "write it as postgres://user:password@host:5432/database?sslmode=verify-full, with reserved characters \
         percent-encoded",
    )
}

fn read_root(path: &str) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| {
        Failure::new(
            Scope::Outage,
            "source.tls_root",
            format!(
                "the authority file given as sslrootcert cannot be read: {}",
                error.kind()
            ),
            "give the path of a PEM file that this process may read",
        )
    })
}

fn decoded(part: &str) -> Result<String, Failure> {
    let text = percent_decode_str(part)
        .decode_utf8()
        .map_err(|_| bad_url("is not UTF-8 when decoded"))?;
    if text.contains('\0') {
        Err(bad_url("holds a NUL character"))
    } else {
        Ok(text.into_owned())
    }
}

fn split_address(address: &str) -> Result<(&str, u16), Failure> {
    let port = |text: &str| {
        text.parse()
            .map_err(|_| bad_url("has a port that is no number below 65536"))
    };
    if let Some(rest) = address.strip_prefix('[') {
        let (host, tail) = rest
            .split_once(']')
            .ok_or_else(|| bad_url("has an unclosed [ in its address"))?;
        return match tail.strip_prefix(':') {
            Some(text) => Ok((host, port(text)?)),
            None if tail.is_empty() => Ok((host, 5432)),
            None => Err(bad_url("has an address that cannot be read")),
        };
    }
    match address.split_once(':') {
        Some((host, text)) => Ok((host, port(text)?)),
        None => Ok((address, 5432)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart_and_decoded() {
        let access = Access::parse_url(
            "postgresql://us%40er:p%3Aw@db.example:6000/my%20db?sslmode=require&connect_timeout=3",
        )
        .unwrap();
        assert_eq!((access.host.as_str(), access.port), ("db.example", 6000));
        assert_eq!((access.user.as_str(), access.dbname.as_str()), ("us@er", "my db"));
        assert_eq!(access.password.expose_secret(), "p:w");
        assert_eq!(access.tls, TlsMode::Require);
        assert_eq!(access.timeouts.connect, Duration::from_secs(3));
    }

    #[test]
    fn without_a_choice_only_the_loopback_goes_without_tls() {
        let tls = |url: &str| Access::parse_url(url).unwrap().tls;
        assert_eq!(tls("postgres://u@127.0.0.1/d"), TlsMode::Disable);
        assert_eq!(tls("postgres://u@[::1]:1/d"), TlsMode::Disable);
        assert_eq!(tls("postgres://u@localhost/d"), TlsMode::Disable);
        assert_eq!(
            tls("postgres://u@db.example/d"),
            TlsMode::VerifyFull { root_pem: None }
        );
    }

    #[test]
    fn a_bad_url_is_explained_without_repeating_it() {
        for url in [
            "mysql://u:SECRET@h/d",
            "postgres://u:SECRET@h",
            "postgres://h/d",
            "postgres://u:SECRET@h:x/d",
            "postgres://u:SECRET@h/d?sslmode=prefer",
            "postgres://u:SECRET@h/d?sslmode=verify-ca",
            "postgres://u:SECRET@h/d?options=-cSECRET",
            "postgres://u:SECRET%FF@h/d",
        ] {
            let failure = Access::parse_url(url).unwrap_err();
            assert_eq!(failure.code, "source.url");
            assert!(!failure.to_string().contains("SECRET"));
        }
    }

    #[test]
    fn debug_shows_no_password() {
        let access = Access::parse_url("postgres://u:SECRET@h/d").unwrap();
        assert!(!format!("{access:?}").contains("SECRET"));
    }
}
