//! Columns, with domains resolved to their base type.

use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgRow};
use syncbridge_domain::pg_type::PgType;

use crate::sql::CastName;

/// The collation of a text column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollationDescription {
    /// Its name; `default` is the database's own.
    pub name: String,
    /// False where it holds different texts equal (accents or case ignored); no key can rest on it.
    pub deterministic: bool,
}

/// One column.
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnDescription {
    /// Its name.
    pub name: String,
    /// Its base type.
    pub pg_type: PgType,
    /// Its type as declared, for people.
    pub declared_type: String,
    /// The domain it was declared with.
    pub domain: Option<String>,
    /// Whether it takes NULL, as far as the column's own NOT NULL says.
    pub nullable: bool,
    /// Expression of its default.
    pub default: Option<String>,
    /// It is computed from other columns.
    pub generated: bool,
    /// It is an identity column.
    pub identity: bool,
    /// Its comment.
    pub comment: Option<String>,
    /// Its collation, for types that have one.
    pub collation: Option<CollationDescription>,
    /// Our role may read it.
    pub readable: bool,
}

/// A column together with the server's own spelling of its type.
pub(crate) struct CatalogColumn {
    pub(crate) description: ColumnDescription,
    pub(crate) cast: CastName,
}

/// All columns of a relation in their order.
pub(crate) async fn read_columns(
    connection: &mut PgConnection,
    relation: i64,
) -> Result<Vec<CatalogColumn>, sqlx::Error> {
    // An array type is the one its element names as such; `oidvector` and its like are none.
    // `format_type(oid, -1)` is the spelling that casts without cutting: `bpchar`, not `character`.
    let rows = sqlx::query(
        "SELECT a.attname::text, NOT a.attnotnull, a.attidentity <> '', a.attgenerated <> '', \
             pg_catalog.pg_get_expr(d.adbin, d.adrelid), pg_catalog.col_description(a.attrelid, a.attnum), \
             pg_catalog.format_type(a.atttypid, a.atttypmod), \
             CASE WHEN t.typtype = 'd' THEN pg_catalog.format_type(a.atttypid, NULL) END, \
             base.oid::int8, base.typmod, base.typtype::text, pg_catalog.format_type(base.oid, -1), \
             ARRAY(SELECT e.enumlabel::text FROM pg_catalog.pg_enum AS e \
                   WHERE e.enumtypid = base.oid ORDER BY e.enumsortorder), \
             co.collname::text, co.collisdeterministic, \
             pg_catalog.has_column_privilege(a.attrelid, a.attnum, 'SELECT'), \
             element.oid::int8, element.typmod, element.typtype::text, \
             pg_catalog.format_type(element.oid, -1), \
             ARRAY(SELECT e.enumlabel::text FROM pg_catalog.pg_enum AS e \
                   WHERE e.enumtypid = element.oid ORDER BY e.enumsortorder) \
         FROM pg_catalog.pg_attribute AS a \
         JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid \
         CROSS JOIN LATERAL ( \
             WITH RECURSIVE chain AS ( \
                 SELECT b.oid, a.atttypmod AS typmod, b.typtype, b.typbasetype, b.typtypmod \
                 FROM pg_catalog.pg_type AS b WHERE b.oid = a.atttypid \
                 UNION ALL \
                 SELECT b.oid, chain.typtypmod, b.typtype, b.typbasetype, b.typtypmod \
                 FROM chain JOIN pg_catalog.pg_type AS b ON b.oid = chain.typbasetype \
                 WHERE chain.typtype = 'd') \
             SELECT chain.oid, chain.typmod, chain.typtype FROM chain WHERE chain.typtype <> 'd') AS base \
         LEFT JOIN LATERAL ( \
             WITH RECURSIVE chain AS ( \
                 SELECT b.oid, base.typmod, b.typtype, b.typbasetype, b.typtypmod \
                 FROM pg_catalog.pg_type AS b WHERE b.typarray = base.oid \
                 UNION ALL \
                 SELECT b.oid, chain.typtypmod, b.typtype, b.typbasetype, b.typtypmod \
                 FROM chain JOIN pg_catalog.pg_type AS b ON b.oid = chain.typbasetype \
                 WHERE chain.typtype = 'd') \
             SELECT chain.oid, chain.typmod, chain.typtype FROM chain WHERE chain.typtype <> 'd') AS element \
             ON true \
         LEFT JOIN pg_catalog.pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
         LEFT JOIN pg_catalog.pg_collation AS co ON co.oid = a.attcollation \
         WHERE a.attrelid = $1::oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
    )
    .bind(oid(relation)?)
    .fetch_all(connection)
    .await?;
    rows.iter().map(column).collect()
}

/// Object ids are unsigned; they travel as `int8` because the sign bit is used.
pub(crate) fn oid(number: i64) -> Result<sqlx::postgres::types::Oid, sqlx::Error> {
    u32::try_from(number)
        .map(sqlx::postgres::types::Oid)
        .map_err(|error| sqlx::Error::Decode(error.into()))
}

fn column(row: &PgRow) -> Result<CatalogColumn, sqlx::Error> {
    let base: i64 = row.try_get(8)?;
    let typmod: i32 = row.try_get(9)?;
    let typtype: &str = row.try_get(10)?;
    let spelled: String = row.try_get(11)?;
    let element = match row.try_get::<Option<i64>, _>(16)? {
        Some(element) => {
            let spelled: String = row.try_get(19)?;
            Some(one_type(
                element,
                row.try_get(17)?,
                row.try_get(18)?,
                &spelled,
                row.try_get(20)?,
            ))
        }
        None => None,
    };
    let pg_type = match element {
        Some(element) => PgType::Array {
            element: Box::new(element),
            name: spelled.clone(),
        },
        None => one_type(base, typmod, typtype, &spelled, row.try_get(12)?),
    };
    let collation = match row.try_get::<Option<String>, _>(13)? {
        Some(name) => Some(CollationDescription {
            name,
            deterministic: row.try_get::<Option<bool>, _>(14)?.unwrap_or(true),
        }),
        None => None,
    };
    let generated: bool = row.try_get(3)?;
    Ok(CatalogColumn {
        description: ColumnDescription {
            name: row.try_get(0)?,
            pg_type,
            declared_type: row.try_get(6)?,
            domain: row.try_get(7)?,
            nullable: row.try_get(1)?,
            // A generated column's expression is stored as a default, but is none.
            default: if generated { None } else { row.try_get(4)? },
            generated,
            identity: row.try_get(2)?,
            comment: row.try_get(5)?,
            collation,
            readable: row.try_get(15)?,
        },
        cast: CastName::printed_by_the_server(spelled),
    })
}

/// A type that is no domain and no array.
fn one_type(oid: i64, typmod: i32, typtype: &str, spelled: &str, labels: Vec<String>) -> PgType {
    if typtype == "e" {
        PgType::Enum {
            name: spelled.to_owned(),
            labels,
        }
    } else {
        base_type(oid, typmod, spelled)
    }
}

/// Object ids of built-in types never change.
fn base_type(oid: i64, typmod: i32, spelled: &str) -> PgType {
    let length = || u32::try_from(typmod - 4).ok().filter(|_| typmod >= 4);
    match oid {
        16 => PgType::Bool,
        21 => PgType::Int2,
        23 => PgType::Int4,
        20 => PgType::Int8,
        700 => PgType::Float4,
        701 => PgType::Float8,
        1700 => numeric(typmod),
        25 => PgType::Text,
        1043 => PgType::Varchar { length: length() },
        1042 => PgType::Char { length: length() },
        2950 => PgType::Uuid,
        1082 => PgType::Date,
        1114 => PgType::Timestamp,
        1184 => PgType::TimestampTz,
        790 => PgType::Money,
        _ => PgType::Other {
            name: spelled.to_owned(),
        },
    }
}

/// `numeric(p, s)` keeps p in the upper 16 bits and s in the lower 11, signed since PostgreSQL 15.
fn numeric(typmod: i32) -> PgType {
    if typmod < 4 {
        return PgType::Numeric {
            precision: None,
            scale: None,
        };
    }
    let packed = typmod - 4;
    let scale = ((packed & 0x7ff) ^ 1024) - 1024;
    PgType::Numeric {
        precision: u16::try_from((packed >> 16) & 0xffff).ok(),
        scale: i16::try_from(scale).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn precision_and_scale_are_unpacked_also_where_the_scale_is_negative() {
        let typmod = |precision: i32, scale: i32| ((precision << 16) | (scale & 0x7ff)) + 4;
        for (precision, scale) in [(14_u16, 2_i16), (1, 0), (1000, 1000), (3, -3)] {
            assert_eq!(
                numeric(typmod(i32::from(precision), i32::from(scale))),
                PgType::Numeric {
                    precision: Some(precision),
                    scale: Some(scale)
                }
            );
        }
        assert_eq!(
            numeric(-1),
            PgType::Numeric {
                precision: None,
                scale: None
            }
        );
    }
}
