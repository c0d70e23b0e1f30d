//! `syncbridge migrate`.

use crate::exit::Exit;
use crate::settings::Settings;

pub(crate) async fn migrate(settings: &Settings) -> anyhow::Result<Exit> {
    let store = settings.meta_store().await?;
    store.migrate().await?;
    let made = store.ensure_partitions().await?;
    eprintln!("the meta-store's schema is up to date ({made} partitions made)");
    Ok(Exit::Done)
}
