//! Pages of items.

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::cell::IndexKey;
use crate::filter::Selection;
use crate::items::{items_context, kept_properties, wanted_fields};
use crate::list::{Item, List};
use crate::object::{Object, array};
use crate::options::HiddenFilter;
use crate::reply::{GraphError, Reply};
use crate::tenant::{Call, Outcome, Tenant};

/// A position: the key the order compares (where there is an order) and the item's id.
type Position = (Option<IndexKey>, u32);

fn read_position(token: &str) -> Result<Position, GraphError> {
    let malformed = || GraphError::invalid("The skiptoken is malformed.");
    let (mut id, mut key) = (None, None);
    for pair in token.split('&') {
        match pair.split_once('=') {
            Some(("Paged", "TRUE")) => {}
            Some(("p_ID", value)) => id = Some(value.parse().map_err(|_| malformed())?),
            Some(("p_Key", value)) => {
                let text = percent_decode_str(value).decode_utf8().map_err(|_| malformed())?;
                key = Some(IndexKey::read(&text).ok_or_else(malformed)?);
            }
            _ => return Err(malformed()),
        }
    }
    Ok((key, id.ok_or_else(malformed)?))
}

fn write_position((key, id): &Position) -> String {
    let mut token = format!("Paged%3dTRUE%26p_ID%3d{id}");
    if let Some(key) = key {
        let inner = utf8_percent_encode(&key.write(), NON_ALPHANUMERIC).to_string();
        token.push_str("%26p_Key%3d");
        token.push_str(&inner.replace('%', "%25"));
    }
    token
}

impl Tenant {
    pub(crate) fn get_items(&self, call: &Call<'_>) -> Outcome {
        call.query
            .only(&["select", "expand", "top", "filter", "orderby", "skiptoken"])?;
        let list = self.call_list(call)?;
        let behaviour = &self.options.behaviour;
        let top = call.query.top(behaviour.default_page, behaviour.largest_page)?;
        let expand = call.query.expand(&["fields"])?;
        let position = call.query.get("skiptoken").map(read_position).transpose()?;
        let selection = Selection::parse(list, call.query.get("filter"), call.query.get("orderby"))?;
        let on_hidden = self.filters_hidden(list, call.query.get("filter"));
        if on_hidden == Some(HiddenFilter::Refused) {
            return Err(GraphError::invalid("The expression in the filter is not valid."));
        }
        self.check_index_rule(call, list, &selection)?;
        let everything = self.sees_everything(call.context.client);
        let found: Vec<&Item> = if on_hidden == Some(HiddenFilter::Empty) {
            Vec::new()
        } else if selection.is_everything() {
            let from = position.map_or(0, |(_, id)| id.saturating_add(1));
            let items = list.items.range(from..).map(|(_, item)| item);
            let seen = items.filter(|item| list.shows(item, everything));
            seen.take(top + 1).collect()
        } else {
            let mut items = selection.items(list, position);
            items.retain(|item| list.shows(item, everything));
            items
        };
        let show = self.showing(list, call.context.base)?;
        let keep = kept_properties(call.query.select(), &expand);
        let wanted = wanted_fields(&expand);
        let shown = found.iter().take(top);
        let value = shown.map(|item| show.item_json(item, wanted, true, keep.as_deref(), None));
        let mut body = Object::new();
        body.put(
            "@odata.context",
            show.context(&items_context(call.query, &expand)),
        );
        if found.len() > top
            && let Some(last) = found.get(top - 1)
        {
            let key = if selection.ordered() {
                selection.order_key(last)
            } else {
                None
            };
            let token = write_position(&(key, last.id));
            let others = call.query.without(&["skiptoken"]);
            let joint = if others.is_empty() { "" } else { "&" };
            let path = show.list_path(false);
            let base = call.context.base;
            body.put(
                "@odata.nextLink",
                format!("{base}/v1.0/{path}/items?{others}{joint}$skiptoken={token}"),
            );
        }
        body.put("value", array(value));
        Ok(Reply::written(200, body.finish()))
    }

    /// What a filter that names a hidden column is answered with; `None`: it names none.
    fn filters_hidden(&self, list: &List, filter: Option<&str>) -> Option<HiddenFilter> {
        let filter = filter?;
        let mut hidden = list.columns.iter().filter(|column| column.hidden);
        hidden
            .any(|column| filter.contains(&format!("fields/{}", column.name)))
            .then_some(self.options.behaviour.filter_on_hidden)
    }

    /// Columns without an index may be used only on request, and then only in lists below the threshold.
    fn check_index_rule(
        &self,
        call: &Call<'_>,
        list: &List,
        selection: &Selection,
    ) -> Result<(), GraphError> {
        let Some(column) = selection.unindexed() else {
            return Ok(());
        };
        let prefer = call
            .headers
            .get("prefer")
            .unwrap_or_default()
            .to_ascii_lowercase();
        if !prefer.contains("honornonindexedquerieswarningmayfailrandomly") {
            return Err(GraphError::invalid(format!(
                "Field '{column}' cannot be referenced in filter or orderby as it is not indexed. Provide the 'Prefer: HonorNonIndexedQueriesWarningMayFailRandomly' header to allow this, but be warned that such queries may fail on large lists."
            )));
        }
        if list.items.len() > self.options.behaviour.list_view_threshold {
            return Err(GraphError::invalid(
                "The attempted operation is prohibited because it exceeds the list view threshold.",
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{read_position, write_position};
    use crate::cell::{number_key, text_key};
    use crate::query::Query;

    #[test]
    fn a_position_survives_its_way_through_a_link() {
        for position in [
            (None, 205),
            (Some(text_key("a&b=c %")), 7),
            (Some(number_key(-1.5)), 9),
        ] {
            let query = Query::parse(&format!("$skiptoken={}", write_position(&position))).unwrap();
            assert_eq!(read_position(query.get("skiptoken").unwrap()), Ok(position));
        }
        assert_eq!(write_position(&(None, 205)), "Paged%3dTRUE%26p_ID%3d205");
    }

    #[test]
    fn a_made_up_position_is_refused() {
        for token in [
            "",
            "x",
            "Paged=TRUE",
            "Paged=TRUE&p_ID=x",
            "Paged=TRUE&p_ID=1&p_Key=zz",
        ] {
            assert!(read_position(token).is_err(), "{token} was accepted");
        }
    }
}
