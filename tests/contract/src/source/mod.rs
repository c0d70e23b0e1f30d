//! Reading a table.

use syncbridge_domain::row::SourceRow;
use syncbridge_engine::ports::{Source, WatermarkPosition};

pub mod keys;
pub mod late_commits;
pub mod watermark;

/// The first key text of each row.
fn names(rows: &[SourceRow]) -> Vec<String> {
    rows.iter()
        .map(|row| row.key.texts().expect("a readable key")[0].to_owned())
        .collect()
}

/// All rows in key order, page by page.
async fn by_key(source: &impl Source, limit: u32) -> Vec<SourceRow> {
    let mut all: Vec<SourceRow> = Vec::new();
    loop {
        let after = all.last().map(|row| row.key.clone());
        let page = source.page_by_key(after.as_ref(), limit).await.unwrap();
        assert!(page.rows.len() <= limit as usize);
        if page.rows.is_empty() {
            return all;
        }
        all.extend(page.rows);
    }
}

/// All rows from a position on, in (watermark, key) order, page by page.
async fn by_watermark(source: &impl Source, from: Option<WatermarkPosition>, limit: u32) -> Vec<SourceRow> {
    let mut all: Vec<SourceRow> = Vec::new();
    let mut after = from;
    loop {
        let page = source.page_by_watermark(after.as_ref(), limit).await.unwrap();
        assert!(page.rows.len() <= limit as usize);
        if page.rows.is_empty() {
            return all;
        }
        all.extend(page.rows);
        after = all.last().map(|row| WatermarkPosition {
            value: row.watermark.as_deref().expect("a row in the order").to_owned(),
            key: Some(row.key.clone()),
        });
    }
}

/// At this value, rows that bear it included.
fn from(value: &str) -> Option<WatermarkPosition> {
    Some(WatermarkPosition {
        value: value.to_owned(),
        key: None,
    })
}
