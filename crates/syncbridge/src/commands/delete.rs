//! `syncbridge delete`.

use anyhow::Context as _;
use syncbridge_manifest::Kind;

use crate::cli::DeleteArgs;
use crate::exit::Exit;
use crate::output;
use crate::settings::Settings;

pub(crate) async fn delete(settings: &Settings, args: &DeleteArgs) -> anyhow::Result<Exit> {
    let kind = Kind::parse(&args.kind).with_context(|| super::get::no_such_kind(&args.kind))?;
    let operations = settings.operations().await?;
    let deleted = operations
        .delete(&Settings::actor(), kind, &args.name, args.drop_ledger)
        .await?;
    output::show(settings.output, &deleted, || {
        format!("{} {} deleted", deleted.kind, deleted.name)
    })?;
    Ok(Exit::Done)
}
