//! Point reads of many keys in one statement.

use std::collections::HashMap;

use sqlx::Row as _;
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
    let (read, lsn) = source
        .sessions
        .run(&source.context, async |connection| {
            let lsn = position(connection).await?;
            let mut query = sqlx::query(source.statements.by_keys.statement());
            for column in columns {
                query = query.bind(column);
            }
            let read = bounded(query.fetch(connection), KEYS_MAX_BYTES, |row| {
                let ordinal: i64 = row.try_get(0).map_err(|error| source.context.classify(error))?;
                let row = source.row(row, 1)?;
                let bytes = size(&row);
                Ok(((usize::try_from(ordinal - 1).unwrap_or(usize::MAX), row), bytes))
            });
            Ok((read.await?, lsn))
        })
        .await?;
    let read = read?;
    if !read.complete {
        return Err(Failure::new(
            Scope::List,
            "source.read_too_large",
            format!(
                "{} rows of {} take more than {} MiB",
                keys.len(),
                source.table,
                KEYS_MAX_BYTES >> 20
            ),
            "lower the number of rows a page (`page_rows`), or leave the large columns out of the mapping",
        ));
    }
    let mut found: HashMap<usize, Vec<SourceRow>> = HashMap::new();
    for (at, read) in read.rows {
        // The server's equality may be wider than the key's (a value written differently since): that row
        // has another identity, and the one asked for is gone.
        if keys.get(at) == Some(&read.key) {
            found.entry(at).or_default().push(read);
        }
    }
    let presence = |at: usize| {
        let mut rows = found.remove(&at).unwrap_or_default();
        match rows.pop() {
            None => Presence::None,
            Some(row) if rows.is_empty() => Presence::One(row),
            Some(row) => {
                rows.push(row);
                Presence::Many(rows)
            }
        }
    };
    Ok(((0..keys.len()).map(presence).collect(), lsn))
}

/// The keys' texts column by column, as `unnest` wants them.
pub(super) fn columns_of(source: &PgSource, keys: &[Key]) -> Result<Vec<Vec<String>>, Failure> {
    let mut columns: Vec<Vec<String>> = vec![Vec::with_capacity(keys.len()); source.key.len()];
    for key in keys {
        for (column, text) in columns.iter_mut().zip(source.key_values(key)?) {
            column.push(text);
        }
    }
    Ok(columns)
}
