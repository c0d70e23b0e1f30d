//! What applications, databases, instances and connections have in common: a named document in a workspace.

use chrono::{DateTime, Utc};
use serde_json::Value as Json;
use sqlx::{AssertSqlSafe, PgConnection, Row as _};
use syncbridge_domain::ids::WorkspaceId;
use uuid::Uuid;

use crate::error::{Error, Result, violates_reference};

/// What storing a document did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It was not there.
    Created,
    /// It was there and different.
    Changed,
    /// It was there and the same; nothing was written.
    Unchanged,
}

/// A stored document and what storing it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored<I> {
    /// Its id.
    pub id: I,
    /// What was done.
    pub change: Change,
}

/// A document as stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Document<I> {
    /// Its id.
    pub id: I,
    /// Its workspace.
    pub workspace: WorkspaceId,
    /// Its name, unique in workspace and kind.
    pub name: String,
    /// What it belongs to: the application of a database, the database of an instance.
    pub parent: Option<Uuid>,
    /// The document's `spec`.
    pub spec: Json,
    /// When it was made.
    pub created: DateTime<Utc>,
    /// When it was last changed.
    pub updated: DateTime<Utc>,
    /// By whom.
    pub updated_by: String,
}

/// Where documents of one kind live. All texts are ours, never from outside.
pub(crate) struct Table {
    pub(crate) name: &'static str,
    pub(crate) id: &'static str,
    pub(crate) kind: &'static str,
    /// The column that names what it belongs to, or `NULL::uuid`.
    pub(crate) parent: &'static str,
}

impl Table {
    fn has_parent(&self) -> bool {
        self.parent != NO_PARENT
    }

    /// Creates or changes a document; the same document again writes nothing.
    pub(crate) async fn put(
        &self,
        connection: &mut PgConnection,
        document: NewDocument<'_>,
        actor: &str,
    ) -> Result<Stored<Uuid>> {
        let Self {
            name: table,
            id: id_column,
            parent,
            ..
        } = self;
        // Two writers of one new name: the second waits here and then finds the first one's row.
        let (columns, values) = if self.has_parent() {
            (format!(", {parent}"), ", $6")
        } else {
            (String::new(), "")
        };
        let insert = format!(
            "INSERT INTO {table} ({id_column}, workspace_id, name, spec, created_by, updated_by{columns})
             VALUES ($1, $2, $3, $4, $5, $5{values}) ON CONFLICT (workspace_id, name) DO NOTHING"
        );
        let id = Uuid::now_v7();
        let mut query = sqlx::query(AssertSqlSafe(insert))
            .bind(id)
            .bind(document.workspace.uuid())
            .bind(document.name)
            .bind(document.spec)
            .bind(actor);
        if self.has_parent() {
            query = query.bind(document.parent);
        }
        if query.execute(&mut *connection).await?.rows_affected() == 1 {
            return Ok(Stored {
                id,
                change: Change::Created,
            });
        }
        let update = format!(
            "UPDATE {table} SET spec = $3, updated_at = now(), updated_by = $4{}
             WHERE workspace_id = $1 AND name = $2 AND (spec IS DISTINCT FROM $3{})
             RETURNING {id_column}",
            if self.has_parent() {
                format!(", {parent} = $5")
            } else {
                String::new()
            },
            if self.has_parent() {
                format!(" OR {parent} IS DISTINCT FROM $5")
            } else {
                String::new()
            },
        );
        let mut query = sqlx::query_scalar(AssertSqlSafe(update))
            .bind(document.workspace.uuid())
            .bind(document.name)
            .bind(document.spec)
            .bind(actor);
        if self.has_parent() {
            query = query.bind(document.parent);
        }
        if let Some(id) = query.fetch_optional(&mut *connection).await? {
            return Ok(Stored {
                id,
                change: Change::Changed,
            });
        }
        let found = self.find(connection, document.workspace, document.name).await?;
        Ok(Stored {
            id: found.id,
            change: Change::Unchanged,
        })
    }

    pub(crate) async fn find(
        &self,
        connection: &mut PgConnection,
        workspace: WorkspaceId,
        name: &str,
    ) -> Result<Document<Uuid>> {
        let select = format!("{} WHERE workspace_id = $1 AND name = $2", self.select());
        let row = sqlx::query(AssertSqlSafe(select))
            .bind(workspace.uuid())
            .bind(name)
            .fetch_optional(connection)
            .await?
            .ok_or_else(|| self.missing(name))?;
        read(&row)
    }

    pub(crate) async fn get(&self, connection: &mut PgConnection, id: Uuid) -> Result<Document<Uuid>> {
        let select = format!("{} WHERE {} = $1", self.select(), self.id);
        let row = sqlx::query(AssertSqlSafe(select))
            .bind(id)
            .fetch_optional(connection)
            .await?
            .ok_or_else(|| self.missing(&id.to_string()))?;
        read(&row)
    }

    pub(crate) async fn list(
        &self,
        connection: &mut PgConnection,
        workspace: WorkspaceId,
    ) -> Result<Vec<Document<Uuid>>> {
        let select = format!("{} WHERE workspace_id = $1 ORDER BY name", self.select());
        let rows = sqlx::query(AssertSqlSafe(select))
            .bind(workspace.uuid())
            .fetch_all(connection)
            .await?;
        rows.iter().map(read).collect()
    }

    pub(crate) async fn delete(
        &self,
        connection: &mut PgConnection,
        workspace: WorkspaceId,
        name: &str,
    ) -> Result<()> {
        let delete = format!("DELETE FROM {} WHERE workspace_id = $1 AND name = $2", self.name);
        let deleted = sqlx::query(AssertSqlSafe(delete))
            .bind(workspace.uuid())
            .bind(name)
            .execute(connection)
            .await
            .map_err(|error| match violates_reference(&error) {
                true => Error::InUse {
                    kind: self.kind,
                    name: name.to_owned(),
                },
                false => error.into(),
            })?;
        if deleted.rows_affected() == 0 {
            Err(self.missing(name))
        } else {
            Ok(())
        }
    }

    fn missing(&self, name: &str) -> Error {
        Error::NotFound {
            kind: self.kind,
            name: name.to_owned(),
        }
    }

    fn select(&self) -> String {
        let Self { name, id, parent, .. } = self;
        format!(
            "SELECT {id}, workspace_id, name, {parent}, spec, created_at, updated_at, updated_by FROM {name}"
        )
    }
}

/// Stands for the parent of kinds that have none.
pub(crate) const NO_PARENT: &str = "NULL::uuid";

/// A document to be stored.
pub(crate) struct NewDocument<'a> {
    pub(crate) workspace: WorkspaceId,
    pub(crate) name: &'a str,
    pub(crate) parent: Option<Uuid>,
    pub(crate) spec: &'a Json,
}

fn read(row: &sqlx::postgres::PgRow) -> Result<Document<Uuid>> {
    Ok(Document {
        id: row.try_get(0)?,
        workspace: WorkspaceId::from_uuid(row.try_get(1)?),
        name: row.try_get(2)?,
        parent: row.try_get(3)?,
        spec: row.try_get(4)?,
        created: row.try_get(5)?,
        updated: row.try_get(6)?,
        updated_by: row.try_get(7)?,
    })
}

impl<I> Document<I> {
    /// The same document under a typed id.
    pub(crate) fn typed<J>(self, id: impl FnOnce(I) -> J) -> Document<J> {
        let Self {
            id: bare,
            workspace,
            name,
            parent,
            spec,
            created,
            updated,
            updated_by,
        } = self;
        Document {
            id: id(bare),
            workspace,
            name,
            parent,
            spec,
            created,
            updated,
            updated_by,
        }
    }
}

impl<I> Stored<I> {
    pub(crate) fn typed<J>(self, id: impl FnOnce(I) -> J) -> Stored<J> {
        Stored {
            id: id(self.id),
            change: self.change,
        }
    }
}
