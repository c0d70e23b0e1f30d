//! What a server answers to a write, told apart by how far it reaches: one row, or everything.
//!
//! Its texts are never passed on, as they quote the row; names of constraints, tables and columns are.

use sqlx::postgres::{PgDatabaseError, PgSeverity};
use syncbridge_domain::failure::{Failure, Scope};

use super::Context;

/// How far a refused write reaches.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// This row; its neighbours are unharmed.
    Row(Refusal),
    /// The transaction, and what is written next would fare no better.
    Stage(Failure),
}

/// A refused row, and what to ask the catalog to name the column.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) failure: Failure,
    pub(crate) blame: Blame,
}

/// What is to blame for a refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Blame {
    /// Nothing that has a column, or its column is named already.
    Nothing,
    /// One of the values written, on its way into its column; or else, where something else was at work, that.
    Value { or_else: Option<Failure> },
    /// A constraint or unique index of a table.
    Constraint {
        schema: String,
        table: String,
        name: String,
        unique: bool,
    },
    /// A domain.
    Domain { schema: String, name: String },
}

/// Which write it was, as far as its refusal depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// A row that other tables cannot refer to yet, or not by what was changed.
    Row,
    /// A row whose unique columns changed, or nobody knows.
    Referable,
    Deletion,
}

impl Context {
    /// Classifies what a write, or the commit of writes, was answered with.
    pub(crate) fn write_refused(&self, written: Written, error: sqlx::Error) -> Verdict {
        let reported = match &error {
            sqlx::Error::Database(error) => error.try_downcast_ref::<PgDatabaseError>(),
            _ => None,
        };
        let Some(reported) = reported.filter(|reported| reported.severity() == PgSeverity::Error) else {
            return Verdict::Stage(self.classify(error));
        };
        let state = reported.code();
        match state {
            "40P01" | "40001" => Verdict::Stage(self.deadlock()),
            "25006" => Verdict::Stage(self.server_read_only()),
            "42501" if reported.routine() == Some("check_enable_rls") => Verdict::Stage(self.row_security()),
            "42501" => Verdict::Stage(self.may_not_write()),
            "55P03" => row(self.row_locked()),
            "57014" => row(self.row_too_slow()),
            _ => match state.get(..2) {
                Some("08" | "25" | "28" | "3D" | "53" | "57" | "58" | "F0" | "XX") => {
                    Verdict::Stage(self.classify(error))
                }
                Some("23") => self.constraint(written, reported),
                Some("22" | "54") => {
                    // A function may have stumbled over a value of its own; so, though, do the readers of JSON and
                    // of parameters tell where they were.
                    let elsewhere = reported.r#where().is_some();
                    self.value(state, elsewhere.then(|| self.trigger_refused(state)))
                }
                _ if reported.r#where().is_some() => row(self.trigger_refused(state)),
                Some("42") if state != "42804" && state != "428C9" => Verdict::Stage(self.classify(error)),
                _ => row(self.not_taken(state)),
            },
        }
    }

    fn constraint(&self, written: Written, reported: &PgDatabaseError) -> Verdict {
        let state = reported.code();
        let table = match (reported.schema(), reported.table()) {
            (Some(schema), Some(table)) => format!("`{schema}.{table}`"),
            _ => self.subject.clone(),
        };
        let named = match reported.constraint() {
            Some(name) => format!("constraint `{name}` of {table}"),
            None => format!("a constraint of {table}"),
        };
        let blame = match (reported.schema(), reported.table(), reported.constraint()) {
            (Some(schema), Some(table), Some(name)) => Blame::Constraint {
                schema: schema.into(),
                table: table.into(),
                name: name.into(),
                unique: state == "23505",
            },
            _ => match (reported.schema(), reported.data_type()) {
                (Some(schema), Some(name)) => Blame::Domain {
                    schema: schema.into(),
                    name: name.into(),
                },
                _ => Blame::Nothing,
            },
        };
        if state == "23502" {
            return self.not_null(reported, table, blame);
        }
        let referred_to = match written {
            Written::Row => false,
            Written::Deletion => true,
            // The foreign key's own table is named.
            Written::Referable => {
                (reported.table()).is_some_and(|table| !self.subject.ends_with(&format!(".{table}`")))
            }
        };
        let (code, cause, fix, blame) = match state {
            "23505" => (
                "source.not_unique",
                format!("another row has the same value already: {named}"),
                "choose a value that no other row has",
                blame,
            ),
            "23514" => (
                "source.check",
                format!("{named} does not take the value"),
                "choose a value that the constraint takes, or change the constraint",
                blame,
            ),
            "23503" | "23001" if referred_to => (
                "source.still_referenced",
                format!("other rows refer to this one: {named}"),
                "delete or change those rows first, or give the foreign key an ON DELETE or ON UPDATE action",
                Blame::Nothing,
            ),
            "23503" => (
                "source.parent_missing",
                format!("there is no row that this one could refer to: {named}"),
                "choose a value that exists in the table referred to, or add the row there first",
                blame,
            ),
            _ => (
                "source.excluded",
                format!("the row and others exclude each other: {named} (SQLSTATE {state})"),
                "choose a value that the constraint takes beside the other rows",
                blame,
            ),
        };
        Verdict::Row(Refusal {
            failure: Failure::new(Scope::Row, code, cause, fix),
            blame,
        })
    }

    fn not_null(&self, reported: &PgDatabaseError, table: String, blame: Blame) -> Verdict {
        let cause = match reported.column() {
            Some(column) => format!("column `{column}` of {table} takes no NULL and was given nothing else"),
            None => format!("a column of {table} takes no NULL and was given nothing else"),
        };
        let failure = Failure::new(
            Scope::Row,
            "source.not_null",
            cause,
            "give it a value in the list, map the column if it is not, or give it a default in the table",
        );
        match reported.column() {
            Some(column) => row(failure.column(column)),
            None => Verdict::Row(Refusal { failure, blame }),
        }
    }

    /// A value that does not become one of its column's.
    fn value(&self, state: &str, or_else: Option<Failure>) -> Verdict {
        let (code, cause, fix) = match state {
            "22001" => (
                "source.too_long",
                format!("a text is longer than its column of {} takes", self.subject),
                "shorten it in the list, or make the column longer; nothing was cut",
            ),
            "54000" => (
                "source.too_long",
                format!(
                    "a text is longer than an index over its column of {} takes",
                    self.subject
                ),
                "shorten it in the list, or index the column another way; nothing was cut",
            ),
            "22003" => (
                "source.out_of_range",
                format!("a number is larger than its column of {} takes", self.subject),
                "correct it in the list, or give the column a wider type",
            ),
            _ => (
                "source.not_a_value",
                format!(
                    "a text is no value of its column's type in {} (SQLSTATE {state})",
                    self.subject
                ),
                "correct it in the list to what the column's type takes",
            ),
        };
        Verdict::Row(Refusal {
            failure: Failure::new(Scope::Row, code, cause, fix),
            blame: Blame::Value { or_else },
        })
    }

    /// A trigger or function of the table refused, or broke.
    fn trigger_refused(&self, state: &str) -> Failure {
        Failure::new(
            Scope::Row,
            "source.trigger_refused",
            format!(
                "a trigger or function of {} refused the row (SQLSTATE {state})",
                self.subject
            ),
            "the server's log has its words; change the row as the trigger asks, or correct the trigger",
        )
    }

    /// A column that takes no value from anybody.
    pub(crate) fn column_computed(&self) -> Failure {
        Failure::new(
            Scope::Row,
            "source.column_computed",
            format!(
                "a column of {} is computed by the server and takes no value",
                self.subject
            ),
            "let the column travel to the list only (direction push)",
        )
    }

    fn not_taken(&self, state: &str) -> Failure {
        let (code, cause, fix) = match state {
            "428C9" => return self.column_computed(),
            "44000" => (
                "source.view_check",
                format!(
                    "the row would not be seen through the view {} (WITH CHECK OPTION)",
                    self.subject
                ),
                "choose values that the view's condition takes",
            ),
            "0A000" | "55000" => (
                "source.not_writable",
                format!("{} does not take this write (SQLSTATE {state})", self.subject),
                "write to a table, or to a view that PostgreSQL can update or that has INSTEAD OF triggers",
            ),
            _ => return self.trigger_refused(state),
        };
        Failure::new(Scope::Row, code, cause, fix)
    }

    /// Another session held the row, or the time for writing was over before its turn came.
    pub(crate) fn row_locked(&self) -> Failure {
        Failure::new(
            Scope::Row,
            "source.row_locked",
            format!(
                "the row of {} was not to be had in time: other sessions are at work on it",
                self.subject
            ),
            "nothing, it is tried again; if it repeats, look in pg_stat_activity for a transaction left open",
        )
    }

    fn row_too_slow(&self) -> Failure {
        Failure::new(
            Scope::Row,
            "source.row_too_slow",
            format!(
                "writing the row of {} took longer than locks may be held",
                self.subject
            ),
            "look for a slow trigger, or a foreign key to the table that lacks an index; the row is tried again",
        )
    }

    fn deadlock(&self) -> Failure {
        self.outage(
            "source.deadlock",
            format!(
                "the server gave up our transaction on {} in favour of another one; nothing was written",
                self.subject
            ),
            "nothing, it is tried again; if it repeats, see in which order the application locks its rows",
        )
    }

    /// A standby, or a role or database that somebody made read-only.
    pub(crate) fn server_read_only(&self) -> Failure {
        self.list(
            "source.server_read_only",
            format!(
                "{} takes no writes from the role `{}`: it is a standby or set read-only",
                self.address, self.user
            ),
            "give the primary as instance; or undo default_transaction_read_only for this role and database",
        )
    }

    fn may_not_write(&self) -> Failure {
        self.list(
            "source.write_permission",
            format!(
                "the role `{}` may not write to {}, or to what its defaults and triggers use",
                self.user, self.subject
            ),
            "grant SELECT, INSERT, UPDATE and DELETE on it, and USAGE on the sequences of its keys, to this role",
        )
    }

    /// The relation cannot be written to at all.
    pub(crate) fn relation_read_only(&self, missing: &str) -> Failure {
        self.list(
            "source.not_writable",
            format!("PostgreSQL can do no {missing} on {}", self.subject),
            "synchronise the table behind it, or give the view INSTEAD OF triggers",
        )
    }
}

fn row(failure: Failure) -> Verdict {
    Verdict::Row(Refusal {
        failure,
        blame: Blame::Nothing,
    })
}
