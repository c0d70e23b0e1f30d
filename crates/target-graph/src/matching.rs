//! Which column of a list serves for which wanted one: by internal name, or else by the name people see.

use std::collections::BTreeSet;

use serde_json::{Value as Json, json};
use syncbridge_domain::failure::{Failure, Scope};
use syncbridge_domain::list_rules::{ItemIdentity, ListFacts, TargetMode};

use crate::codes;
use crate::column::{ColumnDifference, DesiredColumn, DesiredList, Fit, ListColumn, TITLE, facet_name, fit};
use crate::discovery::List;

/// Most indexed columns of a list (contract §12).
const MAX_INDEXES: usize = 20;

/// What one look at a list found.
pub(crate) struct Look<'a> {
    pub(crate) list: List,
    pub(crate) missing: Vec<&'a DesiredColumn>,
    /// Wanted column, id of the present one, and the change by which it takes more: further choices, longer texts.
    pub(crate) extended: Vec<(&'a DesiredColumn, String, Json)>,
    /// Wanted column, id of the present one.
    pub(crate) unindexed: Vec<(&'a DesiredColumn, String)>,
    pub(crate) differences: Vec<ColumnDifference>,
    pub(crate) no_index: Option<Failure>,
    /// Id and wanted name of `Title`.
    pub(crate) rename_title: Option<(String, String)>,
    pub(crate) facts: ListFacts,
}

/// How a wanted column was found.
enum Match<'c> {
    /// By its internal name, or by the name people see.
    Found(&'c ListColumn),
    None,
    Differs(ColumnDifference),
}

/// Compares what a list has with what is wanted of it.
pub(crate) fn look<'a>(list: List, columns: &[ListColumn], desired: &'a DesiredList) -> Look<'a> {
    let mut found = Look {
        list,
        missing: Vec::new(),
        extended: Vec::new(),
        unindexed: Vec::new(),
        differences: Vec::new(),
        no_index: None,
        rename_title: None,
        facts: ListFacts::default(),
    };
    let managed = desired.mode == TargetMode::Managed;
    let wanted: BTreeSet<&str> = desired
        .columns
        .iter()
        .map(|column| column.name.as_str())
        .collect();
    let mut taken: BTreeSet<&str> = BTreeSet::new();
    for column in &desired.columns {
        match find(column, columns, &wanted, &taken) {
            Match::Found(present) => {
                taken.insert(&present.name);
                found.judge(column, present, managed, managed && desired.known_id.is_some());
            }
            Match::None if managed => found.missing.push(column),
            Match::None => found.differences.push(absent(column)),
            Match::Differs(difference) => found.differences.push(difference),
        }
    }
    if managed {
        let indexes = columns.iter().filter(|column| column.indexed).count();
        let more = found.missing.iter().filter(|column| column.is_indexed()).count() + found.unindexed.len();
        found.no_index = impossible_index(desired).or_else(|| over_quota(indexes, more));
    } else {
        found.learn_identity(columns, desired);
    }
    let title = columns.iter().find(|column| column.name == TITLE);
    found.rename_title = desired.title_display_name.as_ref().and_then(|name| {
        title
            .filter(|column| column.display_name != *name)
            .map(|column| (column.id.clone(), name.clone()))
    });
    found
}

/// Why a list could not hold the wanted indexes, whatever else is in it.
pub(crate) fn impossible_index(desired: &DesiredList) -> Option<Failure> {
    let unfit = desired
        .columns
        .iter()
        .find(|column| column.is_indexed() && !column.facet.is_indexable());
    if let Some(column) = unfit {
        let cause = format!(
            "`{}` becomes {}, which no list takes an index on",
            column.display_name,
            facet_name(&column.facet)
        );
        let fix =
            "write `type: text` for the field (at most 255 characters then fit), or remove `index: true`";
        return Some(Failure::new(Scope::List, codes::NO_INDEX, cause, fix).column(&column.name));
    }
    over_quota(
        0,
        desired
            .columns
            .iter()
            .filter(|column| column.is_indexed())
            .count(),
    )
}

fn over_quota(present: usize, more: usize) -> Option<Failure> {
    (more > 0 && present + more > MAX_INDEXES).then(|| {
        Failure::new(
            Scope::List,
            codes::NO_INDEX,
            format!("the list has {present} indexed columns, {more} more are wanted, and it takes {MAX_INDEXES}"),
            "remove `index: true` from fields that people do not filter by (one index is needed for the sync key)",
        )
    })
}

impl<'a> Look<'a> {
    fn differ(&mut self, mut difference: ColumnDifference, present: &ListColumn) {
        difference.column.clone_from(&present.name);
        self.differences.push(difference);
    }

    /// `managed`: its columns are ours to change; `ours`: this list was fitted before.
    fn judge(&mut self, column: &'a DesiredColumn, present: &ListColumn, managed: bool, ours: bool) {
        if present.name != column.name
            && let Some(source) = &column.source
        {
            self.facts.names.insert(source.clone(), present.name.clone());
        }
        match fit(column, present) {
            Fit::Differs(difference) => self.differ(difference, present),
            // A column that we made, or took over when it was long enough, follows its source column.
            Fit::Lengthen(_) if ours => {
                let (name, facet) = column.facet_definition();
                self.extended
                    .push((column, present.id.clone(), json!({ name: facet })));
            }
            Fit::Lengthen(difference) => self.differ(difference, present),
            // What people own stays as it is; rows that do not fit are refused one by one.
            _ if !managed => {}
            Fit::Serves => {}
            Fit::Grow(choices) => {
                let (name, mut facet) = column.facet_definition();
                facet["choices"] = json!(choices);
                self.extended
                    .push((column, present.id.clone(), json!({ name: facet })));
            }
            Fit::Index => self.unindexed.push((column, present.id.clone())),
        }
    }

    /// Whether the list itself keeps two items of one identity apart.
    fn learn_identity(&mut self, columns: &[ListColumn], desired: &DesiredList) {
        let name = desired.identity.column();
        let bound = match &desired.identity {
            ItemIdentity::SyncKey { .. } => None,
            ItemIdentity::KeyField { .. } => desired
                .columns
                .iter()
                .find(|column| column.name == name)
                .and_then(|column| self.facts.names.get(column.source.as_ref()?)),
        };
        let name = bound.map_or(name, String::as_str);
        let column = columns.iter().find(|column| column.name == name);
        self.facts.indexed = column.is_some_and(|column| column.indexed);
        self.facts.unique = column.is_some_and(|column| column.indexed && column.unique);
    }
}

fn find<'c>(
    wanted: &DesiredColumn,
    columns: &'c [ListColumn],
    others: &BTreeSet<&str>,
    taken: &BTreeSet<&str>,
) -> Match<'c> {
    if let Some(found) = columns.iter().find(|column| column.name == wanted.name) {
        return Match::Found(found);
    }
    if wanted.options.named {
        return Match::None;
    }
    // Columns that the service keeps for itself are shown by names people use, too.
    let candidates: Vec<&ListColumn> = columns
        .iter()
        .filter(|column| column.display_name.to_lowercase() == wanted.display_name.to_lowercase())
        .filter(|column| !column.read_only && !column.hidden && column.kind.is_some() && column.name != TITLE)
        .filter(|column| !others.contains(column.name.as_str()) && !taken.contains(column.name.as_str()))
        .collect();
    let mut serving = candidates
        .iter()
        .filter(|column| !matches!(fit(wanted, column), Fit::Differs(_)));
    match (serving.next(), serving.next(), candidates.first()) {
        (Some(one), None, _) => Match::Found(one),
        (Some(one), Some(other), _) => Match::Differs(ColumnDifference {
            column: wanted.display_name.clone(),
            wanted: format!("one column called `{}`", wanted.display_name),
            found: format!("there several times, as `{}` and `{}`", one.name, other.name),
            fix: "give the field the internal name of the right one with `name`".to_owned(),
        }),
        (None, _, Some(other)) => {
            let Fit::Differs(difference) = fit(wanted, other) else {
                return Match::None;
            };
            Match::Differs(ColumnDifference {
                column: other.name.clone(),
                wanted: format!("{} for `{}`", difference.wanted, wanted.name),
                found: format!("`{}`, {}", other.name, difference.found),
                fix: format!(
                    "{}; or call the field otherwise with `as`, or give it a column of its own with `name: {}`",
                    difference.fix, wanted.name
                ),
            })
        }
        (None, _, None) => Match::None,
    }
}

fn absent(wanted: &DesiredColumn) -> ColumnDifference {
    ColumnDifference {
        column: wanted.name.clone(),
        wanted: format!("{} called `{}`", facet_name(&wanted.facet), wanted.display_name),
        found: "not there, and a list of your own is never changed".to_owned(),
        fix: "add the column in the list's settings, name the right one with `name`, leave the field out of the \
              mapping, or write `target.mode: managed`"
            .to_owned(),
    }
}
