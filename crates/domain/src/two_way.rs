//! What a definition says about the way from the list to the source.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Settings of the way from the list to the source; without meaning where a definition only pushes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TwoWay {
    /// Items that people add become rows.
    pub inserts: bool,
    /// Somebody vouches that the app sees every item there is: it has full control, and the list has neither approval
    /// nor permissions of single items. Only then does an item that is reported deleted and not found count as gone.
    pub full_visibility: bool,
    /// Seconds between the report that an item was deleted and the look that may prove it.
    pub delete_delay: u64,
}

impl Default for TwoWay {
    fn default() -> Self {
        Self {
            inserts: true,
            full_visibility: false,
            delete_delay: 300,
        }
    }
}

impl TwoWay {
    /// How long after an item was reported deleted a look may prove it.
    #[must_use]
    pub fn delete_delay(&self) -> Duration {
        Duration::from_secs(self.delete_delay)
    }
}
