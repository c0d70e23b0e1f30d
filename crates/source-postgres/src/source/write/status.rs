//! What became of transactions, by their ids.

use sqlx::postgres::PgConnection;
use syncbridge_domain::failure::Failure;
use syncbridge_domain::row_write::TransactionStatus;

use crate::source::PgSource;

/// The smallest id that a transaction can have; those below stand for something else.
const FIRST_NORMAL: u64 = 3;

impl PgSource {
    /// What became of these (sub)transactions, in the order asked. Ids that this server does not remember, or has not
    /// given out yet, are `Unknown`: they are too old, or of another history.
    ///
    /// # Errors
    /// As every read.
    pub async fn transactions(&self, ids: &[u64]) -> Result<Vec<TransactionStatus>, Failure> {
        self.sessions
            .run(&self.context, async |connection| {
                match ask(connection, ids).await {
                    // One id of the future spoils the statement for all.
                    Err(error) if not_given_out(&error) => {
                        let mut all = Vec::with_capacity(ids.len());
                        for id in ids {
                            all.push(match ask(connection, &[*id]).await {
                                Ok(status) => status.into_iter().next().unwrap_or(TransactionStatus::Unknown),
                                Err(error) if not_given_out(&error) => TransactionStatus::Unknown,
                                Err(error) => return Err(error),
                            });
                        }
                        Ok(all)
                    }
                    answer => answer,
                }
            })
            .await
    }
}

async fn ask(connection: &mut PgConnection, ids: &[u64]) -> Result<Vec<TransactionStatus>, sqlx::Error> {
    let texts: Vec<Option<String>> = ids
        .iter()
        .map(|id| (*id >= FIRST_NORMAL).then(|| id.to_string()))
        .collect();
    let found: Vec<Option<String>> = sqlx::query_scalar(
        "SELECT pg_catalog.pg_xact_status(u.id::xid8) \
         FROM pg_catalog.unnest($1::text[]) WITH ORDINALITY AS u(id, at) ORDER BY u.at",
    )
    .bind(texts)
    .fetch_all(connection)
    .await?;
    Ok(found
        .iter()
        .map(|status| match status.as_deref() {
            Some("committed") => TransactionStatus::Committed,
            Some("aborted") => TransactionStatus::Aborted,
            Some("in progress") => TransactionStatus::InProgress,
            _ => TransactionStatus::Unknown,
        })
        .collect())
}

fn not_given_out(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .is_some_and(|error| error.code().as_deref() == Some("22023"))
}

/// The 64 bits of the id of a subtransaction, of which `xmin` holds the lower 32. It began after the whole
/// transaction, and so many ids apart that it could be taken for an older one they never are.
pub(super) fn widened(top: u64, low: u32) -> u64 {
    let id = (top & !u64::from(u32::MAX)) | u64::from(low);
    if id < top { id + (1 << 32) } else { id }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_epoch_of_a_subtransaction_is_that_of_its_transaction_or_the_next() {
        assert_eq!(widened(1_000, 1_001), 1_001);
        assert_eq!(widened(1_000, 1_000), 1_000);
        let epoch = 7 << 32;
        assert_eq!(widened(epoch + 1_000, 1_002), epoch + 1_002);
        let last = epoch + u64::from(u32::MAX);
        assert_eq!(widened(last, 3), (8 << 32) + 3, "ids began anew in between");
        assert_eq!(widened(last - 1, u32::MAX), last);
    }
}
