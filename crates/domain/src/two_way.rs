//! What a definition says about the way from the list to the source.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ping_pong::PingPong;

/// Settings of the way from the list to the source; without meaning where a definition only pushes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TwoWay {
    /// Items that people add become rows.
    pub inserts: bool,
    /// Somebody vouches that the app sees every item there is: it has full control, and the list has neither approval
    /// nor permissions of single items. Only then does an item that is reported deleted and not found count as gone.
    pub full_visibility: bool,
    /// Seconds between the report that an item was deleted and the look that may prove it.
    pub delete_delay: u64,
    /// Fields that lose something on the way to the list may go both ways, where they do not say so themselves.
    pub lossy: bool,
    /// When a field that both sides keep rewriting is left to a person.
    pub ping_pong: PingPong,
}

impl Default for TwoWay {
    fn default() -> Self {
        Self {
            inserts: true,
            full_visibility: false,
            delete_delay: 300,
            lossy: false,
            ping_pong: PingPong::default(),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_stored_before_there_were_others_still_read() {
        let stored = serde_json::json!({ "inserts": false, "full_visibility": true, "delete_delay": 60 });
        let read: TwoWay = serde_json::from_value(stored).unwrap();
        assert_eq!(
            read,
            TwoWay {
                inserts: false,
                full_visibility: true,
                delete_delay: 60,
                ..TwoWay::default()
            }
        );
        assert_eq!(serde_json::from_str::<TwoWay>("{}").unwrap(), TwoWay::default());
    }
}
