//! Making a list fit a mapping: look, do what is missing, look again, until nothing is missing (contract §4, §5).
//!
//! Every step is found again by looking, so a lost answer does no harm, a second run writes nothing, and what a
//! person made is never changed but for longer choice lists.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value as Json, json};
use syncbridge_domain::failure::{Failure, Scope};
use syncbridge_domain::list_rules::{ItemIdentity, ListFacts, TargetMode};
use syncbridge_domain::quota::WhyTag;

use crate::call::NoAnswer;
use crate::classify::{Endpoint, Meaning};
use crate::client::{GraphClient, parse};
use crate::codes;
use crate::column::{ColumnDifference, DesiredColumn, DesiredList, ListColumn, TITLE};
use crate::discovery::{List, list_not_found};
use crate::matching::{self, Look, look};
use crate::request::{Call, segment};
use crate::transport::{HttpResponse, Method, Transport};

/// How long a list that was just made may answer 404.
const READY_WITHIN: Duration = Duration::from_secs(300);
const READY_POLL: Duration = Duration::from_secs(2);
/// So often everything missing is made without an error before it is clear that the service makes something else.
const ROUNDS: u32 = 4;

/// A list that fits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provisioned {
    /// GUID of the list.
    pub list_id: String,
    /// Address people open.
    pub list_web_url: String,
    /// Whether this call made it.
    pub created: bool,
    /// Internal names of columns this call added to a list that was there, in order.
    pub columns_added: Vec<String>,
    /// Internal names of columns that this call gave further choices or room for longer texts.
    pub choices_extended: Vec<String>,
    /// Internal names of columns that this call gave an index.
    pub indexed: Vec<String>,
    /// Whether this call gave `Title` its display name.
    pub title_renamed: bool,
    /// What is to be remembered of the list.
    pub facts: ListFacts,
}

/// What provisioning would do; nothing was written to find out.
#[derive(Clone, Debug, PartialEq)]
pub struct Inspection {
    /// The list, if it is there.
    pub list: Option<List>,
    /// Internal names of columns to be added; all of them where there is no list.
    pub missing: Vec<String>,
    /// Internal names of columns that would get further choices or room for longer texts.
    pub extended: Vec<String>,
    /// Internal names of columns that would get an index.
    pub indexed: Vec<String>,
    /// Columns that are there and do not serve.
    pub differences: Vec<ColumnDifference>,
    /// Why the list could not take another index, where one is needed.
    pub no_index: Option<Failure>,
    /// Whether `Title` would get another display name.
    pub title_renamed: bool,
    /// What would be remembered of the list.
    pub facts: ListFacts,
}

impl Inspection {
    /// Whether the list fits and nothing would be written.
    #[must_use]
    pub fn fits(&self) -> bool {
        self.list.is_some()
            && self.missing.is_empty()
            && self.extended.is_empty()
            && self.indexed.is_empty()
            && self.differences.is_empty()
            && !self.title_renamed
    }

    /// Why provisioning would refuse.
    #[must_use]
    pub fn refusal(&self) -> Option<Failure> {
        let Some(first) = self.differences.first() else {
            return self.no_index.clone();
        };
        let others = match self.differences.len() {
            1 => String::new(),
            n => format!("; {} more columns differ, too", n - 1),
        };
        let cause = format!(
            "the list's column is {}, the mapping needs {}{others}",
            first.found, first.wanted
        );
        Some(Failure::new(Scope::List, codes::COLUMNS_DIFFER, cause, first.fix.clone()).column(&first.column))
    }
}

/// How a step went, as far as it is known without looking.
enum Step {
    Done(HttpResponse),
    /// Not done or not known to be done: look again after a while.
    LookAgain(Failure),
}

/// What this call has done so far.
#[derive(Default)]
struct Done {
    asked_for_list: bool,
    created_id: Option<String>,
    columns_added: Vec<String>,
    choices_extended: Vec<String>,
    indexed: Vec<String>,
    title_renamed: bool,
    /// Hidden columns that the service said to have made, or to have already: it may not list them.
    unlisted: BTreeSet<String>,
}

impl<T: Transport> GraphClient<T> {
    /// What [`GraphClient::provision`] would do. Writes nothing.
    ///
    /// # Errors
    /// [`codes::NOT_A_LIST`], [`codes::FORBIDDEN`] and whatever keeps Graph from answering.
    pub async fn inspect(&self, site: &str, desired: &DesiredList) -> Result<Inspection, Failure> {
        let Some(list) = self.find(site, desired).await? else {
            if desired.mode == TargetMode::BringYourOwn {
                return Err(no_such_list());
            }
            let missing = desired.columns.iter().map(|column| column.name.clone()).collect();
            let title_renamed = desired
                .title_display_name
                .as_deref()
                .is_some_and(|name| name != TITLE);
            return Ok(Inspection {
                list: None,
                missing,
                extended: Vec::new(),
                indexed: Vec::new(),
                differences: Vec::new(),
                no_index: matching::impossible_index(desired),
                title_renamed,
                facts: ListFacts::default(),
            });
        };
        let columns = self.columns(site, &list.id).await?;
        Ok(look(list, &columns, desired).into())
    }

    /// Makes the list, or adds what a list of that name lacks. Idempotent: writes nothing when nothing is missing.
    ///
    /// # Errors
    /// [`codes::COLUMNS_DIFFER`] when a present column does not serve, before anything is written;
    /// [`codes::LIST_NOT_FOUND`] when the list of `known_id` is gone; [`codes::NOT_READY`] when a new list does not
    /// answer in time; [`codes::FORBIDDEN`] with the permission to grant; and whatever keeps Graph from answering.
    pub async fn provision(&self, site: &str, desired: &DesiredList) -> Result<Provisioned, Failure> {
        let mut done = Done::default();
        let (mut troubles, mut rounds) = (0, 0);
        loop {
            let step = match self.look(site, desired, &done).await? {
                None if desired.mode == TargetMode::BringYourOwn => return Err(no_such_list()),
                None => {
                    if let Some(refusal) = matching::impossible_index(desired) {
                        return Err(refusal);
                    }
                    self.create_list(site, desired, &mut done).await?
                }
                Some(look) => {
                    let inspection = Inspection::from(&look);
                    if let Some(refusal) = inspection.refusal() {
                        return Err(refusal);
                    }
                    if inspection.fits() {
                        return Ok(done.provisioned(look.list, inspection.facts));
                    }
                    if rounds == ROUNDS {
                        return Err(not_as_asked(&look));
                    }
                    rounds += 1;
                    self.complete(site, &look, &mut done).await?
                }
            };
            if let Step::LookAgain(failure) = step {
                troubles += 1;
                match self
                    .core
                    .rules
                    .wait(troubles, failure.retry_after, self.core.entropy.as_ref())
                {
                    Some(wait) => self.core.clock.sleep(wait).await,
                    None => return Err(failure),
                }
            }
        }
    }

    async fn find(&self, site: &str, desired: &DesiredList) -> Result<Option<List>, Failure> {
        let found = match &desired.known_id {
            Some(id) => Some(self.list(site, id).await?.ok_or_else(list_not_found)?),
            None => self.list_by_name(site, &desired.display_name).await?,
        };
        match found {
            Some(list) if !matches!(list.template(), "" | "genericList") => Err(Failure::new(
                Scope::List,
                codes::NOT_A_LIST,
                "there is a library or another special list of this name",
                "choose another display name for the list, or rename the present one",
            )),
            found => Ok(found),
        }
    }

    async fn look<'a>(
        &self,
        site: &str,
        desired: &'a DesiredList,
        done: &Done,
    ) -> Result<Option<Look<'a>>, Failure> {
        let list = match &done.created_id {
            Some(id) => Some(self.wait_until_ready(site, id).await?),
            None => self.find(site, desired).await?,
        };
        let Some(list) = list else { return Ok(None) };
        let columns = if done.asked_for_list {
            self.columns_when_ready(site, &list.id).await?
        } else {
            self.columns(site, &list.id).await?
        };
        let mut look = look(list, &columns, desired);
        look.missing
            .retain(|column| !done.unlisted.contains(&column.name));
        Ok(Some(look))
    }

    async fn wait_until_ready(&self, site: &str, id: &str) -> Result<List, Failure> {
        let deadline = self.core.clock.monotonic() + READY_WITHIN;
        loop {
            match self.list(site, id).await? {
                Some(list) => return Ok(list),
                None if self.core.clock.monotonic() >= deadline => return Err(not_ready()),
                None => self.core.clock.sleep(READY_POLL).await,
            }
        }
    }

    async fn columns_when_ready(&self, site: &str, id: &str) -> Result<Vec<ListColumn>, Failure> {
        let deadline = self.core.clock.monotonic() + READY_WITHIN;
        loop {
            match self.columns(site, id).await {
                Err(failure) if failure.code == codes::LIST_NOT_FOUND => {
                    if self.core.clock.monotonic() >= deadline {
                        return Err(not_ready());
                    }
                    self.core.clock.sleep(READY_POLL).await;
                }
                other => return other,
            }
        }
    }

    async fn create_list(&self, site: &str, desired: &DesiredList, done: &mut Done) -> Result<Step, Failure> {
        let columns: Vec<Json> = desired.columns.iter().map(DesiredColumn::definition).collect();
        let mut body = json!({
            "displayName": desired.display_name,
            "columns": columns,
            "list": {"template": "genericList"},
        });
        if let Some(description) = &desired.description {
            body["description"] = json!(description);
        }
        let path = format!("/sites/{}/lists", segment(site));
        done.asked_for_list = true;
        let step = self
            .schema(Method::Post, path, "/sites/{site}/lists", &body)
            .await?;
        if let Step::Done(answer) = &step {
            // A list that was made without an id that can be read is found by its name.
            done.created_id = parse::<List>(answer).ok().map(|list| list.id);
        }
        Ok(step)
    }

    /// Adds columns one after another (at once they would collide, contract §15 #26), extends choices, names `Title`.
    async fn complete(&self, site: &str, look: &Look<'_>, done: &mut Done) -> Result<Step, Failure> {
        let base = format!(
            "/sites/{}/lists/{}/columns",
            segment(site),
            segment(&look.list.id)
        );
        let template = "/sites/{site}/lists/{list}/columns";
        let one = "/sites/{site}/lists/{list}/columns/{column}";
        let mut last = Step::LookAgain(not_ready());
        for column in &look.missing {
            last = self
                .schema(Method::Post, base.clone(), template, &column.definition())
                .await
                .map_err(|failure| about_index(failure, column))?;
            // Noted also when the answer was lost: whether it is there is seen at the next look.
            if !done.columns_added.contains(&column.name) {
                done.columns_added.push(column.name.clone());
            }
            let there = match &last {
                Step::Done(_) => true,
                Step::LookAgain(failure) => failure.code == codes::DUPLICATE,
            };
            if there && column.hidden {
                done.unlisted.insert(column.name.clone());
            }
            if matches!(last, Step::LookAgain(_)) {
                return Ok(last);
            }
        }
        for (column, id, change) in &look.extended {
            let path = format!("{base}/{}", segment(id));
            last = self.schema(Method::Patch, path, one, change).await?;
            if matches!(last, Step::LookAgain(_)) {
                return Ok(last);
            }
            done.choices_extended.push(column.name.clone());
        }
        for (column, id) in &look.unindexed {
            let path = format!("{base}/{}", segment(id));
            last = self
                .schema(Method::Patch, path, one, &json!({"indexed": true}))
                .await
                .map_err(|failure| about_index(failure, column))?;
            if matches!(last, Step::LookAgain(_)) {
                return Ok(last);
            }
            done.indexed.push(column.name.clone());
        }
        if let Some((id, name)) = &look.rename_title {
            let path = format!("{base}/{}", segment(id));
            last = self
                .schema(Method::Patch, path, one, &json!({"displayName": name}))
                .await?;
            done.title_renamed = true;
        }
        Ok(last)
    }

    /// Gives choice columns the texts they lack. The columns are read just before, so that what people added
    /// meanwhile stays. Writes nothing where nothing is missing.
    pub(crate) async fn grow_choices(
        &self,
        site: &str,
        list: &str,
        wanted: &[DesiredColumn],
    ) -> Result<(), Failure> {
        let desired = DesiredList {
            known_id: Some(list.to_owned()),
            display_name: String::new(),
            description: None,
            mode: TargetMode::Managed,
            identity: ItemIdentity::default(),
            title_display_name: None,
            columns: wanted.to_vec(),
        };
        self.provision(site, &desired).await.map(|_| ())
    }

    /// One write to the schema. What may get better by looking again is told apart from what will not.
    async fn schema(
        &self,
        method: Method,
        path: String,
        template: &str,
        body: &Json,
    ) -> Result<Step, Failure> {
        let call = Call::write(
            method,
            path,
            template,
            Endpoint::Schema,
            WhyTag::Provision,
            Some(body),
        );
        let answer = match self.core.attempt(&call, &self.caller, None).await {
            Ok(answer) if answer.is_success() => return Ok(Step::Done(answer)),
            Ok(answer) => answer,
            Err(NoAnswer::Lost(failure)) => return Ok(Step::LookAgain(failure)),
            Err(NoAnswer::NotSent(failure)) if failure.scope == Scope::Outage => {
                return Ok(Step::LookAgain(failure));
            }
            Err(NoAnswer::NotSent(failure) | NoAnswer::NoToken(failure)) => return Err(failure),
            Err(NoAnswer::Throttled(wait)) => {
                return Ok(Step::LookAgain(not_ready().retry_after(Some(wait))));
            }
        };
        let classified = self.core.classify(Endpoint::Schema, &answer, &self.caller);
        match classified.meaning {
            // A name that exists, a save conflict, a throttle, a broken gateway, a new list not there yet.
            Meaning::Duplicate | Meaning::Precondition | Meaning::Ambiguous | Meaning::Gone => {
                Ok(Step::LookAgain(classified.failure))
            }
            Meaning::Throttled(wait) => Ok(Step::LookAgain(classified.failure.retry_after(Some(wait)))),
            Meaning::Refused if classified.failure.code == codes::LIST_NOT_FOUND => {
                Ok(Step::LookAgain(classified.failure))
            }
            // There is no row that could be at fault.
            Meaning::Refused if classified.failure.scope == Scope::Row => Err(Failure {
                scope: Scope::List,
                ..classified.failure
            }),
            Meaning::Refused => Err(classified.failure),
        }
    }
}

impl From<&Look<'_>> for Inspection {
    fn from(look: &Look<'_>) -> Self {
        Self {
            list: Some(look.list.clone()),
            missing: look.missing.iter().map(|column| column.name.clone()).collect(),
            extended: look
                .extended
                .iter()
                .map(|(column, _, _)| column.name.clone())
                .collect(),
            indexed: look
                .unindexed
                .iter()
                .map(|(column, _)| column.name.clone())
                .collect(),
            differences: look.differences.clone(),
            no_index: look.no_index.clone(),
            title_renamed: look.rename_title.is_some(),
            facts: look.facts.clone(),
        }
    }
}

impl From<Look<'_>> for Inspection {
    fn from(look: Look<'_>) -> Self {
        Self::from(&look)
    }
}

impl Done {
    fn provisioned(self, list: List, facts: ListFacts) -> Provisioned {
        Provisioned {
            list_id: list.id,
            list_web_url: list.web_url,
            created: self.asked_for_list,
            columns_added: self.columns_added,
            choices_extended: self.choices_extended,
            indexed: self.indexed,
            title_renamed: self.title_renamed,
            facts,
        }
    }
}

fn not_ready() -> Failure {
    Failure::new(
        Scope::Outage,
        codes::NOT_READY,
        "a list that was just made does not answer yet",
        "wait some minutes and apply again; nothing is made twice",
    )
}

fn no_such_list() -> Failure {
    Failure::new(
        Scope::List,
        codes::LIST_NOT_FOUND,
        "there is no list of this name, and a list of your own is never made",
        "make the list with its columns in the site, or write `target.mode: managed`",
    )
}

/// A refusal of a column that was to be indexed, in words of what is behind it.
fn about_index(failure: Failure, column: &DesiredColumn) -> Failure {
    if !column.is_indexed() || failure.code != codes::INVALID && failure.code != codes::REFUSED {
        return failure;
    }
    let why = if column.unique {
        "the list takes no further unique, indexed column, by which its items would be recognised"
    } else {
        "the list takes no index on this column"
    };
    let fix = "SharePoint indexes a list while it has at most 5,000 items and 20 indexes: remove `index: true`, or \
               remove an index that nobody needs; for a large list of your own, make the column there and write \
               `target: {mode: bring_your_own, identityColumn: …}`";
    Failure {
        request_id: failure.request_id,
        ..Failure::new(Scope::List, codes::NO_INDEX, why, fix).column(&column.name)
    }
}

fn not_as_asked(look: &Look<'_>) -> Failure {
    let failure = Failure::new(
        Scope::List,
        codes::COLUMNS_DIFFER,
        "the service made a column under another internal name than asked for",
        "give the field another internal name in the mapping, and remove the column that was made from the list",
    );
    match look.missing.first() {
        Some(column) => failure.column(&column.name),
        None => failure,
    }
}

#[cfg(test)]
#[path = "provisioning_tests.rs"]
mod tests;
