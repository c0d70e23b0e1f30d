//! Believable tables of any size: orders with text of many lengths and scripts, numbers, days, instants, an enum,
//! booleans and NULLs, under an integer or a uuid key.
//!
//! The server fills, changes and empties them by itself (`INSERT … SELECT`), and every value follows from the seed
//! and the row's number: two tables of one seed are equal on every machine. `number` counts the rows from 1 and
//! says which rows a step touches, whatever the key is.

use sqlx::{ConnectOptions as _, Connection as _, PgConnection};

use crate::postgres::quoted;
use crate::{Error, Result};

const FUNCTIONS: &str = include_str!("../sample/generated.sql");

/// The most rows of a table; more are a mistake in a test.
const MOST_ROWS: u64 = 10_000_000;

/// What identifies a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// `id bigint`, in the order of the rows.
    Integer,
    /// `id uuid`, in no order.
    Uuid,
}

/// A table to be generated, in the schema `generated`.
#[derive(Debug, Clone, Copy)]
pub struct Table<'a> {
    /// Its name.
    pub name: &'a str,
    /// How many rows it begins with.
    pub rows: u64,
    /// What identifies a row.
    pub key: KeyKind,
    /// Decides every value.
    pub seed: u32,
}

impl Table<'_> {
    /// `generated.name`, as a definition names it.
    #[must_use]
    pub fn qualified(&self) -> String {
        format!("generated.{}", self.name)
    }

    /// Makes the table and fills it.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an unreasonable size; [`Error::Database`], also where the table is there already.
    pub async fn make(&self, url: &str) -> Result<()> {
        if self.rows > MOST_ROWS {
            return Err(Error::Invalid(format!(
                "{} rows are more than the generator makes ({MOST_ROWS})",
                self.rows
            )));
        }
        let mut connection = connect(url).await?;
        let known: bool = sqlx::query_scalar("select to_regnamespace('generated') is not null")
            .fetch_one(&mut connection)
            .await
            .map_err(Error::database("cannot look for the generated tables"))?;
        if !known {
            run(&mut connection, FUNCTIONS).await?;
        }
        run(&mut connection, &self.definition()).await?;
        run(&mut connection, &self.insert(1, self.rows)).await?;
        run(
            &mut connection,
            &format!("vacuum (analyze, freeze) {}", self.place()),
        )
        .await?;
        close(connection).await
    }

    /// Adds rows behind those that are there and answers how many.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn add(&self, url: &str, rows: u64) -> Result<u64> {
        let mut connection = connect(url).await?;
        let last: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
            "select coalesce(max(number), 0) from {}",
            self.place()
        )))
        .fetch_one(&mut connection)
        .await
        .map_err(Error::database("cannot count the rows"))?;
        let last = u64::try_from(last).unwrap_or(0);
        let added = run(&mut connection, &self.insert(last + 1, last + rows)).await?;
        close(connection).await?;
        Ok(added)
    }

    /// Changes about so many rows of a thousand, each in several columns, and answers how many. Another `round`
    /// changes other rows; the same one the same rows again.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn change(&self, url: &str, per_mille: u32, round: u32) -> Result<u64> {
        let mut connection = connect(url).await?;
        let changed = run(
            &mut connection,
            &format!(
                "update {} t set amount = t.amount + 1.25, stage = case when t.stage = 'shipped' then 'on hold'
                     else 'shipped' end::generated.stage,
                     notes = 'Round {round}: ' || generated.prose(md5(t.number || ':{round}'), 3, 200),
                     paid = not coalesce(t.paid, false), changed_at = clock_timestamp()
                 where {}",
                self.place(),
                self.chosen("change", per_mille, round)
            ),
        )
        .await?;
        close(connection).await?;
        Ok(changed)
    }

    /// Deletes about so many rows of a thousand and answers how many.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn remove(&self, url: &str, per_mille: u32, round: u32) -> Result<u64> {
        let mut connection = connect(url).await?;
        let removed = run(
            &mut connection,
            &format!(
                "delete from {} t where {}",
                self.place(),
                self.chosen("remove", per_mille, round)
            ),
        )
        .await?;
        close(connection).await?;
        Ok(removed)
    }

    fn place(&self) -> String {
        format!("generated.{}", quoted(self.name))
    }

    /// Whether a step touches a row.
    fn chosen(&self, step: &str, per_mille: u32, round: u32) -> String {
        format!(
            "generated.bits(md5('{}:{step}:{round}:' || t.number), 1) % 1000 < {per_mille}",
            self.seed
        )
    }

    fn definition(&self) -> String {
        let key = match self.key {
            KeyKind::Integer => "bigint",
            KeyKind::Uuid => "uuid",
        };
        format!(
            "create table {place} (
                 id {key} primary key,
                 number bigint not null unique,
                 subject varchar(120) not null,
                 customer text not null,
                 contact uuid,
                 stage generated.stage not null,
                 priority smallint not null,
                 quantity integer,
                 amount numeric(12, 2) not null,
                 weight double precision,
                 paid boolean,
                 due date,
                 ordered_at timestamptz not null,
                 closed_at timestamp,
                 notes text,
                 changed_at timestamptz not null
             );
             comment on table {place} is 'Generated orders';",
            place = self.place()
        )
    }

    /// Rows with the numbers `from` to `to`. Two digests a row carry all its chance.
    fn insert(&self, from: u64, to: u64) -> String {
        let key = match self.key {
            KeyKind::Integer => "n",
            KeyKind::Uuid => "a::uuid",
        };
        format!(
            "insert into {place}
             select {key}, n,
                    left(generated.one_of(a, 1, array['Order', 'Bestellung', 'Commande', 'Pedido', '订单', 'Заказ'])
                         || ' ' || n || ' – ' || generated.prose(a, 4, 60), 120),
                    generated.one_of(a, 8, array['Åström & Söner AB', 'Müller GmbH', 'Contoso Ltd.', 'Société du Papier',
                                                 'Иванов и партнёры', '山田商店', 'O''Brien & Sons', 'Żabka sp. z o.o.', 'Peña Hermanos', 'Fabrikam, Inc.'])
                        || ' ' || generated.bits(a, 12) % 5000,
                    case when generated.bits(b, 1) % 10 > 2 then md5(b)::uuid end,
                    generated.one_of(a, 15, array['new', 'in review', 'approved', 'shipped', 'on hold',
                                                  'cancelled'])::generated.stage,
                    1 + generated.bits(a, 18) % 5,
                    case when generated.bits(b, 4) % 20 > 0 then generated.bits(a, 20) % 10000 end,
                    (generated.bits(a, 21) % 100000000)::numeric / 100,
                    case when generated.bits(b, 7) % 10 > 0 then generated.bits(a, 22) / 977.0 end,
                    case generated.bits(b, 10) % 5 when 0 then null when 1 then false else true end,
                    case when generated.bits(b, 12) % 4 > 0 then date '2024-01-01' + generated.bits(a, 23) % 1500 end,
                    timestamptz '2023-01-01 00:00:00Z' + generated.bits(a, 24) % 100000000 * interval '1 second',
                    case when generated.bits(b, 14) % 3 = 0
                         then timestamp '2024-01-01' + generated.bits(a, 25) % 60000000 * interval '1 second' end,
                    case when generated.bits(b, 16) % 5 > 0 then generated.prose(b, 18, 400) end,
                    timestamptz '2026-01-01 00:00:00Z' + n * interval '1 millisecond'
             from (select n, md5('{seed}:a:' || n) as a, md5('{seed}:b:' || n) as b
                   from generate_series({from}::bigint, {to}::bigint) n offset 0) s",
            place = self.place(),
            seed = self.seed
        )
    }
}

async fn connect(url: &str) -> Result<PgConnection> {
    let options: sqlx::postgres::PgConnectOptions = url.parse().map_err(|_| {
        Error::Invalid("not a PostgreSQL URL (postgres://user:password@host:port/db)".to_owned())
    })?;
    options
        .application_name("syncbridge generator")
        .connect()
        .await
        .map_err(Error::database(
            "cannot connect to the database of the generated table",
        ))
}

async fn run(connection: &mut PgConnection, sql: &str) -> Result<u64> {
    // Our own texts, numbers and a quoted name only.
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned()))
        .execute(connection)
        .await
        .map(|outcome| outcome.rows_affected())
        .map_err(Error::database("cannot generate a table"))
}

async fn close(connection: PgConnection) -> Result<()> {
    connection
        .close()
        .await
        .map_err(Error::database("cannot close the connection"))
}
