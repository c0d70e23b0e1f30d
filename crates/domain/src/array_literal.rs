//! PostgreSQL's text form of an array, taken apart: `{a,"b, c",NULL,"NULL"}`.

/// Why a text is no plain list of texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotAList {
    /// The array has more than one dimension.
    Nested,
    /// PostgreSQL does not write arrays so.
    Malformed,
}

/// The elements of an array of one dimension; `None` for NULL. Bounds in front (`[0:1]=`) mean nothing here.
pub(crate) fn elements(raw: &str) -> Result<Vec<Option<String>>, NotAList> {
    let body = if raw.starts_with('[') {
        raw.split_once('=').ok_or(NotAList::Malformed)?.1
    } else {
        raw
    };
    let inner = body
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'))
        .ok_or(NotAList::Malformed)?;
    let mut found = Vec::new();
    if inner.is_empty() {
        return Ok(found);
    }
    let mut chars = inner.chars().peekable();
    loop {
        let quoted = chars.next_if_eq(&'"').is_some();
        let mut text = String::new();
        loop {
            if !quoted && matches!(chars.peek(), None | Some(',')) {
                break;
            }
            match chars.next() {
                Some('\\') => text.push(chars.next().ok_or(NotAList::Malformed)?),
                Some('"') if quoted => break,
                Some('"') => return Err(NotAList::Malformed),
                Some('{') if !quoted && text.is_empty() => return Err(NotAList::Nested),
                Some('{' | '}') if !quoted => return Err(NotAList::Malformed),
                Some(c) => text.push(c),
                None => return Err(NotAList::Malformed),
            }
        }
        if !quoted && text.is_empty() {
            return Err(NotAList::Malformed);
        }
        found.push((quoted || text != "NULL").then_some(text));
        match chars.next() {
            Some(',') => {}
            Some(_) => return Err(NotAList::Malformed),
            None => return Ok(found),
        }
    }
}

/// The text of an array of these texts, quoted as PostgreSQL quotes: only where it would be read otherwise.
pub(crate) fn literal<'t>(texts: impl Iterator<Item = &'t str>) -> String {
    let special = |c: char| matches!(c, '{' | '}' | ',' | '"' | '\\') || c.is_ascii_whitespace();
    let element = |text: &str| {
        let plain = !text.is_empty() && !text.eq_ignore_ascii_case("null") && !text.contains(special);
        match plain {
            true => text.to_owned(),
            false => format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")),
        }
    };
    format!("{{{}}}", texts.map(element).collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn some(texts: &[&str]) -> Vec<Option<String>> {
        texts.iter().map(|text| Some((*text).to_owned())).collect()
    }

    #[test]
    fn elements_come_out_as_they_went_in() {
        assert_eq!(elements("{}"), Ok(vec![]));
        assert_eq!(elements("{a,b c,1.5}"), Ok(some(&["a", "b c", "1.5"])));
        assert_eq!(
            elements(r#"{"a,b","c\"d","e\\f","{g}"," h "}"#),
            Ok(some(&["a,b", "c\"d", "e\\f", "{g}", " h "]))
        );
        assert_eq!(
            elements(r#"{NULL,"NULL",""}"#),
            Ok(vec![None, Some("NULL".into()), Some(String::new())])
        );
        assert_eq!(elements("[0:1]={a,b}"), Ok(some(&["a", "b"])));
        assert_eq!(elements("{日本,😀}"), Ok(some(&["日本", "😀"])));
    }

    #[test]
    fn what_is_no_plain_list_is_told_apart() {
        assert_eq!(elements("{{a,b},{c,d}}"), Err(NotAList::Nested));
        for raw in [
            "", "a", "{", "{a", "{a,}", "{,a}", "{a\"b}", "{\"a}", "{\"a\"b}", "{a}b}", "[0:1]", "{\\",
        ] {
            assert_eq!(elements(raw), Err(NotAList::Malformed), "{raw}");
        }
    }

    proptest! {
        #[test]
        fn any_texts_survive_being_written_as_postgresql_writes_them(
            texts in proptest::collection::vec(proptest::option::of(".{0,12}"), 0..6)
        ) {
            let written: Vec<String> = texts
                .iter()
                .map(|text| text.as_ref().map_or_else(
                    || "NULL".to_owned(),
                    |text| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")),
                ))
                .collect();
            prop_assert_eq!(elements(&format!("{{{}}}", written.join(","))), Ok(texts));
        }

        #[test]
        fn no_text_whatever_makes_it_stumble(raw in "[\\PC{}\",\\\\]{0,30}") {
            let _ = elements(&raw);
        }
    }
}
