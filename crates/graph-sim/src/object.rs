//! JSON objects written straight as text: answers repeat the same few dozen keys for every item, and building a
//! tree for each costs several times as much as the rest of the work.

use serde_json::Value;

/// Something that can stand after a key.
pub(crate) trait Written {
    fn write(&self, out: &mut String);
}

/// Text that is JSON already.
pub(crate) struct Json<T>(pub(crate) T);

fn escape(text: &str, out: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.push('"');
    let mut start = 0;
    for (at, byte) in text.bytes().enumerate() {
        if byte >= b' ' && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.push_str(&text[start..at]);
        start = at + 1;
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            _ => {
                out.push_str("\\u00");
                out.push(char::from(DIGITS[usize::from(byte >> 4)]));
                out.push(char::from(DIGITS[usize::from(byte & 0xf)]));
            }
        }
    }
    out.push_str(&text[start..]);
    out.push('"');
}

impl Written for &str {
    fn write(&self, out: &mut String) {
        escape(self, out);
    }
}

impl Written for String {
    fn write(&self, out: &mut String) {
        escape(self, out);
    }
}

impl Written for bool {
    fn write(&self, out: &mut String) {
        out.push_str(if *self { "true" } else { "false" });
    }
}

impl Written for u16 {
    fn write(&self, out: &mut String) {
        out.push_str(&self.to_string());
    }
}

impl Written for Value {
    fn write(&self, out: &mut String) {
        match self {
            Self::String(text) => escape(text, out),
            other => out.push_str(&other.to_string()),
        }
    }
}

impl<T: AsRef<str>> Written for Json<T> {
    fn write(&self, out: &mut String) {
        out.push_str(self.0.as_ref());
    }
}

/// An object while it is written. A key that comes twice is written once, where keys are chosen by a caller.
pub(crate) struct Object<'a> {
    text: String,
    /// What `$select` keeps; annotations always stay.
    keep: Option<&'a [String]>,
    /// Keys so far, where a caller's choice could repeat them.
    seen: Option<Vec<String>>,
}

impl<'a> Object<'a> {
    pub(crate) fn new() -> Self {
        Self {
            text: String::from("{"),
            keep: None,
            seen: None,
        }
    }

    /// An object with room for a whole item, of which `$select` may keep only a part.
    pub(crate) fn selected(keep: Option<&'a [String]>) -> Self {
        let mut text = String::with_capacity(2_048);
        text.push('{');
        Self {
            text,
            keep,
            seen: None,
        }
    }

    /// An object whose keys a caller names.
    pub(crate) fn named() -> Self {
        Self {
            seen: Some(Vec::new()),
            ..Self::new()
        }
    }

    /// Whether a key would be written.
    pub(crate) fn wants(&self, key: &str) -> bool {
        key.starts_with('@') || self.keep.is_none_or(|names| names.iter().any(|name| name == key))
    }

    pub(crate) fn put(&mut self, key: &str, value: impl Written) {
        if !self.wants(key) {
            return;
        }
        if let Some(seen) = &mut self.seen {
            if seen.iter().any(|known| known == key) {
                return;
            }
            seen.push(key.to_owned());
        }
        if self.text.len() > 1 {
            self.text.push(',');
        }
        escape(key, &mut self.text);
        self.text.push(':');
        value.write(&mut self.text);
    }

    /// The finished text.
    pub(crate) fn finish(mut self) -> String {
        self.text.push('}');
        self.text
    }
}

/// An array of elements that are JSON already.
pub(crate) fn array(elements: impl IntoIterator<Item = String>) -> Json<String> {
    let mut text = String::from("[");
    for element in elements {
        if text.len() > 1 {
            text.push(',');
        }
        text.push_str(&element);
    }
    text.push(']');
    Json(text)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Json, Object, array};

    #[test]
    fn what_is_written_reads_back_as_the_same_values() {
        let texts: Vec<String> = (0_u32..0x300)
            .filter_map(char::from_u32)
            .map(|c| format!("a{c}b"))
            .collect();
        for text in &texts {
            let mut object = Object::new();
            object.put(text, text.as_str());
            object.put("n", 7_u16);
            object.put("v", json!({ "x": [1.5, null] }));
            object.put("l", array(["1".to_owned(), "true".to_owned()]));
            object.put("j", Json("{}"));
            let read: Value = serde_json::from_str(&object.finish()).unwrap();
            let expected = json!({ text: text, "n": 7, "v": { "x": [1.5, null] }, "l": [1, true], "j": {} });
            assert_eq!(read, expected);
        }
        assert_eq!(Object::new().finish(), "{}");
    }

    #[test]
    fn only_what_is_selected_is_written_and_nothing_twice() {
        let keep = ["a".to_owned()];
        let mut object = Object::selected(Some(&keep));
        object.put("@odata.etag", "t");
        object.put("a", true);
        object.put("b", true);
        assert_eq!(object.finish(), r#"{"@odata.etag":"t","a":true}"#);
        let mut named = Object::named();
        named.put("a", true);
        named.put("a", false);
        assert_eq!(named.finish(), r#"{"a":true}"#);
    }
}
