//! Stored values and the keys they are indexed under.

use serde::{Deserialize, Serialize};

/// The value of one column in one item. No value is the absence of a cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Cell {
    Text(Box<str>),
    Number(f64),
    Bool(bool),
    /// Unix time in seconds.
    Date(i64),
    Texts(Box<[Box<str>]>),
    Lookup(u32),
    Lookups(Box<[u32]>),
}

/// What an index compares. Text is compared the way the service's database does: without regard to letter case
/// and to trailing blanks.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum IndexKey {
    Bool(bool),
    /// The bits of a double, arranged so that they order like the numbers.
    Number(u64),
    Date(i64),
    Lookup(u32),
    Text(Box<str>),
}

pub(crate) fn text_key(text: &str) -> IndexKey {
    IndexKey::Text(text.trim_end_matches(' ').to_lowercase().into_boxed_str())
}

pub(crate) fn number_key(number: f64) -> IndexKey {
    // Minus zero and zero are one number.
    let bits = (number + 0.0).to_bits();
    IndexKey::Number(if bits >> 63 == 0 { bits | (1 << 63) } else { !bits })
}

impl Cell {
    /// The ids that a lookup holds; none for everything else.
    pub(crate) fn lookup_ids(&self) -> &[u32] {
        match self {
            Self::Lookup(id) => std::slice::from_ref(id),
            Self::Lookups(ids) => ids,
            _ => &[],
        }
    }

    /// The key under which an index finds the value; values of several parts have none.
    pub(crate) fn key(&self) -> Option<IndexKey> {
        Some(match self {
            Self::Text(text) => text_key(text),
            Self::Number(number) => number_key(*number),
            Self::Bool(flag) => IndexKey::Bool(*flag),
            Self::Date(seconds) => IndexKey::Date(*seconds),
            Self::Lookup(id) => IndexKey::Lookup(*id),
            Self::Texts(_) | Self::Lookups(_) => return None,
        })
    }
}

impl IndexKey {
    /// The key as a text that [`IndexKey::read`] understands; used inside paging tokens.
    pub(crate) fn write(&self) -> String {
        match self {
            Self::Bool(flag) => format!("b{}", u8::from(*flag)),
            Self::Number(bits) => format!("n{bits}"),
            Self::Date(seconds) => format!("d{seconds}"),
            Self::Lookup(id) => format!("l{id}"),
            Self::Text(text) => format!("t{text}"),
        }
    }

    pub(crate) fn read(text: &str) -> Option<Self> {
        let mut characters = text.chars();
        let kind = characters.next()?;
        let rest = characters.as_str();
        Some(match kind {
            'b' => Self::Bool(rest == "1"),
            'n' => Self::Number(rest.parse().ok()?),
            'd' => Self::Date(rest.parse().ok()?),
            'l' => Self::Lookup(rest.parse().ok()?),
            't' => Self::Text(rest.into()),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{IndexKey, number_key, text_key};

    #[test]
    fn numbers_order_as_numbers() {
        let numbers = [f64::MIN, -2.5, -1.0, 0.0, 1e-300, 1.0, 2.0, f64::MAX];
        assert!(
            numbers
                .windows(2)
                .all(|pair| number_key(pair[0]) < number_key(pair[1]))
        );
        assert_eq!(number_key(-0.0), number_key(0.0));
    }

    #[test]
    fn text_keys_forget_case_and_trailing_blanks_but_not_accents() {
        assert_eq!(text_key("Straße  "), text_key("STRAßE"));
        assert_ne!(text_key("Resume"), text_key("Résumé"));
        assert_ne!(text_key(" a"), text_key("a"));
    }

    #[test]
    fn keys_survive_being_written_and_read() {
        for key in [
            text_key("A b"),
            number_key(-3.5),
            IndexKey::Date(-9),
            IndexKey::Lookup(4),
            IndexKey::Bool(true),
        ] {
            assert_eq!(IndexKey::read(&key.write()), Some(key));
        }
        assert_eq!(IndexKey::read(""), None);
    }
}
