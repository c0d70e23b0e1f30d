//! The sample company: a believable database with awkward values, the same on every machine.
//!
//! Schema `company` with `people` (uuid key, no time of change), `projects` (text business key), `contracts`
//! (composite key) and `tasks` (identity key, long text); more than 6,000 rows. The SQL is in `sample/`.

use sqlx::{ConnectOptions as _, Connection as _, PgConnection};

use crate::{Error, Result};

const SCHEMA: &str = include_str!("../sample/schema.sql");
const DATA: &str = include_str!("../sample/data.sql");
const CHANGES: &str = include_str!("../sample/changes.sql");

/// The tables, in the order of their foreign keys, without the schema.
pub const TABLES: [&str; 4] = ["people", "projects", "contracts", "tasks"];

/// The schema's name.
pub const SCHEMA_NAME: &str = "company";

/// The comment that tells our schema from somebody else's of the same name.
const MARK: &str = "SyncBridge sample company";

/// What was done to rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// New rows.
    Insert,
    /// Changed cells.
    Update,
    /// Rows gone.
    Delete,
}

/// Rows of one table touched in one way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Touched {
    /// Table, without the schema.
    pub table: &'static str,
    /// What was done.
    pub kind: Kind,
    /// To how many rows.
    pub rows: u64,
    /// In words for people, such as `contracts were signed`.
    pub what: String,
}

/// Rows in `table` touched by `kind`, over all steps.
#[must_use]
pub fn rows(touched: &[Touched], table: &str, kind: Kind) -> u64 {
    touched
        .iter()
        .filter(|step| step.table == table && step.kind == kind)
        .map(|step| step.rows)
        .sum()
}

/// Makes schema and rows in one transaction. Where the sample is there already nothing is touched and every
/// count is 0.
///
/// # Errors
/// [`Error::ForeignSchema`] when a schema `company` of somebody else is there; [`Error::Database`].
pub async fn load(url: &str) -> Result<Vec<Touched>> {
    let mut connection = connect(url).await?;
    let mut transaction = connection.begin().await.map_err(failed("cannot begin"))?;
    let fresh = match presence(&mut transaction).await? {
        Presence::Ours => false,
        Presence::Foreign => return Err(Error::ForeignSchema),
        Presence::None => {
            run(&mut transaction, SCHEMA, "cannot make the sample's tables").await?;
            run(&mut transaction, DATA, "cannot fill the sample's tables").await?;
            true
        }
    };
    let mut touched = Vec::new();
    for table in TABLES {
        let rows = if fresh {
            count(&mut transaction, table).await?
        } else {
            0
        };
        touched.push(Touched {
            table,
            kind: Kind::Insert,
            rows,
            what: "the sample was loaded".to_owned(),
        });
    }
    transaction
        .commit()
        .await
        .map_err(failed("cannot commit the sample"))?;
    if fresh {
        run(&mut connection, "analyze", "cannot collect statistics").await?;
    }
    connection
        .close()
        .await
        .map_err(failed("cannot close the connection"))?;
    Ok(touched)
}

/// Plays one working day, in one transaction per step as people's work would be. Each day changes other rows.
///
/// # Errors
/// [`Error::SampleMissing`] when the sample is not loaded; [`Error::Database`].
pub async fn a_working_day(url: &str) -> Result<Vec<Touched>> {
    let steps = steps(CHANGES)?;
    let mut connection = connect(url).await?;
    if presence(&mut connection).await? != Presence::Ours {
        return Err(Error::SampleMissing);
    }
    run(
        &mut connection,
        "select nextval('company.working_day')",
        "cannot begin a working day",
    )
    .await?;
    let mut touched = Vec::new();
    for step in steps {
        let rows = run(
            &mut connection,
            step.statement,
            &format!("working day: {}", step.what),
        )
        .await?;
        touched.push(Touched {
            table: step.table,
            kind: step.kind,
            rows,
            what: step.what.to_owned(),
        });
    }
    connection
        .close()
        .await
        .map_err(failed("cannot close the connection"))?;
    Ok(touched)
}

/// Drops the sample with all changes and loads it anew.
///
/// # Errors
/// [`Error::ForeignSchema`] when the schema is not ours: it is not dropped; [`Error::Database`].
pub async fn reset(url: &str) -> Result<Vec<Touched>> {
    let mut connection = connect(url).await?;
    match presence(&mut connection).await? {
        Presence::Foreign => return Err(Error::ForeignSchema),
        Presence::Ours => {
            run(
                &mut connection,
                "drop schema company cascade",
                "cannot drop the sample",
            )
            .await?;
        }
        Presence::None => {}
    }
    connection
        .close()
        .await
        .map_err(failed("cannot close the connection"))?;
    load(url).await
}

#[derive(Debug, PartialEq, Eq)]
enum Presence {
    None,
    Ours,
    Foreign,
}

async fn presence(connection: &mut PgConnection) -> Result<Presence> {
    let comment: Option<Option<String>> = sqlx::query_scalar(
        "select obj_description(oid, 'pg_namespace') from pg_namespace where nspname = 'company'",
    )
    .fetch_optional(connection)
    .await
    .map_err(failed("cannot look for the sample"))?;
    Ok(match comment {
        None => Presence::None,
        Some(Some(text)) if text == MARK => Presence::Ours,
        Some(_) => Presence::Foreign,
    })
}

async fn connect(url: &str) -> Result<PgConnection> {
    let options: sqlx::postgres::PgConnectOptions = url.parse().map_err(|_| {
        Error::Invalid("not a PostgreSQL URL (postgres://user:password@host:port/db)".to_owned())
    })?;
    options
        .application_name("syncbridge sample")
        .connect()
        .await
        .map_err(failed("cannot connect to the database of the sample"))
}

async fn run(connection: &mut PgConnection, sql: &str, what: &str) -> Result<u64> {
    // Our own files and constants only.
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned()))
        .execute(connection)
        .await
        .map(|outcome| outcome.rows_affected())
        .map_err(failed(what))
}

async fn count(connection: &mut PgConnection, table: &str) -> Result<u64> {
    let rows: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
        "select count(*) from company.{table}"
    )))
    .fetch_one(connection)
    .await
    .map_err(failed("cannot count the sample's rows"))?;
    Ok(u64::try_from(rows).unwrap_or(0))
}

fn failed(what: &str) -> impl FnOnce(sqlx::Error) -> Error {
    Error::database(what)
}

#[derive(Debug)]
struct Step<'a> {
    table: &'static str,
    kind: Kind,
    what: &'a str,
    statement: &'a str,
}

/// Cuts `-- step: TABLE KIND: words` sections; what stands before the first one is commentary.
fn steps(text: &str) -> Result<Vec<Step<'_>>> {
    text.split("\n-- step: ")
        .skip(1)
        .map(|section| {
            let broken = || Error::Invalid(format!("broken step in the sample's changes: {section}"));
            let (head, statement) = section.split_once('\n').ok_or_else(broken)?;
            let (target, what) = head.split_once(": ").ok_or_else(broken)?;
            let (table, kind) = target.split_once(' ').ok_or_else(broken)?;
            let table = TABLES
                .into_iter()
                .find(|known| *known == table)
                .ok_or_else(broken)?;
            let kind = match kind {
                "insert" => Kind::Insert,
                "update" => Kind::Update,
                "delete" => Kind::Delete,
                _ => return Err(broken()),
            };
            Ok(Step {
                table,
                kind,
                what,
                statement: statement.trim(),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_of_the_day_is_one_statement_of_its_kind_on_its_table() {
        let steps = steps(CHANGES).unwrap();
        assert_eq!(steps.len(), CHANGES.matches("\n-- step: ").count());
        for step in steps {
            assert_eq!(step.statement.matches(';').count(), 1, "{}", step.what);
            let opening = match step.kind {
                Kind::Insert => format!("insert into company.{} ", step.table),
                Kind::Update => format!("update company.{}", step.table),
                Kind::Delete => format!("delete from company.{}", step.table),
            };
            assert!(step.statement.starts_with(&opening), "{}", step.statement);
        }
    }

    #[test]
    fn a_step_with_an_unknown_table_or_kind_is_refused() {
        assert!(steps("x\n-- step: robots insert: a\nselect 1;").is_err());
        assert!(steps("x\n-- step: people merge: a\nselect 1;").is_err());
    }

    #[test]
    fn the_sample_does_not_depend_on_chance() {
        for text in [SCHEMA, DATA, CHANGES] {
            let code: String = text
                .lines()
                .map(|line| line.split("--").next().unwrap_or(""))
                .collect();
            assert!(!code.contains("random(") && !code.contains("gen_random_uuid"));
        }
    }
}
