//! Sentinels: rows that a table must hold to be believed when it says that others are gone (DESIGN §5, Guards).

use crate::failure::{Failure, Scope};
use crate::identity::KeyColumn;
use crate::row::{Presence, SourceRow};

/// Code of a missing sentinel.
pub const MISSING: &str = "guard.sentinel";

/// What to say where sentinels, read in their order, are not all there. They are named by their position and the
/// key's columns, never by their values.
#[must_use]
pub fn missing(key: &[KeyColumn], found: &[Presence<SourceRow>]) -> Option<Failure> {
    let absent: Vec<String> = found
        .iter()
        .enumerate()
        .filter(|(_, row)| !matches!(row, Presence::One(_) | Presence::Many(_)))
        .map(|(at, _)| (at + 1).to_string())
        .collect();
    let (what, are) = match absent.as_slice() {
        [] => return None,
        [one] => (format!("sentinel {one}"), "is"),
        several => (format!("sentinels {}", several.join(", ")), "are"),
    };
    let columns: Vec<&str> = key.iter().map(|column| column.name.as_str()).collect();
    Some(Failure::new(
        Scope::List,
        MISSING,
        format!(
            "{what} of {} in `guards.sentinels` ({}) {are} not in the table, so it is not believed that other rows \
             are gone: nothing is deleted or marked",
            found.len(),
            columns.join(", ")
        ),
        "see that the table is the right one and whole; if the row went for good, take it out of \
         `guards.sentinels` and apply the definition",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pg_type::PgType;

    #[test]
    fn missing_sentinels_are_named_by_position_and_columns() {
        let key = ["country", "year"].map(|name| KeyColumn {
            name: name.into(),
            pg_type: PgType::Text,
        });
        let there = Presence::Many(Vec::new());
        assert_eq!(missing(&key, &[]), None);
        assert_eq!(missing(&key, &[there.clone(), there.clone()]), None);
        let one = missing(&key, &[there, Presence::None]).unwrap();
        assert!(
            one.cause
                .starts_with("sentinel 2 of 2 in `guards.sentinels` (country, year) is not in the table"),
            "{one}"
        );
        // Not looked at is as good as missing.
        let both = missing(&key, &[Presence::None, Presence::Unseen]).unwrap();
        assert!(both.cause.starts_with("sentinels 1, 2 of 2 "), "{both}");
    }
}
