//! Point reads of many keys in one statement.

use sqlx::Row as _;
use sqlx::postgres::PgConnection;
use syncbridge_domain::failure::{Failure, Scope};
use syncbridge_domain::feed::Lsn;
use syncbridge_domain::identity::Key;
use syncbridge_domain::row::{Presence, SourceRow};

use super::{KEYS_MAX_BYTES, PgSource, bounded, position, size};

/// Most keys in one point read.
pub const KEYS_MAX: usize = 5_000;

pub(super) async fn read_keys(
    source: &PgSource,
    keys: &[Key],
) -> Result<(Vec<Presence<SourceRow>>, Lsn), Failure> {
    if keys.len() > KEYS_MAX {
        return Err(Failure::new(
            Scope::List,
            "source.too_many_keys",
            format!(
                "{} keys were asked for in one read; {KEYS_MAX} is the limit",
                keys.len()
            ),
            "ask in smaller portions (report this as a defect)",
        ));
    }
    let columns = columns_of(source, keys)?;
    let (found, lsn) = source
        .sessions
        .run(&source.context, async |connection| {
            let lsn = position(connection).await?;
            let found = look_up(source, connection, Look::Rows, keys, columns).await?;
            Ok((found, lsn))
        })
        .await?;
    let presence = |mut rows: Vec<(SourceRow, Option<String>)>| match rows.pop() {
        None => Presence::None,
        Some((row, _)) if rows.is_empty() => Presence::One(row),
        Some(last) => {
            rows.push(last);
            Presence::Many(rows.into_iter().map(|(row, _)| row).collect())
        }
    };
    Ok((found?.into_iter().map(presence).collect(), lsn))
}

/// What a look at rows is to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    Rows,
    /// With each row the 32 bits of the transaction id that wrote it, where the relation has rows of its own.
    RowsAndWriters,
}

/// The rows of each key as this session sees them. `columns` are the keys' texts column by column.
pub(crate) async fn look_up(
    source: &PgSource,
    connection: &mut PgConnection,
    look: Look,
    keys: &[Key],
    columns: Vec<Vec<String>>,
) -> Result<Result<Vec<Vec<(SourceRow, Option<String>)>>, Failure>, sqlx::Error> {
    let sql = match look {
        Look::Rows => &source.statements.by_keys,
        Look::RowsAndWriters => &source.statements.by_keys_with_xmin,
    };
    let mut query = sqlx::query(sql.statement());
    for column in columns {
        query = query.bind(column);
    }
    let driver = |error| source.context.classify(error);
    let read = bounded(query.fetch(connection), KEYS_MAX_BYTES, |row| {
        let ordinal: i64 = row.try_get(0).map_err(driver)?;
        let writer: Option<String> = match look {
            Look::Rows => None,
            Look::RowsAndWriters => row.try_get(row.len() - 1).map_err(driver)?,
        };
        let row = source.row(row, 1)?;
        let bytes = size(&row);
        Ok((
            (usize::try_from(ordinal - 1).unwrap_or(usize::MAX), row, writer),
            bytes,
        ))
    });
    let read = match read.await? {
        Ok(read) if read.complete => read,
        Ok(_) => return Ok(Err(too_large(source, keys))),
        Err(failure) => return Ok(Err(failure)),
    };
    let mut found: Vec<Vec<(SourceRow, Option<String>)>> = Vec::new();
    found.resize_with(keys.len(), Vec::new);
    for (at, row, writer) in read.rows {
        // The server's equality may be wider than the key's (a value written differently since): that row
        // has another identity, and the one asked for is gone.
        if keys.get(at) == Some(&row.key) {
            found[at].push((row, writer));
        }
    }
    Ok(Ok(found))
}

fn too_large(source: &PgSource, keys: &[Key]) -> Failure {
    Failure::new(
        Scope::List,
        "source.read_too_large",
        format!(
            "{} rows of {} take more than {} MiB",
            keys.len(),
            source.table,
            KEYS_MAX_BYTES >> 20
        ),
        "lower the number of rows a page (`page_rows`), or leave the large columns out of the mapping",
    )
}

/// The keys' texts column by column, as `unnest` wants them.
pub(crate) fn columns_of(source: &PgSource, keys: &[Key]) -> Result<Vec<Vec<String>>, Failure> {
    let mut columns: Vec<Vec<String>> = vec![Vec::with_capacity(keys.len()); source.key.len()];
    for key in keys {
        for (column, text) in columns.iter_mut().zip(source.key_values(key)?) {
            column.push(text);
        }
    }
    Ok(columns)
}
