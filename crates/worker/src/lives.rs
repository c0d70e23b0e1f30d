//! Whether source and memory go on from where a definition last saw them (DESIGN §7, "time can run backwards").
//!
//! Asked before anything is written, recovery included: what is recorded of a source that went back is about another
//! one. A run that a person approved begins a new generation instead: agreement of the generations before holds as far
//! as the row still shows it, and everything is compared.

use syncbridge_domain::effect::Fence;
use syncbridge_domain::failure::{Failure, Scope};
use syncbridge_domain::life::{KnownLife, SourceLife};
use syncbridge_domain::policy::Direction;
use syncbridge_domain::run::RunSpec;
use syncbridge_meta_store::{DefinitionStore, MetaStore, definitions};
use syncbridge_source_postgres::PgSource;

/// Codes of runs that refuse to begin for want of a person's word.
pub(crate) const WENT_BACK: [&str; 2] = ["source.went_back", "meta_store.went_back"];

/// What was found when a run began.
pub(crate) struct Lives {
    memory: String,
    /// The generation that this run began, because the source went back and a person approved going on.
    pub(crate) begun: Option<u32>,
}

impl Lives {
    /// Looks at both before a run that writes, or one that is rehearsed. A generation that begins is noted in `store`.
    ///
    /// # Errors
    /// `source.went_back`, `meta_store.went_back`: nothing may be written without a person's word.
    pub(crate) async fn look(
        store: &MetaStore,
        memory: &DefinitionStore,
        table: &PgSource,
        spec: &RunSpec,
        holder: &str,
    ) -> Result<Self, Failure> {
        let now = table.life().await?;
        let own = memory.own_life().await?;
        let lives = Self {
            memory: own.clone(),
            begun: None,
        };
        let Some(known) = memory.known_life().await? else {
            return Ok(lives);
        };
        let approved = spec.options.approve_unagreed;
        let is_gone = spec.direction != Direction::Push && write_is_gone(memory, table, &now).await?;
        if let Some(how) = known.went_back(&now, is_gone) {
            if !approved {
                return Err(source_went_back(spec, &how.to_string()));
            }
            let mut connection = store.acquire().await?;
            let generation = definitions::raise_generation(&mut connection, spec.definition, holder).await?;
            return Ok(Self {
                begun: Some(generation),
                ..lives
            });
        }
        if known.memory.as_ref().is_some_and(|was| *was != own) && !approved {
            return Err(memory_went_back(spec));
        }
        Ok(lives)
    }

    /// Notes both after a run that came to its end.
    ///
    /// # Errors
    /// As any statement of the two.
    pub(crate) async fn note(
        self,
        memory: &DefinitionStore,
        table: &PgSource,
        fence: Fence,
    ) -> Result<(), Failure> {
        let now = table.life().await?;
        let life = KnownLife {
            identifier: now.identifier,
            timeline: now.timeline,
            durable: now.durable,
            memory: Some(self.memory),
        };
        Ok(memory.note_life(fence, &life, self.begun).await?)
    }
}

/// Whether one of the newest rows that we wrote is older than we wrote it, or not even written yet.
async fn write_is_gone(
    memory: &DefinitionStore,
    table: &PgSource,
    now: &SourceLife,
) -> Result<bool, Failure> {
    let written = memory.newest_written().await?;
    if written.iter().any(|(_, xid)| *xid >= now.next_xid) {
        return Ok(true);
    }
    table.shows_older(&written).await
}

fn source_went_back(spec: &RunSpec, seen: &str) -> Failure {
    let default = match spec.direction {
        Direction::Push => "the list then follows the table as it is now",
        Direction::Pull => "the table then gets back what the list holds",
        Direction::Both => {
            "then the conflict policy of each field decides where the two differ, and rows that the table lost come back \
             from their items"
        }
    };
    Failure::new(
        Scope::List,
        "source.went_back",
        format!(
            "the source does not go on from where this definition last saw it: {seen}. Nothing was written"
        ),
        format!(
            "see what happened to the database. If it is the right one, `syncbridge plan {name} --approve` says what \
             would change before anything does, and `syncbridge run {name} --approve` compares everything: {default}",
            name = spec.definition_name
        ),
    )
}

fn memory_went_back(spec: &RunSpec) -> Failure {
    Failure::new(
        Scope::List,
        "meta_store.went_back",
        "SyncBridge's own database is not the one in which this definition was last at work: it was restored from a \
         backup, or failed over. What happened since the backup is not in it. Nothing was written",
        format!(
            "`syncbridge plan {name} --approve` says what would change before anything does, and `syncbridge run {name} \
             --approve` goes on: what both sides show alike is agreed on, and where they differ the policies decide",
            name = spec.definition_name
        ),
    )
}
