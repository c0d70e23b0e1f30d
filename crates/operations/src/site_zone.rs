//! The time zone of the site: given by the definition, learnt from the list, or still to be learnt.
//!
//! Only definitions with a date column need it. Until it is known a mapping carries UTC in its place, which is good
//! for counting rows and for nothing else: a push learns it first, a verification is refused. Learning writes a
//! probe, which only a list of ours is given: for a list that people own the definition has to say it.

use chrono_tz::Tz;
use syncbridge_domain::failure::{Failure, Scope};
use syncbridge_domain::list_rules::TargetMode;
use syncbridge_domain::mapping::Mapping;
use syncbridge_manifest::SyncDefinitionSpec;

/// What is known of the zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SiteZone {
    /// No column is a date.
    NotNeeded,
    /// Given or learnt.
    Known(Tz),
    /// Needed for this column first.
    ToLearn {
        /// Column of the source.
        column: String,
    },
    /// Needed for this column, and nobody but the definition can tell it.
    Missing {
        /// Column of the source.
        column: String,
    },
}

impl SiteZone {
    /// Puts the zone into the mapping, as far as it is known. The definition's word stands above what was learnt.
    pub(crate) fn settle(spec: &SyncDefinitionSpec, learnt: Option<&str>, mapping: &mut Mapping) -> Self {
        let Some(column) = mapping.day_field().map(|field| field.column.clone()) else {
            return Self::NotNeeded;
        };
        // A name that our own table of zones does not hold any more is learnt anew.
        let learnt = learnt.and_then(|name| name.parse().ok());
        match spec.target.time_zone.or(learnt) {
            Some(zone) => {
                mapping.time_zone = zone;
                Self::Known(zone)
            }
            None if spec.target.mode == TargetMode::BringYourOwn => Self::Missing { column },
            None => Self::ToLearn { column },
        }
    }

    /// Whether the next push has to find it out.
    pub(crate) fn is_to_learn(&self) -> bool {
        matches!(self, Self::ToLearn { .. })
    }

    /// The zone's name, where it is needed and known.
    pub(crate) fn name(&self) -> Option<String> {
        match self {
            Self::Known(zone) => Some(zone.name().to_owned()),
            Self::NotNeeded | Self::ToLearn { .. } | Self::Missing { .. } => None,
        }
    }

    /// Why days cannot be compared or written, if so.
    pub(crate) fn refusal(&self) -> Option<Failure> {
        let (column, fix) = match self {
            Self::NotNeeded | Self::Known(_) => return None,
            Self::ToLearn { column } => (
                column,
                "run the definition once, which finds it out, or give `target.timeZone`, or map the column to text",
            ),
            Self::Missing { column } => (
                column,
                "give `target.timeZone`, since a list of your own is not written to find it out, or map the column \
                 to text",
            ),
        };
        Some(
            Failure::new(
                Scope::List,
                "site.time_zone_unknown",
                "a list keeps a date as the midnight of its site, and the site's time zone is not known yet",
                fix,
            )
            .column(column),
        )
    }

    /// Why no run of such a definition could ever begin, if so.
    pub(crate) fn never_known(&self) -> Option<Failure> {
        self.refusal().filter(|_| matches!(self, Self::Missing { .. }))
    }

    /// What a plan says that was made without it.
    pub(crate) fn notice(&self) -> Option<String> {
        let Self::ToLearn { column } = self else {
            return None;
        };
        Some(format!(
            "the time zone of the site is not known yet and will be learnt by the first run, which column \
             `{column}` needs to know"
        ))
    }
}
