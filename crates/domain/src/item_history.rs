//! What a list tells of an item's past, where it keeps versions (DESIGN §5: a bonus, never a condition).
//!
//! A version bears a label, not the counter that preconditions speak of. The two run side by side as long as nothing
//! but writes moves the counter; whatever else moves it moves it further than the label.

use crate::failure::Failure;
use crate::receipt::{Fields, Item, ItemId};
use crate::version::Version;

/// One version of an item.
#[derive(Clone, PartialEq)]
pub struct ItemVersion {
    /// The number before the point of its label; rises by one with every version that is made.
    pub label: u64,
    /// The columns that were told.
    pub fields: Fields,
    /// Whether a mapped column that is not among them was empty.
    pub complete: bool,
    /// Whether this very app made it; `None` where the list does not say.
    pub by_us: Option<bool>,
}

impl std::fmt::Debug for ItemVersion {
    // Values never reach a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ItemVersion({}.0, {} fields)", self.label, self.fields.len())
    }
}

/// The versions of an item that the list still keeps.
#[derive(Clone, Debug, PartialEq)]
pub struct ItemHistory {
    /// How new the item was when it was asked.
    pub now: Version,
    /// The label that it bore then.
    pub label: u64,
    /// Newest first; those that came after the question may be among them.
    pub versions: Vec<ItemVersion>,
}

impl ItemHistory {
    /// Whether nothing but versions ever moved the counter, so that label and counter are one number.
    #[must_use]
    pub fn in_step(&self) -> bool {
        self.now.counter == self.label
    }

    /// A label that no version up to this counter lies above; `None` where the labels do not reach back so far. Where
    /// label and counter are not in step the true one may be higher.
    #[must_use]
    pub fn label_at(&self, counter: u64) -> Option<u64> {
        let writes = self.now.counter.checked_sub(counter)?;
        self.label.checked_sub(writes).filter(|label| *label > 0)
    }

    /// Whether every version above a label is there, and the one at it.
    #[must_use]
    pub fn reaches(&self, label: u64) -> bool {
        let mut expected = None;
        for version in &self.versions {
            if expected.is_some_and(|expected| version.label != expected) {
                return false;
            }
            if version.label <= label {
                return true;
            }
            expected = version.label.checked_sub(1);
        }
        false
    }

    /// The item as one of its versions left it.
    #[must_use]
    pub fn item_at(&self, id: &ItemId, version: &ItemVersion) -> Item {
        let since = self.label.saturating_sub(version.label);
        Item {
            id: id.clone(),
            version: Version {
                guid: self.now.guid,
                counter: self.now.counter.saturating_sub(since),
            },
            fields: version.fields.clone(),
            complete: version.complete,
            shows_key: false,
            modified: None,
            by_us: version.by_us,
        }
    }
}

/// What asking for an item's versions came to.
#[derive(Clone, Debug, PartialEq)]
pub enum HistoryRead {
    /// There they are.
    Told(ItemHistory),
    /// The list answers, and tells nothing of them.
    Untold,
    /// No readable answer; another time there may be one.
    Unknown(Failure),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(counter: u64, labels: &[u64]) -> ItemHistory {
        let guid = uuid::Uuid::from_u128(1);
        let version = |label: &u64| ItemVersion {
            label: *label,
            fields: Fields::new(),
            complete: true,
            by_us: None,
        };
        ItemHistory {
            now: Version { guid, counter },
            label: labels[0],
            versions: labels.iter().map(version).collect(),
        }
    }

    #[test]
    fn a_label_is_found_by_counting_back_and_only_as_far_as_labels_go() {
        let told = history(7, &[7, 6, 5]);
        assert!(told.in_step());
        assert_eq!(told.label_at(5), Some(5));
        assert_eq!(told.label_at(8), None, "it is older than what is asked about");
        let off = history(7, &[1]);
        assert_eq!(
            (off.in_step(), off.label_at(6), off.label_at(5)),
            (false, None, None)
        );
    }

    #[test]
    fn a_history_with_a_gap_proves_nothing_of_what_lies_behind_it() {
        assert!(history(7, &[7, 6, 5]).reaches(5));
        assert!(!history(7, &[7, 6]).reaches(5));
        assert!(!history(7, &[7, 5]).reaches(5));
    }

    #[test]
    fn a_version_is_as_new_as_the_writes_after_it_say() {
        let told = history(9, &[7, 6, 5]);
        let item = told.item_at(&ItemId("4".into()), &told.versions[1]);
        assert_eq!(item.version.counter, 8);
    }
}
