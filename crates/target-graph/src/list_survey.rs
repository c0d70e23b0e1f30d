//! What the columns of an existing list take, for predicting what they will refuse (contract §5, §12).

use syncbridge_domain::failure::Failure;
use syncbridge_domain::preflight::{ListSurvey, SurveyedColumn};

use crate::client::GraphClient;
use crate::transport::Transport;

impl<T: Transport> GraphClient<T> {
    /// What the columns of a list take. Two resource units; writes nothing.
    ///
    /// # Errors
    /// As reading the columns.
    pub async fn survey(&self, site: &str, list: &str) -> Result<ListSurvey, Failure> {
        let found = self.column_answers(site, list).await?;
        Ok(ListSurvey {
            columns: found.into_iter().map(SurveyedColumn::from).collect(),
        })
    }
}
