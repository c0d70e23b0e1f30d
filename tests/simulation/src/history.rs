//! What happens in a history, as a list that can be printed, replayed and shortened.

use serde::{Deserialize, Serialize};
use syncbridge_domain::conflict::Side;

use crate::random::Random;

pub mod both_ways;

/// A change of the source, inside a transaction. Values are numbers of the scenario's texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// A new row.
    Insert {
        /// Number of its key.
        row: u8,
        /// One value a field.
        values: [u8; 4],
    },
    /// One cell.
    Update {
        /// Number of its key.
        row: u8,
        /// Which field.
        field: u8,
        /// The value.
        value: u8,
    },
    /// The whole row but its key.
    Rewrite {
        /// Number of its key.
        row: u8,
        /// One value a field.
        values: [u8; 4],
    },
    /// A row goes.
    Delete {
        /// Number of its key.
        row: u8,
    },
    /// A row gets another key.
    Rekey {
        /// Number of its key.
        row: u8,
        /// Number of its new one.
        to: u8,
    },
}

/// What a run is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Job {
    /// A run as scheduled, in the definition's direction.
    Push,
    /// One that compares everything.
    FullPush,
    /// One that a person approved differences for.
    ApprovedPush,
    /// One that begins its feed anew.
    FreshPush,
    /// A comparison.
    Verify,
    /// A repair.
    Repair,
    /// A forecast.
    Plan,
}

/// One thing that happens. `item` picks among the items there are at that moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// An application changes the source.
    Commit {
        /// In this order.
        changes: Vec<Change>,
        /// Milliseconds between the changes and the commit.
        after: u32,
        /// It is rolled back instead.
        rolled_back: bool,
    },
    /// A worker starts a run.
    Run(Job),
    /// The newest worker dies at an await point, after so many polls.
    Kill {
        /// Polls.
        polls: u32,
    },
    /// The newest worker stops responding at an await point, after so many polls.
    Freeze {
        /// Polls.
        polls: u32,
    },
    /// The next write of a worker leaves, its sender dies, and it arrives so much later.
    Adrift {
        /// Milliseconds.
        millis: u32,
    },
    /// Whoever does not respond goes on.
    Thaw,
    /// The memory does not answer for a while.
    MemoryOutage {
        /// Milliseconds.
        millis: u32,
    },
    /// The source's server goes down and comes back.
    SourceRestart,
    /// A person edits a cell.
    Edit {
        /// Which item.
        item: u8,
        /// Which field.
        field: u8,
        /// The value.
        value: u8,
    },
    /// A person adds an item.
    Add {
        /// One value a field.
        values: [u8; 4],
    },
    /// A person adds an item and gives it the key of a row, where the list shows keys.
    AddKeyed {
        /// Number of the key.
        row: u8,
        /// One value a field.
        values: [u8; 4],
    },
    /// A person decides a conflict that waits.
    Decide {
        /// Which of those that wait.
        which: u8,
        /// Whose value is to stand.
        winner: Side,
    },
    /// A person has the list read as a whole again, or (`token`) the service stops knowing every place in its changes.
    LosePlace {
        /// The service forgets.
        token: bool,
    },
    /// A person deletes an item.
    Remove {
        /// Which item.
        item: u8,
    },
    /// A person takes an item out of the recycle bin.
    Restore {
        /// Which of those in it.
        item: u8,
    },
    /// A person copies a row of the grid.
    Copy {
        /// Which item.
        item: u8,
        /// The hidden key comes along.
        key: bool,
    },
    /// A person empties the sync key, or types into it.
    EditKey {
        /// Which item.
        item: u8,
        /// A text instead of nothing.
        text: bool,
    },
    /// The item's counter moves without anybody's doing.
    Touch {
        /// Which item.
        item: u8,
    },
    /// An item gets permissions of its own, out of the app's sight.
    Hide {
        /// Which item.
        item: u8,
    },
    /// Hidden items are shown again.
    Show,
    /// Nothing.
    Wait,
}

impl Action {
    /// Its name in reports.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Action::Commit {
                rolled_back: true, ..
            } => "roll_back",
            Action::Commit { .. } => "commit",
            Action::Run(Job::Push) => "push",
            Action::Run(Job::FullPush) => "full_push",
            Action::Run(Job::ApprovedPush) => "approved_push",
            Action::Run(Job::FreshPush) => "fresh_push",
            Action::Run(Job::Verify) => "verify",
            Action::Run(Job::Repair) => "repair",
            Action::Run(Job::Plan) => "plan",
            Action::Kill { .. } => "kill",
            Action::Freeze { .. } => "freeze",
            Action::Adrift { .. } => "adrift",
            Action::Thaw => "thaw",
            Action::MemoryOutage { .. } => "memory_outage",
            Action::SourceRestart => "source_restart",
            Action::Edit { .. } => "edit",
            Action::Add { .. } => "add",
            Action::AddKeyed { .. } => "add_keyed",
            Action::Decide { .. } => "decide",
            Action::LosePlace { token: true } => "expire_tokens",
            Action::LosePlace { token: false } => "reset_delta",
            Action::Remove { .. } => "remove",
            Action::Restore { .. } => "restore",
            Action::Copy { .. } => "copy",
            Action::EditKey { .. } => "edit_key",
            Action::Touch { .. } => "touch",
            Action::Hide { .. } => "hide",
            Action::Show => "show",
            Action::Wait => "wait",
        }
    }
}

/// An action and how long after the one before it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Milliseconds since the action before.
    pub gap: u32,
    /// What happens.
    pub action: Action,
}

/// A history.
pub type History = Vec<Step>;

/// The history of a seed, over so many rows.
#[must_use]
pub fn draw(random: &mut Random, rows: u8) -> History {
    let length = random.between(35, 75);
    let mut history = History::new();
    for _ in 0..random.between(1, 4) {
        history.push(Step {
            gap: gap(random),
            action: commit(random, rows),
        });
    }
    for _ in 0..length {
        if random.permille(35) {
            history.extend(late_landing(random, rows));
        }
        history.push(Step {
            gap: gap(random),
            action: action(random, rows),
        });
    }
    history
}

/// A write that lands after its sender died, while the row moves on: back, away, or further.
fn late_landing(random: &mut Random, rows: u8) -> Vec<Step> {
    let row = small(random, rows);
    let (field, before, between) = (small(random, 4), small(random, 250), small(random, 250));
    let update = |value| Change::Update { row, field, value };
    let commit = |changes| Action::Commit {
        changes,
        after: 0,
        rolled_back: false,
    };
    let insert = Change::Insert {
        row,
        values: values(random),
    };
    let (known, moved, moves_on) = match random.below(4) {
        0 => (
            vec![Change::Delete { row }],
            vec![insert],
            vec![Change::Delete { row }],
        ),
        1 => (
            vec![insert, update(before)],
            vec![update(between)],
            vec![Change::Delete { row }],
        ),
        2 => (
            vec![insert, update(before)],
            vec![update(between)],
            vec![update(before)],
        ),
        _ => {
            let further = small(random, 250);
            (
                vec![insert, update(before)],
                vec![update(between)],
                vec![update(further)],
            )
        }
    };
    let lands = Action::Adrift {
        millis: millis(random, 2_500, 24_000),
    };
    let mut steps = vec![
        (10, commit(known)),
        (millis(random, 10, 3_000), Action::Run(Job::Push)),
    ];
    steps.push((millis(random, 1_000, 4_000), commit(moved)));
    steps.push((10, lands));
    steps.push((10, Action::Run(Job::Push)));
    steps.push((millis(random, 2_100, 4_000), Action::Run(Job::Push)));
    steps.push((millis(random, 100, 2_500), commit(moves_on)));
    steps.push((millis(random, 10, 2_500), Action::Run(Job::Push)));
    steps
        .into_iter()
        .map(|(gap, action)| Step { gap, action })
        .collect()
}

fn small(random: &mut Random, below: u8) -> u8 {
    u8::try_from(random.below(u64::from(below.max(1)))).unwrap_or(0)
}

fn millis(random: &mut Random, low: u64, high: u64) -> u32 {
    u32::try_from(random.between(low, high)).unwrap_or(u32::MAX)
}

fn gap(random: &mut Random) -> u32 {
    match random.below(100) {
        0..40 => millis(random, 0, 60),
        40..70 => millis(random, 60, 600),
        70..88 => millis(random, 600, 6_000),
        88..98 => millis(random, 6_000, 45_000),
        _ => millis(random, 60_000, 700_000),
    }
}

fn values(random: &mut Random) -> [u8; 4] {
    std::array::from_fn(|_| small(random, 250))
}

fn change(random: &mut Random, rows: u8) -> Change {
    let row = small(random, rows);
    match random.below(100) {
        0..30 => Change::Insert {
            row,
            values: values(random),
        },
        30..70 => Change::Update {
            row,
            field: small(random, 4),
            value: small(random, 250),
        },
        70..78 => Change::Rewrite {
            row,
            values: values(random),
        },
        78..94 => Change::Delete { row },
        _ => Change::Rekey {
            row,
            to: small(random, rows),
        },
    }
}

fn commit(random: &mut Random, rows: u8) -> Action {
    let count = if random.permille(600) {
        1
    } else {
        random.between(2, 5)
    };
    Action::Commit {
        changes: (0..count).map(|_| change(random, rows)).collect(),
        after: if random.permille(750) {
            0
        } else {
            millis(random, 1, 40_000)
        },
        rolled_back: random.permille(60),
    }
}

fn action(random: &mut Random, rows: u8) -> Action {
    let item = small(random, 250);
    match random.below(1_000) {
        0..300 => commit(random, rows),
        300..490 => Action::Run(Job::Push),
        490..530 => Action::Run(Job::FullPush),
        530..545 => Action::Run(Job::Repair),
        545..560 => Action::Run(Job::Verify),
        560..570 => Action::Run(Job::Plan),
        570..580 => Action::Run(Job::ApprovedPush),
        580..585 => Action::Run(Job::FreshPush),
        585..665 => Action::Kill {
            polls: stop_after(random),
        },
        665..705 => Action::Freeze {
            polls: stop_after(random),
        },
        705..735 => Action::Thaw,
        735..745 => Action::MemoryOutage {
            millis: millis(random, 50, 20_000),
        },
        745..750 => Action::SourceRestart,
        750..850 => Action::Edit {
            item,
            field: small(random, 4),
            value: small(random, 250),
        },
        850..865 => Action::Add {
            values: values(random),
        },
        865..890 => Action::Remove { item },
        890..905 => Action::Restore { item },
        905..920 => Action::Copy {
            item,
            key: random.permille(500),
        },
        920..935 => Action::EditKey {
            item,
            text: random.permille(400),
        },
        935..955 => Action::Touch { item },
        955..962 => Action::Hide { item },
        962..972 => Action::Show,
        _ => Action::Wait,
    }
}

fn stop_after(random: &mut Random) -> u32 {
    match random.below(4) {
        0 => millis(random, 0, 8),
        1 | 2 => millis(random, 5, 60),
        _ => millis(random, 40, 200),
    }
}
