//! Compares what a definition wants to read with what the catalog holds.

use syncbridge_domain::failure::{Failure, Scope};
use syncbridge_domain::pg_type::PgType;

use crate::access::Access;
use crate::catalog::{
    Catalog, CatalogColumn, Found, KeyRefusal, Relation, UniqueKey, unaddressable, unfit_for_a_key,
};
use crate::near::did_you_mean;
use crate::shape::{ReadShape, TableRef};
use crate::sql::Identifier;
use crate::statements::{Column, Statements};

/// What passed the check.
pub(super) struct Checked {
    pub(super) found: Found,
    pub(super) statements: Statements,
}

pub(super) async fn check(
    catalog: &Catalog,
    access: &Access,
    table: &TableRef,
    shape: &ReadShape,
) -> Result<Checked, Failure> {
    let (schema_name, table_name) = (Identifier::new(&table.schema)?, Identifier::new(&table.table)?);
    if shape.key.is_empty() {
        return Err(Failure::new(
            Scope::List,
            "source.key_missing",
            format!("the definition names no key columns for {table}"),
            "name the columns of a primary or unique key",
        ));
    }
    let relation = catalog.relation(table).await?;
    let keys = relation.keys();
    let Relation { found, columns, .. } = relation;
    if !found.schema_usable {
        return Err(no_schema(access, table, &schema_name));
    }
    let wanted = Wanted {
        table,
        columns: &columns,
    };
    let key = wanted.all(shape.key.iter().map(|c| (c.name.as_str(), &c.pg_type)))?;
    let cells = wanted.all(shape.columns.iter().map(|c| (c.name.as_str(), &c.pg_type)))?;
    let watermark = wanted.all(shape.watermark.iter().map(|c| (c.name.as_str(), &c.pg_type)))?;
    let unreadable: Vec<&str> = [&key, &cells, &watermark]
        .into_iter()
        .flatten()
        .map(|column| &column.description)
        .filter(|column| !column.readable)
        .map(|column| column.name.as_str())
        .collect();
    if !unreadable.is_empty() {
        return Err(no_select(
            access,
            table,
            [&schema_name, &table_name],
            &unreadable,
        )?);
    }
    if found.rows_hidden {
        return Err(catalog.sessions().context.on(&table.to_string()).row_security());
    }
    check_key(table, &found, &keys, &key)?;
    let statements = Statements::new(
        [&schema_name, &table_name],
        &prepared(&key)?,
        &prepared(&cells)?,
        prepared(&watermark)?.first(),
        shape.cell_max_bytes,
    );
    Ok(Checked { found, statements })
}

fn prepared(columns: &[&CatalogColumn]) -> Result<Vec<Column>, Failure> {
    columns
        .iter()
        .map(|column| {
            Ok(Column {
                name: Identifier::new(&column.description.name)?,
                cast: column.cast.clone(),
                pg_type: column.description.pg_type.clone(),
            })
        })
        .collect()
}

struct Wanted<'a> {
    table: &'a TableRef,
    columns: &'a [CatalogColumn],
}

impl<'a> Wanted<'a> {
    fn all<'b>(
        &self,
        wanted: impl Iterator<Item = (&'b str, &'b PgType)>,
    ) -> Result<Vec<&'a CatalogColumn>, Failure> {
        wanted.map(|(name, pg_type)| self.one(name, pg_type)).collect()
    }

    fn one(&self, name: &str, pg_type: &PgType) -> Result<&'a CatalogColumn, Failure> {
        let Some(column) = self.columns.iter().find(|column| column.description.name == name) else {
            let near = did_you_mean(name, self.columns.iter().map(|c| c.description.name.as_str()));
            return Err(Failure::new(
                Scope::List,
                "source.column_missing",
                format!("{} has no column `{name}`{near}", self.table),
                "correct the definition; upper and lower case matter",
            )
            .column(name));
        };
        // Lengths, precisions and new labels do not change what a text means; another type does.
        if column.description.pg_type.cast_name() != pg_type.cast_name() {
            return Err(Failure::new(
                Scope::List,
                "source.type_changed",
                format!(
                    "the column is a {} in {}, but was a {} when the definition was made",
                    column.description.declared_type,
                    self.table,
                    pg_type.cast_name()
                ),
                "apply the definition again, so that the mapping is made for the new type",
            )
            .column(name));
        }
        Ok(column)
    }
}

fn check_key(
    table: &TableRef,
    found: &Found,
    keys: &[UniqueKey],
    columns: &[&CatalogColumn],
) -> Result<(), Failure> {
    let enforced = found.summary.kind.enforces_keys();
    for column in columns {
        let column = &column.description;
        let refusal = if enforced {
            unfit_for_a_key(column)
        } else {
            unaddressable(column)
        };
        if let Some(refusal) = refusal {
            return Err(key_refused(table, &refusal).column(&column.name));
        }
    }
    if !enforced {
        return Ok(());
    }
    // Any usable key within the columns makes the whole unique; more columns do no harm.
    let named = |name: &String| columns.iter().any(|column| &column.description.name == name);
    if keys
        .iter()
        .any(|key| key.refusal.is_none() && key.columns.iter().all(named))
    {
        return Ok(());
    }
    let offered: Vec<String> = keys
        .iter()
        .filter(|key| key.refusal.is_none())
        .map(|key| format!("({})", key.columns.join(", ")))
        .collect();
    let fix = if offered.is_empty() {
        "add a primary key or a unique index over NOT NULL columns to the table".to_owned()
    } else {
        format!(
            "use {}, or add a unique index over the columns of the definition",
            offered.join(" or ")
        )
    };
    Err(Failure::new(
        Scope::List,
        "source.key_not_unique",
        format!("nothing in {table} keeps the definition's key columns unique"),
        fix,
    ))
}

fn key_refused(table: &TableRef, refusal: &KeyRefusal) -> Failure {
    let code = match refusal {
        KeyRefusal::Nullable(_) => "source.key_nullable",
        KeyRefusal::Nondeterministic(_) => "source.key_collation",
        _ => "source.key_type",
    };
    Failure::new(
        Scope::List,
        code,
        format!("the key of {table} cannot identify rows: {refusal}"),
        "choose another primary or unique key, or correct this one",
    )
}

fn no_schema(access: &Access, table: &TableRef, schema: &Identifier) -> Failure {
    Failure::new(
        Scope::List,
        "source.permission",
        format!("the role `{}` may not use the schema of {table}", access.user),
        format!("GRANT USAGE ON SCHEMA {} TO {}", schema.quoted(), role(access)),
    )
}

fn no_select(
    access: &Access,
    table: &TableRef,
    name: [&Identifier; 2],
    columns: &[&str],
) -> Result<Failure, Failure> {
    let mut quoted: Vec<String> = Vec::new();
    for column in columns {
        let column = Identifier::new(column)?.quoted().to_owned();
        if !quoted.contains(&column) {
            quoted.push(column);
        }
    }
    Ok(Failure::new(
        Scope::List,
        "source.permission",
        format!(
            "the role `{}` may not read {} column(s) of {table}",
            access.user,
            quoted.len()
        ),
        format!(
            "GRANT SELECT ({}) ON {}.{} TO {}",
            quoted.join(", "),
            name[0].quoted(),
            name[1].quoted(),
            role(access)
        ),
    ))
}

/// The role's name for a person to copy.
fn role(access: &Access) -> String {
    Identifier::new(&access.user).map_or_else(|_| "the role".to_owned(), |name| name.quoted().to_owned())
}
