//! The subject of an item that belongs to no row yet: what a person added in the list (DESIGN §2, *subject*).
//!
//! Until its row exists such an item is addressed by a key of its own kind, made of the item's guid and number.
//! Its identity is a hash like any other, so that effects, dirty rows and quarantine hold it without knowing; it
//! never equals a row's, because no key column has this tag.

use uuid::Uuid;

use crate::effect::Subject;
use crate::identity::{HashKey, Identity, Key};
use crate::receipt::ItemId;

/// Tag of the one part of such a key; the families of key columns have other ones.
const ITEM_TAG: u8 = b'I';

/// The subject of an item without a row.
#[must_use]
pub fn subject_of_item(hash_key: &HashKey, namespace: &str, guid: Uuid, item: &ItemId) -> Subject {
    let text = format!("{} {item}", guid.hyphenated());
    let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
    let mut bytes = vec![ITEM_TAG];
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(text.as_bytes());
    let key = Key::of_parts(bytes);
    Subject {
        identity: Identity::new(hash_key, namespace, &key),
        key,
    }
}

/// The item that such a key addresses; `None` for the key of a row.
#[must_use]
pub fn item_of(key: &Key) -> Option<(Uuid, ItemId)> {
    if key.as_bytes().first() != Some(&ITEM_TAG) {
        return None;
    }
    let texts = key.texts().ok()?;
    let (guid, item) = texts.first()?.split_once(' ')?;
    Some((Uuid::try_parse(guid).ok()?, ItemId(item.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{KeyColumn, encode_key};
    use crate::pg_type::PgType;

    #[test]
    fn an_item_without_a_row_is_found_again_by_its_key_and_never_mistaken_for_a_row() {
        let hash_key = HashKey::new(1, &[7; 32]);
        let guid = Uuid::from_u128(42);
        let item = ItemId("17".into());
        let subject = subject_of_item(&hash_key, "db/public.t", guid, &item);
        assert_eq!(item_of(&subject.key), Some((guid, item)));
        let stored = Key::from_bytes(subject.key.as_bytes().to_vec()).unwrap();
        assert_eq!(stored, subject.key);
        let column = KeyColumn {
            name: "k".into(),
            pg_type: PgType::Text,
        };
        let text = format!("{guid} 17");
        let row = encode_key(&[column], &[Some(&text)]).unwrap();
        assert_eq!(item_of(&row), None);
        assert_ne!(Identity::new(&hash_key, "db/public.t", &row), subject.identity);
    }
}
