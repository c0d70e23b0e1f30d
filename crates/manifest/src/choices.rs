//! From a definition to the choices the mapping is derived with.

use std::collections::BTreeMap;

use syncbridge_domain::derive::{Choices, FieldChoice};
use syncbridge_domain::list_rules::ColumnOptions;
use syncbridge_domain::table::TableShape;

use crate::definition::SyncDefinitionSpec;
use crate::field_rule::FieldRule;

/// A choice column that says nowhere what may be chosen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "column `{column}` is to become a choice, but is no enum (or array of one) whose labels could be taken; \
     write `type: {{kind: {kind}, choices: [..]}}`"
)]
pub struct NoChoices {
    /// The column.
    pub column: String,
    /// The kind that was asked for.
    pub kind: &'static str,
}

impl SyncDefinitionSpec {
    /// What [`syncbridge_domain::derive::derive`] needs to know of this definition. `table` is asked for the
    /// labels of enum columns only; columns it does not have are reported by `derive`.
    ///
    /// # Errors
    /// [`NoChoices`] names the first choice column without choices.
    pub fn choices(&self, table: &TableShape) -> Result<Choices, NoChoices> {
        let choice = |rule| field_choice(rule, table);
        let fields = self
            .fields
            .as_ref()
            .map(|rules| rules.iter().map(choice).collect::<Result<_, _>>());
        Ok(Choices {
            key: self.source.key.clone(),
            fields: fields.transpose()?,
            exclude: self.exclude.clone(),
            watermark: self.source.watermark.clone(),
            time_zone: self.target.time_zone,
            direction: self.direction,
            lossy: self.policies.two_way.lossy,
        })
    }
}

impl SyncDefinitionSpec {
    /// What is asked of list columns beyond their kind, by source column. A column's comment describes it.
    #[must_use]
    pub fn column_options(&self, table: &TableShape) -> BTreeMap<String, ColumnOptions> {
        let rules = self.fields.as_deref().unwrap_or_default();
        let options = table.columns.iter().map(|column| {
            let rule = rules.iter().find(|rule| rule.column == column.name);
            let options = ColumnOptions {
                description: column.comment.clone(),
                required: rule.is_some_and(|rule| rule.required),
                default: rule.and_then(|rule| rule.default.clone()),
                indexed: rule.is_some_and(|rule| rule.index),
                new_choices: rule.map(|rule| rule.new_choices).unwrap_or_default(),
                named: rule.is_some_and(|rule| rule.name.is_some()),
            };
            (column.name.clone(), options)
        });
        options.collect()
    }
}

fn field_choice(rule: &FieldRule, table: &TableShape) -> Result<FieldChoice, NoChoices> {
    let labels = table
        .column(&rule.column)
        .map_or(&[][..], |column| column.pg_type.labels());
    let facet = match &rule.facet {
        Some(facet) => Some(facet.facet(labels).ok_or_else(|| NoChoices {
            column: rule.column.clone(),
            kind: facet.name(),
        })?),
        None => None,
    };
    Ok(FieldChoice {
        column: rule.column.clone(),
        display_name: rule.display_name.clone(),
        internal_name: rule.name.clone(),
        title: rule.title,
        passive: rule.passive,
        facet,
        direction: rule.direction,
        lossy: rule.lossy,
        conflict: rule.conflict,
        on_foreign_edit: rule.on_foreign_edit,
        system: rule.system,
    })
}

#[cfg(test)]
mod tests {
    use syncbridge_domain::facet::Facet;
    use syncbridge_domain::pg_type::PgType;
    use syncbridge_domain::table::ColumnShape;

    use super::*;
    use crate::{Spec, parse};

    fn column(name: &str, pg_type: PgType) -> ColumnShape {
        ColumnShape {
            name: name.into(),
            pg_type,
            nullable: true,
            generated: false,
            comment: None,
        }
    }

    fn table() -> TableShape {
        TableShape {
            schema: "company".into(),
            name: "projects".into(),
            comment: None,
            estimated_rows: 0,
            columns: vec![
                column("code", PgType::Text),
                column(
                    "status",
                    PgType::Enum {
                        name: "status".into(),
                        labels: vec!["idea".into(), "done".into()],
                    },
                ),
            ],
            primary_key: vec!["code".into()],
            unique_keys: Vec::new(),
            enforces_keys: true,
            remarks: Vec::new(),
        }
    }

    fn choices(fields: &str) -> Result<Choices, NoChoices> {
        let text = format!(
            "{{apiVersion: syncbridge/v1, kind: SyncDefinition, metadata: {{name: a}}, spec: {{database: d, \
             connection: c, source: {{table: company.projects}}, \
             target: {{site: contoso.sharepoint.com, list: P}}, fields: [{fields}]}}}}"
        );
        let found = parse("t.yaml", &text).unwrap();
        let Spec::SyncDefinition(spec) = &found[0].value.spec else {
            panic!("not a definition")
        };
        spec.choices(&table())
    }

    #[test]
    fn a_choice_column_takes_the_labels_of_its_enum_type() {
        let found =
            choices("{column: status, type: choice, as: Stand}, {column: code, title: true}").unwrap();
        let fields = found.fields.unwrap();
        assert_eq!(
            fields[0].facet,
            Some(Facet::Choice {
                choices: vec!["idea".into(), "done".into()]
            })
        );
        assert_eq!(
            (fields[0].display_name.as_deref(), fields[1].title),
            (Some("Stand"), true)
        );
    }

    #[test]
    fn a_choice_column_without_any_choices_is_refused_by_name() {
        let error = choices("{column: code, type: choice}").unwrap_err();
        assert_eq!(
            error,
            NoChoices {
                column: "code".into(),
                kind: "choice"
            }
        );
    }
}
