//! From a definition's name and the key a person types to the row that is meant.

use syncbridge_domain::agreed::{RowDigest, row_digest};
use syncbridge_domain::failure::{Failure, Scope};
use syncbridge_domain::identity::{HashKey, Identity, Key, encode_key};
use syncbridge_domain::ids::DefinitionId;
use syncbridge_domain::mapping::Mapping;
use syncbridge_domain::row::Cell;
use syncbridge_domain::run::SourceSpec;
use syncbridge_meta_store::{PgConnection, definitions, hash_keys};

use crate::Operations;
use crate::definition;
use crate::error::Result;
use crate::ports::{InstanceAccess, RowPlace};
use crate::shelf::Shelf;
use crate::site_zone::SiteZone;

/// A definition whose rows can be addressed by key: the table as it is now, and how identities are made.
pub(crate) struct Addressed {
    pub(crate) id: DefinitionId,
    pub(crate) mapping: Mapping,
    /// Graph's id of the list, where there is one.
    pub(crate) list: Option<String>,
    namespace: String,
    hash_key: HashKey,
    source: InstanceAccess,
    table: SourceSpec,
}

impl Operations {
    /// Opens a definition for looking at single rows.
    ///
    /// # Errors
    /// An unknown definition, a table that cannot be described.
    pub(crate) async fn addressed(&self, connection: &mut PgConnection, name: &str) -> Result<Addressed> {
        let shelf = Shelf::load(connection, self.workspace).await?;
        let spec = shelf.definition(name)?.clone();
        let stored = definitions::find(connection, self.workspace, name).await?;
        let source = self
            .instance_access(connection, &shelf, spec.database.as_str())
            .await?;
        let table = self
            .adapters
            .describe_table(&source, &spec.source.schema, &spec.source.table)
            .await?;
        let mut mapping = definition::mapping(&spec, &table)?;
        // Where it is not known yet, cells are only judged, never placed.
        let learnt = definitions::site_time_zone(connection, stored.id).await?;
        SiteZone::settle(&spec, learnt.as_deref(), &mut mapping);
        let hash_key =
            hash_keys::of_definition(connection, &self.ring, self.workspace, stored.id, "look").await?;
        Ok(Addressed {
            id: stored.id,
            mapping,
            list: stored.list.map(|list| list.list),
            namespace: spec.namespace.clone(),
            hash_key,
            source,
            table: definition::source_spec(&spec, &table)?,
        })
    }
}

impl Addressed {
    /// The key with these values of the key columns in their order, as PostgreSQL prints them.
    ///
    /// # Errors
    /// `ledger.key` for too few, too many or malformed values.
    pub(crate) fn key(&self, given: &[String]) -> Result<Key> {
        key_of(&self.mapping, given)
    }

    /// Whose key this is.
    pub(crate) fn identity(&self, key: &Key) -> Identity {
        Identity::new(&self.hash_key, &self.namespace, key)
    }

    /// The key of identities and hashes.
    pub(crate) fn hash_key(&self) -> &HashKey {
        &self.hash_key
    }

    /// The digest by which a row's content is recognised.
    pub(crate) fn digest(&self, cells: &[Cell]) -> RowDigest {
        row_digest(&self.hash_key, self.mapping.layout(), &self.mapping, cells)
    }

    /// Where its rows are read.
    pub(crate) fn place(&self) -> RowPlace<'_> {
        RowPlace {
            access: &self.source,
            spec: &self.table,
            mapping: &self.mapping,
        }
    }
}

/// The key with these values of its columns.
pub(crate) fn key_of(mapping: &Mapping, given: &[String]) -> Result<Key> {
    let key = spelled_key(mapping, given);
    Ok(key.map_err(|wrong| Failure::new(Scope::Row, "ledger.key", wrong.cause, wrong.fix))?)
}

/// Why texts are no key of a table. Names columns and types, never a value.
pub(crate) struct NoKey {
    pub(crate) cause: String,
    pub(crate) fix: String,
}

/// The key that a person spelled: the values of its columns in their order.
pub(crate) fn spelled_key(mapping: &Mapping, given: &[String]) -> std::result::Result<Key, NoKey> {
    let names: Vec<&str> = mapping.key.iter().map(|column| column.name.as_str()).collect();
    let wrong = |cause: String| NoKey {
        cause,
        fix: format!(
            "give the values of {} in this order, as PostgreSQL prints them",
            names.join(", ")
        ),
    };
    if given.len() != names.len() {
        return Err(wrong(format!(
            "the key has {} columns, {} values were given",
            names.len(),
            given.len()
        )));
    }
    let raw: Vec<Option<&str>> = given.iter().map(|text| Some(text.as_str())).collect();
    encode_key(&mapping.key, &raw).map_err(|error| wrong(error.to_string()))
}
