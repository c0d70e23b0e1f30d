//! Query options of a request: `$expand`, `$select`, `$top` and so on, the leading `$` being optional.

use percent_encoding::percent_decode_str;

use crate::reply::GraphError;

/// The decoded query options in their order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query {
    /// (name without `$`, decoded value, the pair as it was written).
    pairs: Vec<(String, String, String)>,
}

/// One entry of `$expand`, with its nested options.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Expand {
    pub(crate) name: String,
    /// The nested `$select`; `None` where there is none (all).
    pub(crate) select: Option<Vec<String>>,
    pub(crate) expand: Vec<Expand>,
    pub(crate) top: Option<usize>,
}

fn decode(text: &str) -> Result<String, GraphError> {
    percent_decode_str(&text.replace('+', " "))
        .decode_utf8()
        .map(std::borrow::Cow::into_owned)
        .map_err(|_| GraphError::invalid("The query string is not valid UTF-8."))
}

impl Query {
    pub(crate) fn parse(raw: &str) -> Result<Self, GraphError> {
        let mut pairs = Vec::new();
        for pair in raw.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decode(name)?;
            let name = name.strip_prefix('$').unwrap_or(&name).to_owned();
            if pairs.iter().any(|(known, _, _)| *known == name) {
                return Err(GraphError::new(
                    400,
                    "invalidQueryOption",
                    "A query option was given more than once.",
                ));
            }
            pairs.push((name, decode(value)?, pair.to_owned()));
        }
        Ok(Self { pairs })
    }

    /// The decoded value of an option, named without its `$`.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.pairs
            .iter()
            .find(|(known, _, _)| known == name)
            .map(|(_, value, _)| value.as_str())
    }

    /// The names of the options, in order (never their values).
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.pairs.iter().map(|(name, _, _)| name.as_str())
    }

    /// The query as it was written, without these options; for links that carry the others on.
    pub(crate) fn without(&self, dropped: &[&str]) -> String {
        let kept: Vec<&str> = self
            .pairs
            .iter()
            .filter(|(name, _, _)| !dropped.contains(&name.as_str()))
            .map(|(_, _, raw)| raw.as_str())
            .collect();
        kept.join("&")
    }

    /// Refuses every option that is not among these.
    pub(crate) fn only(&self, allowed: &[&str]) -> Result<(), GraphError> {
        match self.names().find(|name| !allowed.contains(name)) {
            None => Ok(()),
            Some(name) => Err(GraphError::new(
                400,
                "invalidQueryOption",
                format!("The query option '{name}' is not supported on this resource."),
            )),
        }
    }

    /// The names in `$select`.
    pub(crate) fn select(&self) -> Option<Vec<String>> {
        self.get("select").map(names_in)
    }

    /// `$top`, at least 1 and cut to `largest`; `default` where it is absent.
    pub(crate) fn top(&self, default: usize, largest: usize) -> Result<usize, GraphError> {
        let Some(text) = self.get("top") else {
            return Ok(default);
        };
        match text.parse::<usize>() {
            Ok(top) if top > 0 => Ok(top.min(largest)),
            _ => Err(GraphError::new(
                400,
                "invalidQueryOption",
                "The value of '$top' must be a positive number.",
            )),
        }
    }

    /// The parsed `$expand`; names other than `allowed` are refused.
    pub(crate) fn expand(&self, allowed: &[&str]) -> Result<Vec<Expand>, GraphError> {
        let Some(text) = self.get("expand") else {
            return Ok(Vec::new());
        };
        let entries = parse_expand(text, DEEPEST)?;
        match entries
            .iter()
            .find(|entry| !allowed.contains(&entry.name.as_str()))
        {
            None => Ok(entries),
            Some(entry) => Err(GraphError::invalid(format!(
                "Parsing OData Select and Expand failed: there is no navigation property '{}' to expand here.",
                entry.name
            ))),
        }
    }
}

fn names_in(list: &str) -> Vec<String> {
    list.split(',')
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .collect()
}

/// Splits at `separator` outside parentheses.
fn split_outside(text: &str, separator: char) -> Result<Vec<&str>, GraphError> {
    let unbalanced =
        || GraphError::invalid("Parsing OData Select and Expand failed: unbalanced parentheses.");
    let mut parts = Vec::new();
    let (mut depth, mut start) = (0_usize, 0_usize);
    for (at, character) in text.char_indices() {
        match character {
            '(' => depth += 1,
            ')' => depth = depth.checked_sub(1).ok_or_else(unbalanced)?,
            _ if character == separator && depth == 0 => {
                parts.push(text[start..at].trim());
                start = at + separator.len_utf8();
            }
            _ => {}
        }
    }
    if depth != 0 {
        return Err(unbalanced());
    }
    parts.push(text[start..].trim());
    Ok(parts)
}

/// How deep expansions may nest; the service's own graph of lists is not deeper.
const DEEPEST: usize = 3;

fn parse_expand(text: &str, deepest: usize) -> Result<Vec<Expand>, GraphError> {
    if deepest == 0 {
        return Err(GraphError::invalid(
            "Parsing OData Select and Expand failed: nested too deep.",
        ));
    }
    let mut entries = Vec::new();
    for part in split_outside(text, ',')? {
        let (name, inner) = match part.split_once('(') {
            None => (part, None),
            Some((name, rest)) => {
                let inner = rest.strip_suffix(')').ok_or_else(|| {
                    GraphError::invalid(
                        "Parsing OData Select and Expand failed: text after a closing parenthesis.",
                    )
                })?;
                (name.trim(), Some(inner))
            }
        };
        if name.is_empty() {
            return Err(GraphError::invalid(
                "Parsing OData Select and Expand failed: an empty name.",
            ));
        }
        let mut entry = Expand {
            name: name.to_owned(),
            ..Expand::default()
        };
        for option in inner
            .map(|inner| split_outside(inner, ';'))
            .transpose()?
            .unwrap_or_default()
        {
            let Some((key, value)) = option.split_once('=') else {
                if option.is_empty() {
                    continue;
                }
                return Err(GraphError::invalid(
                    "Parsing OData Select and Expand failed: an option without '='.",
                ));
            };
            match key.trim().trim_start_matches('$') {
                "select" => entry.select = Some(names_in(value)),
                "expand" => entry.expand = parse_expand(value, deepest - 1)?,
                "top" => entry.top = value.trim().parse().ok(),
                _ => {
                    return Err(GraphError::invalid(
                        "Parsing OData Select and Expand failed: a nested option that is not supported.",
                    ));
                }
            }
        }
        entries.push(entry);
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::{Expand, Query};

    #[test]
    fn options_are_found_with_and_without_the_dollar_sign() {
        let query = Query::parse("$top=5&expand=fields(select=A,B)&%24select=id%2Cname").unwrap();
        assert_eq!(query.top(200, 5000).unwrap(), 5);
        assert_eq!(query.select().unwrap(), ["id", "name"]);
        let expected = Expand {
            name: "fields".to_owned(),
            select: Some(vec!["A".to_owned(), "B".to_owned()]),
            ..Expand::default()
        };
        assert_eq!(query.expand(&["fields"]).unwrap(), [expected]);
        assert!(query.expand(&["columns"]).is_err());
    }

    #[test]
    fn nested_expansions_keep_their_own_options() {
        let query =
            Query::parse("$expand=columns($select=name),items($expand=fields($select=A);$top=2)").unwrap();
        let entries = query.expand(&["columns", "items"]).unwrap();
        assert_eq!(entries[0].select.as_deref(), Some(&["name".to_owned()][..]));
        assert_eq!(entries[1].top, Some(2));
        assert_eq!(
            entries[1].expand[0].select.as_deref(),
            Some(&["A".to_owned()][..])
        );
    }

    const DEEP: &str = "$expand=fields($expand=fields($expand=fields($expand=fields)))";

    #[test]
    fn broken_expansions_and_repeated_options_are_refused() {
        for text in [
            "$expand=fields($select=A",
            "$expand=fields)",
            "$expand=fields($foo=1)",
            "$expand=,",
            DEEP,
        ] {
            assert!(
                Query::parse(text).unwrap().expand(&["fields"]).is_err(),
                "{text} was accepted"
            );
        }
        assert!(Query::parse("$top=1&top=2").is_err());
        assert!(Query::parse("$top=0").unwrap().top(200, 5000).is_err());
        assert_eq!(Query::parse("$top=9999").unwrap().top(200, 5000).unwrap(), 5000);
    }

    #[test]
    fn a_link_carries_the_other_options_as_they_were_written() {
        let query = Query::parse("$expand=fields&$top=2&$skiptoken=Paged%3dTRUE").unwrap();
        assert_eq!(query.without(&["skiptoken"]), "$expand=fields&$top=2");
    }
}
