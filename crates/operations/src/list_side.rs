//! The list side of a definition: what travels into which columns, and what is asked of the list.

use std::collections::{BTreeMap, BTreeSet};

use syncbridge_domain::failure::{Failure, Scope};
use syncbridge_domain::ids::WorkspaceId;
use syncbridge_domain::list_rules::{
    ColumnOptions, ItemIdentity, ListFacts, ListRules, NewChoices, TargetMode, identity_of, wish_stamps,
};
use syncbridge_domain::mapping::Mapping;
use syncbridge_domain::policy::DeletePolicy;
use syncbridge_domain::table::TableShape;
use syncbridge_manifest::{Document, Kind, Spec, SyncDefinitionSpec};
use syncbridge_meta_store::{Error as StoreError, PgConnection, definitions};

use crate::definition;
use crate::error::Result;
use crate::ports::ListWish;
use crate::shelf::Shelf;

/// What a definition asks of its list, by what is known of that list.
pub(crate) struct ListSide {
    /// Onto the columns that the list really has, as far as they are known.
    pub(crate) mapping: Mapping,
    pub(crate) options: BTreeMap<String, ColumnOptions>,
    /// How items of a list that people own are recognised.
    pub(crate) own: Option<ItemIdentity>,
    pub(crate) facts: ListFacts,
}

impl ListSide {
    /// Of a definition over a table.
    pub(crate) fn of(
        spec: &SyncDefinitionSpec,
        table: &TableShape,
        facts: ListFacts,
    ) -> std::result::Result<Self, Failure> {
        let mapping = facts.bind(definition::mapping(spec, table)?);
        let own = match spec.target.mode {
            TargetMode::Managed => None,
            TargetMode::BringYourOwn => Some(own_identity(spec, &mapping)?),
        };
        Ok(Self {
            options: spec.column_options(table),
            mapping,
            own,
            facts,
        })
    }

    /// What the adapters are asked for.
    pub(crate) fn wish<'a>(
        &'a self,
        spec: &'a SyncDefinitionSpec,
        table: &TableShape,
        known: Option<String>,
    ) -> ListWish<'a> {
        ListWish {
            site: spec.target.site.to_string(),
            name: &spec.target.list,
            description: spec.target.description.clone().or_else(|| table.comment.clone()),
            mapping: &self.mapping,
            options: &self.options,
            own: self.own.clone(),
            known,
            learn_time_zone: false,
            archives: spec.policies.delete == DeletePolicy::Archive,
        }
    }

    /// Whether the list was made to fit what is asked of it now.
    pub(crate) fn is_fitted(&self) -> bool {
        self.stamps().is_subset(&self.facts.fitted)
    }

    fn stamps(&self) -> BTreeSet<String> {
        wish_stamps(&self.mapping, &self.options, self.own.as_ref())
    }

    /// Takes over what provisioning learnt of the list.
    pub(crate) fn learn(&mut self, learnt: &ListFacts) {
        let mut facts = learnt.clone();
        let known = std::mem::take(&mut self.facts.names);
        let mut fitted = std::mem::take(&mut self.facts.fitted);
        facts.names = known.into_iter().chain(facts.names).collect();
        self.mapping = facts.bind(self.mapping.clone());
        if let (Some(ItemIdentity::KeyField { column }), [key]) = (&mut self.own, self.mapping.key.as_slice())
            && let Some(field) = self.mapping.fields.iter().find(|field| field.column == key.name)
        {
            column.clone_from(&field.target);
        }
        self.facts = facts;
        // What was fitted for a field that does not travel any more is still there.
        fitted.extend(self.stamps());
        self.facts.fitted = fitted;
    }

    /// How a run has to treat the list.
    pub(crate) fn rules(&self) -> ListRules {
        let fixed = self.mapping.fields.iter().filter(|field| {
            let asked = self.options.get(&field.column);
            asked.is_some_and(|asked| asked.new_choices == NewChoices::Fixed)
        });
        let fixed_choices = fixed.map(|field| field.target.clone()).collect();
        match &self.own {
            None => ListRules {
                fixed_choices,
                ..ListRules::default()
            },
            Some(identity) => ListRules {
                mode: TargetMode::BringYourOwn,
                identity: identity.clone(),
                unique: self.facts.unique,
                indexed: self.facts.indexed,
                fixed_choices,
            },
        }
    }

    /// What people should know about a list of their own, in their words.
    pub(crate) fn remark(&self) -> Option<String> {
        let own = self.own.as_ref().filter(|_| !self.facts.unique)?;
        Some(format!(
            "the list does not keep the values of `{}` apart: a new item whose answer is lost is looked for by \
             reading the whole list, and its row waits meanwhile. Index that column and enforce unique values to \
             spare both",
            own.column()
        ))
    }
}

fn own_identity(spec: &SyncDefinitionSpec, mapping: &Mapping) -> std::result::Result<ItemIdentity, Failure> {
    let named = spec.target.identity_column.as_deref();
    identity_of(mapping, named).ok_or_else(|| {
        let cause = match named {
            Some(name) => format!("column `{name}` of the list holds a field that is not the whole key"),
            None => {
                "the key has several columns or does not travel, so that no item tells its row".to_owned()
            }
        };
        Failure::new(
            Scope::List,
            "list.no_identity",
            cause,
            "map the single key column, or add a text column of its own to the list, indexed and with unique \
             values, and name it in `target.identityColumn`",
        )
    })
}

/// Refuses a list that another definition, stored or given at the same time, owns for the same namespace.
pub(crate) fn refuse_second_owner(shelf: &Shelf, name: &str, spec: &SyncDefinitionSpec) -> Result<()> {
    let claims = |document: &&Document| match &document.spec {
        Spec::SyncDefinition(other) => {
            document.name.as_str() != name
                && other.namespace == spec.namespace
                && other.connection == spec.connection
                && other.target.site == spec.target.site
                && other.target.list.to_lowercase() == spec.target.list.to_lowercase()
        }
        _ => false,
    };
    match shelf.of_kind(Kind::SyncDefinition).find(claims) {
        None => Ok(()),
        Some(other) => Err(owned(name, other.name.as_str(), &spec.namespace).into()),
    }
}

/// As [`refuse_second_owner`], for the list itself, by whatever name and address it is reached.
pub(crate) async fn refuse_owned_list(
    connection: &mut PgConnection,
    workspace: WorkspaceId,
    list: &str,
    name: &str,
    spec: &SyncDefinitionSpec,
) -> Result<()> {
    let own = match definitions::find(connection, workspace, name).await {
        Ok(stored) => Some(stored.id),
        Err(StoreError::NotFound { .. }) => None,
        Err(other) => return Err(other.into()),
    };
    match definitions::owner_of(connection, list, &spec.namespace, own).await? {
        None => Ok(()),
        // One that was deleted with its ledger kept goes on under its own name.
        Some(owner) if owner == name => Ok(()),
        Some(owner) => Err(owned(name, &owner, &spec.namespace).into()),
    }
}

fn owned(name: &str, owner: &str, namespace: &str) -> Failure {
    StoreError::ListOwned {
        name: name.to_owned(),
        owner: owner.to_owned(),
        namespace: namespace.to_owned(),
    }
    .into()
}
