//! Everything that can go wrong with a source, classified once: scope, stable code, cause and next step.
//!
//! PostgreSQL's own texts are never passed on: messages quote input (`invalid input syntax for type integer:
//! "…"`) and DETAIL quotes whole rows. What a person gets is our sentence, made from SQLSTATE, the name of
//! the server's routine (which, unlike the message, is not translated) and names the definition already holds.

use std::io;

use rustls::{CertificateError, Error as TlsError};
use sqlx::postgres::PgDatabaseError;
use syncbridge_domain::failure::{Failure, Scope};

use crate::access::Access;

pub(crate) mod write;

/// What was being done, for the message.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    address: String,
    user: String,
    host: String,
    database: String,
    subject: String,
    statement_seconds: u64,
}

impl Context {
    /// Work on the database as such.
    pub(crate) fn new(access: &Access) -> Self {
        Self {
            address: access.address(),
            user: access.user.clone(),
            host: access.host.clone(),
            database: access.dbname.clone(),
            subject: format!("the database {}", access.dbname),
            statement_seconds: access.timeouts.statement.as_secs(),
        }
    }

    /// Work on one relation.
    pub(crate) fn on(&self, relation: &str) -> Self {
        Self {
            subject: relation.to_owned(),
            ..self.clone()
        }
    }

    /// Classifies what the driver reported.
    pub(crate) fn classify(&self, error: sqlx::Error) -> Failure {
        match error {
            sqlx::Error::Database(error) => match error.try_downcast_ref::<PgDatabaseError>() {
                Some(reported) => self.reported(reported.code(), reported.routine().unwrap_or("?")),
                None => self.unexpected("the driver reported a foreign error"),
            },
            sqlx::Error::Io(error) => self.io(&error),
            sqlx::Error::Tls(error) => match error.downcast_ref::<TlsError>() {
                Some(error) => self.tls(error),
                None => self.outage(
                    "source.tls_refused",
                    format!("the server at {} does not offer TLS, or the TLS settings cannot be used", self.address),
                    "turn TLS on at the server (`ssl = on`), or set sslmode=disable if the network is trusted",
                ),
            },
            sqlx::Error::PoolTimedOut => self.outage(
                "source.busy",
                format!("no connection to {} became available in time", self.address),
                "see whether the server answers, or raise the number of connections of this source",
            ),
            sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => self.lost(),
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => Failure::new(
                Scope::List,
                "source.encoding",
                format!("{} holds a text that is not valid in the encoding of its database", self.subject),
                "find it with `convert_from(convert_to(column, 'UTF8'), 'UTF8')` and correct it",
            ),
            _ => self.unexpected("the driver could not understand the server"),
        }
    }

    /// A call that took longer than the server's own limit allows: the network, not the statement.
    pub(crate) fn unanswered(&self) -> Failure {
        self.outage(
            "source.unanswered",
            format!(
                "{} did not answer in time, not even to say that the statement took too long",
                self.address
            ),
            "check the network between worker and database",
        )
    }

    /// Connecting took too long.
    pub(crate) fn connect_timeout(&self) -> Failure {
        self.outage(
            "source.unreachable",
            format!("no answer from {} in time", self.address),
            "check host, port and firewall; the server must listen on that address (`listen_addresses`)",
        )
    }

    fn outage(&self, code: &str, cause: String, fix: impl Into<String>) -> Failure {
        Failure::new(Scope::Outage, code, cause, fix)
    }

    fn list(&self, code: &str, cause: String, fix: impl Into<String>) -> Failure {
        Failure::new(Scope::List, code, cause, fix)
    }

    fn lost(&self) -> Failure {
        self.outage(
            "source.connection_lost",
            format!("the connection to {} was lost", self.address),
            "nothing to do if it was a restart: the run is tried again; else check the server's log",
        )
    }

    fn unexpected(&self, what: &str) -> Failure {
        self.list(
            "source.unexpected",
            format!("{what} while {} was read", self.subject),
            "look into the server's log at this time; if the definition is right, report this as a defect",
        )
    }

    fn io(&self, error: &io::Error) -> Failure {
        if let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>()) {
            return self.tls(tls);
        }
        match error.kind() {
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe => self.lost(),
            io::ErrorKind::ConnectionRefused => self.outage(
                "source.unreachable",
                format!("nothing accepts connections at {}", self.address),
                "check host and port, and that PostgreSQL runs and listens there (`listen_addresses`)",
            ),
            kind => self.outage(
                "source.unreachable",
                format!("{} cannot be reached: {kind}", self.address),
                "check that the host name is right and resolves on the worker's machine, and the firewall",
            ),
        }
    }

    fn tls(&self, error: &TlsError) -> Failure {
        let (code, cause, fix) = match error {
            TlsError::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            ) => (
                "source.tls_name",
                format!("the server's certificate does not name the host `{}`", self.host),
                "connect by a name that is in the certificate, or have one issued for this name",
            ),
            TlsError::InvalidCertificate(
                CertificateError::UnknownIssuer | CertificateError::BadSignature,
            ) => (
                "source.tls_untrusted",
                format!(
                    "the certificate of {} comes from an authority that is not trusted",
                    self.address
                ),
                "give the authority's certificate (sslrootcert); do not turn verification off",
            ),
            TlsError::InvalidCertificate(
                CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. },
            ) => (
                "source.tls_expired",
                format!("the certificate of {} is not valid at this time", self.address),
                "renew the server's certificate, or correct the clock of the worker's machine",
            ),
            _ => (
                "source.tls_refused",
                format!("the TLS handshake with {} failed", self.address),
                "check the server's certificate and key, and that it speaks TLS 1.2 or newer",
            ),
        };
        self.outage(code, cause, fix)
    }

    fn reported(&self, state: &str, routine: &str) -> Failure {
        match state {
            "28P01" | "28000" | "3D000" | "53300" => self.login(state),
            "42501" if routine == "check_enable_rls" => self.row_security(),
            "42501" => self.list(
                "source.permission",
                format!("the role `{}` may not read {}", self.user, self.subject),
                "grant USAGE on the schema and SELECT on the table to this role",
            ),
            "42P01" | "3F000" => self.list(
                "source.table_missing",
                format!("{} does not exist (any more), or a table that it needs does not", self.subject),
                "correct the definition or restore the table; a function in a view must name its tables with their \
                 schema, since our sessions have an empty search_path",
            ),
            "42703" => self.column_missing(),
            "42883" if matches!(routine, "get_sort_group_operators" | "op_error") => self.list(
                "source.unordered",
                format!("a key or watermark column of {} has a type that PostgreSQL cannot order", self.subject),
                "choose a key and a watermark of types that can be ordered",
            ),
            "42883" => self.list(
                "source.function_missing",
                format!("a function that {} needs does not exist or cannot be found", self.subject),
                "a function in a view must call others with their schema, since our sessions have an empty search_path",
            ),
            "22P02" | "22007" | "22008" | "22003" | "22023" | "42804" | "42846" => self.list(
                "source.conversion",
                format!(
                    "a remembered position in {} is no value of its column's type any more, or a view's own \
                     conversion fails on some row (SQLSTATE {state})",
                    self.subject
                ),
                "if a key or watermark column changed its type, apply the definition again and reset its cursor; if \
                 it is a view, select from it with psql and correct the row or the view",
            ),
            "57014" | "55P03" | "25P03" | "25P04" | "40001" | "40P01" | "57P01" | "57P02" | "57P03" | "57P04"
            | "57P05" => self.interrupted(state),
            "25006" => self.list(
                "source.read_only",
                format!("reading {} would write: our sessions are read-only", self.subject),
                "a view or policy calls a function that writes; choose another table",
            ),
            _ => self.other(state, routine),
        }
    }

    /// A mapped column is gone.
    pub(crate) fn column_missing(&self) -> Failure {
        self.list(
            "source.column_missing",
            format!("a mapped column of {} does not exist (any more)", self.subject),
            "compare the definition with the table and apply it again",
        )
    }

    /// Ended by a limit, a lock, a conflict or an administrator.
    fn interrupted(&self, state: &str) -> Failure {
        match state {
            "57014" => self.list(
                "source.statement_timeout",
                format!(
                    "a statement on {} was cancelled: it ran longer than {} s, or an administrator stopped it",
                    self.subject, self.statement_seconds
                ),
                "create an index over the watermark and key columns, or raise the statement timeout",
            ),
            "55P03" => self.list(
                "source.lock_timeout",
                format!("{} is locked by another session (ALTER TABLE, VACUUM FULL or the like)", self.subject),
                "wait until that session is done; the run is tried again",
            ),
            "25P03" | "25P04" => self.outage(
                "source.idle_timeout",
                format!("{} ended a transaction of ours because it lasted too long", self.address),
                "the worker was stopped for a while; the run is tried again",
            ),
            "40001" | "40P01" => self.outage(
                "source.recovery_conflict",
                format!("{} gave up a read, on a standby because replay needed the rows it read", self.address),
                "the run is tried again; if it repeats, raise max_standby_streaming_delay or read the primary",
            ),
            _ => self.outage(
                "source.shutting_down",
                format!("the server at {} is shutting down, starting up, or ended our session", self.address),
                "wait until it is up; the run is tried again",
            ),
        }
    }

    fn login(&self, state: &str) -> Failure {
        let Self {
            address,
            user,
            database,
            ..
        } = self;
        match state {
            // Under SCRAM the server does not say whether the user or the password is wrong.
            "28P01" => self.outage(
                "source.password",
                format!("{address} refused the user `{user}`: wrong user or wrong password"),
                "correct user and password of this source, and check that the password has not expired",
            ),
            "28000" => self.outage(
                "source.refused",
                format!(
                    "{address} refused the user `{user}`: it does not exist, may not log in, or pg_hba.conf has no \
                     entry for it from this machine with this kind of transport"
                ),
                "check the role's LOGIN attribute and pg_hba.conf, and whether the server demands TLS",
            ),
            "3D000" => self.outage(
                "source.database_missing",
                format!("there is no database `{database}` at {address}"),
                "correct the name of the database; upper and lower case matter",
            ),
            _ => self.outage(
                "source.too_many_connections",
                format!("{address} has no connection left for `{user}`"),
                "raise max_connections or the role's limit, or lower the connections of this source",
            ),
        }
    }

    /// Row security would hide rows from us.
    pub(crate) fn row_security(&self) -> Failure {
        self.list(
            "source.row_security",
            format!(
                "row security hides rows of {} from the role `{}`; a hidden row would look deleted",
                self.subject, self.user
            ),
            format!(
                "let the role see everything (ALTER ROLE {} BYPASSRLS), or synchronise a view that a role with \
                 full sight owns",
                self.user
            ),
        )
    }

    /// Classifies what a correction of one row was answered with. The server's texts quote the value.
    pub(crate) fn edit_refused(&self, error: sqlx::Error) -> Failure {
        let reported = match &error {
            sqlx::Error::Database(reported) => reported,
            _ => return self.classify(error),
        };
        let state = reported.code().unwrap_or_default().into_owned();
        let constraint = reported.constraint().map(str::to_owned);
        let row = |code: &str, cause: String, fix: String| Failure::new(Scope::Row, code, cause, fix);
        match state.as_str() {
            "42501" => row(
                "source.edit_permission",
                format!("the role `{}` may not change {}", self.user, self.subject),
                format!(
                    "grant UPDATE on it to `{}`, or correct the row with a role that may",
                    self.user
                ),
            ),
            state if state.starts_with("22") || state == "42804" => row(
                "source.edit_refused",
                format!("the new text is no value of its column's type (SQLSTATE {state})"),
                "write it as PostgreSQL would print it; nothing was changed".into(),
            ),
            state if state.starts_with("23") => row(
                "source.edit_refused",
                match constraint {
                    Some(name) => format!(
                        "constraint `{name}` of {} does not take the new value",
                        self.subject
                    ),
                    None => format!("a constraint of {} does not take the new value", self.subject),
                },
                "choose a value that the constraint takes; nothing was changed".into(),
            ),
            "428C9" | "55000" | "0A000" | "P0001" => row(
                "source.edit_refused",
                format!(
                    "{} does not let this column be changed: it is computed, part of a view that cannot be written \
                     to, or a trigger refused (SQLSTATE {state})",
                    self.subject
                ),
                "change the row the way the application does; nothing was changed".into(),
            ),
            _ => self.classify(error),
        }
    }

    fn other(&self, state: &str, routine: &str) -> Failure {
        let scope = match state.get(..2) {
            Some("08" | "53" | "57" | "58" | "XX") => Scope::Outage,
            _ => Scope::List,
        };
        Failure::new(
            scope,
            "source.unexpected",
            format!(
                "the server refused to read {} (SQLSTATE {state} in {routine})",
                self.subject
            ),
            "look up this SQLSTATE in the server's log; a view or generated column may fail on some row",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_a_source_is_known_to_report_has_its_code_and_scope() {
        let context = Context::new(&Access::new("h", "d", "u", "p".to_owned().into())).on("`s.t`");
        let cases = [
            ("53300", "?", "source.too_many_connections", Scope::Outage),
            ("42501", "aclcheck_error", "source.permission", Scope::List),
            ("42501", "check_enable_rls", "source.row_security", Scope::List),
            (
                "42883",
                "get_sort_group_operators",
                "source.unordered",
                Scope::List,
            ),
            (
                "42883",
                "ParseFuncOrColumn",
                "source.function_missing",
                Scope::List,
            ),
            ("25P03", "ProcessInterrupts", "source.idle_timeout", Scope::Outage),
            (
                "40001",
                "ProcessInterrupts",
                "source.recovery_conflict",
                Scope::Outage,
            ),
            (
                "57P01",
                "ProcessInterrupts",
                "source.shutting_down",
                Scope::Outage,
            ),
            (
                "57P03",
                "ProcessStartupPacket",
                "source.shutting_down",
                Scope::Outage,
            ),
            ("53200", "AllocSetAlloc", "source.unexpected", Scope::Outage),
            ("22012", "int4div", "source.unexpected", Scope::List),
        ];
        for (state, routine, code, scope) in cases {
            let failure = context.reported(state, routine);
            assert_eq!(
                (failure.code.as_str(), failure.scope),
                (code, scope),
                "{state} {routine}"
            );
            assert!(!failure.fix.is_empty());
        }
    }
}
