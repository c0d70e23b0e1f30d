//! A model of a source table on a PostgreSQL server.
//!
//! [`ModelTable`] is the server: applications change its rows in transactions of their own, and the harness
//! restarts it, restores it from a backup or lets lost commits end. [`ModelSource`] is one worker's connection
//! to it, with the engine's ports.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use syncbridge_domain::clock::Clock;
use syncbridge_domain::failure::{Failure, Scope};
use syncbridge_domain::feed::{Horizon, Lsn, Mark};
use syncbridge_domain::identity::Key;
use syncbridge_domain::pg_type::PgType;
use syncbridge_domain::row::{Cell, Presence, SourceRow};
use syncbridge_domain::row_write::TransactionStatus;
use syncbridge_domain::verification::KeyRange;
use syncbridge_engine::ports::{PortResult, Source, SourcePage, WatermarkPosition};

use self::server::{Owner, Stored};
use self::value::Rank;
use super::steps::{Call, Part, Steps, step};

mod refusal;
mod server;
mod table;
mod value;
mod writer;

pub use refusal::Refusal;
pub use server::{Committed, Server, TransactionId};
pub use table::{Column, ColumnDefault, KeyCheck, Table, Trigger};
pub use writer::ModelStaged;

/// How far below the clock a ceiling stays at least.
const CLOCK_MARGIN: TimeDelta = TimeDelta::seconds(10);

/// The server with the table.
#[derive(Clone)]
pub struct ModelTable {
    server: Arc<Mutex<Server>>,
    clock: Arc<dyn Clock>,
}

impl ModelTable {
    /// An empty table on a server that goes by this clock.
    #[must_use]
    pub fn new(table: Table, clock: Arc<dyn Clock>) -> Self {
        Self {
            server: Arc::new(Mutex::new(Server::new(table))),
            clock,
        }
    }

    /// A worker's connection. What it reads is marked with this generation.
    #[must_use]
    pub fn source(&self, generation: u32, steps: Arc<dyn Steps>) -> ModelSource {
        ModelSource {
            table: self.clone(),
            generation,
            session: 0,
            steps,
        }
    }

    fn server(&self) -> MutexGuard<'_, Server> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the table looks like.
    #[must_use]
    pub fn shape(&self) -> Arc<Table> {
        self.server().table.clone()
    }

    /// An application begins a transaction; the time it stamps rows with is now.
    #[must_use]
    pub fn begin(&self) -> TransactionId {
        self.server().begin(Owner::Application, self.clock.now())
    }

    /// Inserts a row (indices are those of [`Table::columns`]) and answers its key. A refusal leaves the
    /// transaction as it was.
    ///
    /// # Errors
    /// Why the row was refused.
    pub fn insert(&self, id: TransactionId, set: &[(usize, Cell)]) -> Result<Key, Refusal> {
        let mut server = self.server();
        let row = server.insert(id, set)?;
        server
            .row(id, row)
            .map(|stored| stored.key.clone())
            .ok_or(Refusal::Ended)
    }

    /// Changes columns of the rows with this key, the key's own among them if named; answers how many there were.
    ///
    /// # Errors
    /// Why a row was refused; those before it are changed.
    pub fn update(&self, id: TransactionId, key: &Key, set: &[(usize, Cell)]) -> Result<usize, Refusal> {
        let mut server = self.server();
        let rows = server.find(id, key);
        rows.iter().try_for_each(|row| server.update(id, *row, set))?;
        Ok(rows.len())
    }

    /// Deletes the rows with this key; answers how many there were.
    ///
    /// # Errors
    /// Why a row was refused; those before it are deleted.
    pub fn delete(&self, id: TransactionId, key: &Key) -> Result<usize, Refusal> {
        let mut server = self.server();
        let rows = server.find(id, key);
        rows.iter().try_for_each(|row| server.delete(id, *row))?;
        Ok(rows.len())
    }

    /// Draws a transaction id without writing a row.
    ///
    /// # Errors
    /// [`Refusal::Ended`].
    pub fn draw_id(&self, id: TransactionId) -> Result<u64, Refusal> {
        self.server().xid(id)
    }

    /// Commits.
    ///
    /// # Errors
    /// A deferred constraint that does not hold: everything is rolled back then. [`Refusal::Ended`].
    pub fn commit(&self, id: TransactionId) -> Result<(), Refusal> {
        self.server().commit(id)
    }

    /// Rolls back.
    pub fn roll_back(&self, id: TransactionId) {
        self.server().roll_back(id);
    }

    /// Prepares a transaction: it outlives its session and a restart, and may still be committed.
    pub fn prepare(&self, id: TransactionId) {
        self.server().prepare(id);
    }

    /// The committed rows in key order, as a definition sees them.
    #[must_use]
    pub fn rows(&self) -> Vec<SourceRow> {
        let server = self.server();
        let mut rows: Vec<&Stored> = server.rows().collect();
        rows.sort_by(|one, other| one.place.cmp(&other.place));
        rows.into_iter().map(|stored| server.seen(stored)).collect()
    }

    /// What became of a transaction or savepoint.
    #[must_use]
    pub fn status(&self, xid: u64) -> TransactionStatus {
        self.server().status(xid)
    }

    /// The connections of our workers break, as they do when their process is killed: what they staged is rolled
    /// back.
    pub fn drop_workers(&self) {
        let mut server = self.server();
        for id in server.open_of(Owner::Worker) {
            server.roll_back(id);
        }
    }

    /// The connection of one worker's process breaks: what it staged is rolled back.
    pub fn drop_session(&self, session: u64) {
        let mut server = self.server();
        for id in server.open_in(session) {
            server.roll_back(id);
        }
    }

    /// What was committed since this was asked last, oldest first.
    #[must_use]
    pub fn take_journal(&self) -> Vec<Committed> {
        self.server().take_journal()
    }

    /// Ends the transactions whose COMMIT got lost on its way ([`super::CommitFate::LostPending`]); answers how
    /// many.
    pub fn end_pending(&self, committed: bool) -> usize {
        let mut server = self.server();
        let adrift = server.open_of(Owner::Nobody);
        for id in &adrift {
            if !committed || server.commit(*id).is_err() {
                server.roll_back(*id);
            }
        }
        adrift.len()
    }

    /// The server goes down and comes back.
    pub fn restart(&self) {
        self.server().restart();
    }

    /// A backup.
    #[must_use]
    pub fn backup(&self) -> Server {
        self.server().clone()
    }

    /// Restores a backup: from here on the server lives another history.
    pub fn restore(&self, backup: Server) {
        self.server().restore(backup);
    }
}

/// A worker's connection to a [`ModelTable`].
#[derive(Clone)]
pub struct ModelSource {
    table: ModelTable,
    generation: u32,
    session: u64,
    steps: Arc<dyn Steps>,
}

impl ModelSource {
    /// The same connection, as that of this process.
    #[must_use]
    pub fn of_process(self, session: u64) -> Self {
        Self { session, ..self }
    }

    async fn read<T: Send>(
        &self,
        name: &'static str,
        read: impl FnOnce(&Server) -> PortResult<T> + Send,
    ) -> PortResult<T> {
        let call = Call {
            part: Part::Source,
            name,
        };
        step(&*self.steps, call, || read(&self.table.server())).await
    }

    fn page(&self, server: &Server, mut rows: Vec<(impl Ord, &Stored)>, limit: u32) -> SourcePage {
        rows.sort_by(|(one, _), (other, _)| one.cmp(other));
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        SourcePage {
            rows: rows
                .into_iter()
                .take(limit)
                .map(|(_, stored)| server.seen(stored))
                .collect(),
            mark: self.mark(server),
        }
    }

    fn mark(&self, server: &Server) -> Mark {
        Mark {
            generation: self.generation,
            lsn: Lsn(server.lsn()),
        }
    }
}

impl Source for ModelSource {
    async fn horizon(&self) -> PortResult<Horizon> {
        self.read("horizon", |server| {
            let clock = self.table.clock.now();
            let (xmin, xmax) = server.snapshot();
            let by_start = watermark_type(server).is_some_and(|pg_type| *pg_type != PgType::TimestampTz);
            let oldest = match by_start && server.anything_prepared() {
                // Nobody can say when a prepared transaction began.
                true => DateTime::UNIX_EPOCH,
                false => server.oldest_start().map_or(clock, |start| start.min(clock)),
            };
            Ok(Horizon {
                clock,
                lsn: Lsn(server.lsn()),
                xmin,
                xmax,
                oldest_start: server.table.sees_sessions.then_some(oldest),
            })
        })
        .await
    }

    async fn watermark_ceiling(&self, horizon: &Horizon) -> PortResult<Option<(String, bool)>> {
        self.read("watermark_ceiling", |server| {
            let (at, pg_type) = watermark(server)?;
            let highest = server
                .rows()
                .filter_map(|stored| stored.cells[at].as_deref())
                .max_by_key(|text| value::rank(pg_type, text));
            let Some(highest) = highest else { return Ok(None) };
            if *pg_type != PgType::TimestampTz {
                return Ok(Some((highest.to_owned(), false)));
            }
            let bound = value::print_instant(below_open_transactions(server, horizon));
            let held = match value::rank(pg_type, highest) > value::rank(pg_type, &bound) {
                true => bound,
                false => highest.to_owned(),
            };
            Ok(Some((held, true)))
        })
        .await
    }

    async fn estimate(&self) -> PortResult<u64> {
        self.read("estimate", |server| Ok(server.rows().count() as u64))
            .await
    }

    async fn page_by_key(&self, after: Option<&Key>, limit: u32) -> PortResult<SourcePage> {
        self.read("page_by_key", |server| {
            let after = after.map(|key| place_of(server, key)).transpose()?;
            let behind = |stored: &&Stored| after.as_ref().is_none_or(|after| stored.place > *after);
            let rows = server.rows().filter(behind).map(|stored| (&stored.place, stored));
            Ok(self.page(server, rows.collect(), limit))
        })
        .await
    }

    async fn page_in_range(
        &self,
        range: &KeyRange,
        after: Option<&Key>,
        limit: u32,
    ) -> PortResult<SourcePage> {
        self.read("page_in_range", |server| {
            let ends = Ends::of(server, range)?;
            let after = after.map(|key| place_of(server, key)).transpose()?;
            let behind = |stored: &&Stored| match &after {
                Some(after) => stored.place > *after && ends.not_behind(&stored.place),
                None => ends.hold(&stored.place),
            };
            let rows = server.rows().filter(behind).map(|stored| (&stored.place, stored));
            Ok(self.page(server, rows.collect(), limit))
        })
        .await
    }

    async fn in_range(&self, range: &KeyRange, keys: &[Key]) -> PortResult<Vec<bool>> {
        self.read("in_range", |server| {
            let ends = Ends::of(server, range)?;
            keys.iter()
                .map(|key| Ok(ends.hold(&place_of(server, key)?)))
                .collect()
        })
        .await
    }

    async fn page_by_watermark(
        &self,
        after: Option<&WatermarkPosition>,
        limit: u32,
    ) -> PortResult<SourcePage> {
        self.read("page_by_watermark", |server| {
            let (at, pg_type) = watermark(server)?;
            let after = after
                .map(|after| Behind::of(server, pg_type, after))
                .transpose()?;
            let rows = server.rows().filter_map(|stored| {
                let place = (value::rank(pg_type, stored.cells[at].as_deref()?), &stored.place);
                let behind = after.as_ref().is_none_or(|after| after.leaves(&place));
                behind.then_some((place, stored))
            });
            Ok(self.page(server, rows.collect(), limit))
        })
        .await
    }

    async fn page_without_watermark(&self, after: Option<&Key>, limit: u32) -> PortResult<SourcePage> {
        self.read("page_without_watermark", |server| {
            let (at, _) = watermark(server)?;
            let after = after.map(|key| place_of(server, key)).transpose()?;
            let rows = server
                .rows()
                .filter(|stored| stored.cells[at].is_none())
                .filter(|stored| after.as_ref().is_none_or(|after| stored.place > *after))
                .map(|stored| (&stored.place, stored));
            Ok(self.page(server, rows.collect(), limit))
        })
        .await
    }

    async fn read_keys(&self, keys: &[Key]) -> PortResult<(Vec<Presence<SourceRow>>, Mark)> {
        self.read("read_keys", |server| {
            let presence = |key: &Key| {
                place_of(server, key)?;
                let mut rows: Vec<SourceRow> = server
                    .rows()
                    .filter(|stored| stored.key == *key)
                    .map(|stored| server.seen(stored))
                    .collect();
                Ok(match rows.len() {
                    0 => Presence::None,
                    1 => Presence::One(rows.remove(0)),
                    _ => Presence::Many(rows),
                })
            };
            let found = keys.iter().map(presence).collect::<PortResult<Vec<_>>>()?;
            Ok((found, self.mark(server)))
        })
        .await
    }
}

/// Where a watermark page begins.
enum Behind {
    /// At the value.
    At(Rank),
    /// Behind the row.
    Row(Rank, Vec<Rank>),
}

impl Behind {
    fn of(server: &Server, pg_type: &PgType, after: &WatermarkPosition) -> PortResult<Self> {
        if value::raw_form(pg_type, &after.value).is_none() {
            return Err(Failure::new(
                Scope::List,
                "source.conversion",
                "a remembered position is no value of its column",
                "reset the cursor",
            ));
        }
        let rank = value::rank(pg_type, &after.value);
        Ok(match &after.key {
            None => Behind::At(rank),
            Some(key) => Behind::Row(rank, place_of(server, key)?),
        })
    }

    fn leaves(&self, (rank, place): &(Rank, &Vec<Rank>)) -> bool {
        match self {
            Behind::At(value) => rank >= value,
            Behind::Row(value, key) => (rank, *place) > (value, key),
        }
    }
}

/// The ends of a range.
struct Ends {
    from: Option<Vec<Rank>>,
    to: Option<Vec<Rank>>,
}

impl Ends {
    fn of(server: &Server, range: &KeyRange) -> PortResult<Self> {
        let place = |key: &Option<Key>| key.as_ref().map(|key| place_of(server, key)).transpose();
        Ok(Self {
            from: place(&range.from)?,
            to: place(&range.to)?,
        })
    }

    fn not_behind(&self, place: &Vec<Rank>) -> bool {
        self.to.as_ref().is_none_or(|to| place <= to)
    }

    fn hold(&self, place: &Vec<Rank>) -> bool {
        self.from.as_ref().is_none_or(|from| place >= from) && self.not_behind(place)
    }
}

fn watermark_type(server: &Server) -> Option<&PgType> {
    let at = server.table.watermark?;
    Some(&server.table.columns[at].pg_type)
}

fn watermark(server: &Server) -> PortResult<(usize, &PgType)> {
    let at = server.table.watermark.ok_or_else(|| {
        Failure::new(
            Scope::List,
            "source.no_watermark",
            "the definition reads the table without a watermark column",
            "name a watermark column in the definition, or use the full scan",
        )
    })?;
    Ok((at, &server.table.columns[at].pg_type))
}

/// A key's place in the order, whether there is such a row or not.
fn place_of(server: &Server, key: &Key) -> PortResult<Vec<Rank>> {
    let changed = || {
        Failure::new(
            Scope::List,
            "source.key_changed",
            "a remembered key does not have the key columns of this definition",
            "make a new definition for the new key",
        )
    };
    let texts = key.texts().map_err(|_| changed())?;
    if texts.len() != server.table.key.len() {
        return Err(changed());
    }
    let columns = server.table.key.iter().map(|at| &server.table.columns[*at]);
    Ok(columns
        .zip(texts)
        .map(|(column, text)| value::rank(&column.pg_type, text))
        .collect())
}

fn below_open_transactions(server: &Server, horizon: &Horizon) -> DateTime<Utc> {
    let overlap = TimeDelta::from_std(server.table.overlap).unwrap_or(CLOCK_MARGIN);
    match horizon.oldest_start {
        Some(start) => start.min(horizon.clock - CLOCK_MARGIN),
        None => horizon.clock - overlap.max(CLOCK_MARGIN),
    }
}
