//! Histories of definitions that write to the source: people work in the list as much as applications do in the table.

use syncbridge_domain::conflict::Side;

use super::{Action, Change, History, Job, Step, commit, gap, millis, small, stop_after, values};
use crate::random::Random;

/// The history of a seed whose definition writes to the source, over so many rows.
#[must_use]
pub fn draw(random: &mut Random, rows: u8) -> History {
    let length = random.between(40, 80);
    let mut history = History::new();
    for _ in 0..random.between(1, 4) {
        history.push(Step {
            gap: gap(random),
            action: commit(random, rows),
        });
    }
    history.push(Step {
        gap: gap(random),
        action: Action::Run(Job::Push),
    });
    for _ in 0..length {
        if random.permille(60) {
            history.extend(scene(random, rows));
        }
        history.push(Step {
            gap: gap(random),
            action: action(random, rows),
        });
    }
    history
}

fn edit(random: &mut Random) -> Action {
    Action::Edit {
        item: small(random, 250),
        field: small(random, 4),
        value: small(random, 250),
    }
}

fn update(random: &mut Random, rows: u8) -> Action {
    Action::Commit {
        changes: vec![Change::Update {
            row: small(random, rows),
            field: small(random, 4),
            value: small(random, 250),
        }],
        after: 0,
        rolled_back: false,
    }
}

fn kill(random: &mut Random) -> Action {
    Action::Kill {
        polls: stop_after(random),
    }
}

/// At the end of some histories people decide while a worker is at the rows that waited for it.
#[must_use]
pub fn decided_meanwhile(random: &mut Random, rows: u8) -> History {
    let mut steps = vec![(10, Action::Run(Job::Push))];
    for _ in 0..random.between(2, 5) {
        steps.push((millis(random, 1_500, 6_000), edit(random)));
        steps.push((millis(random, 1, 1_500), update(random, rows)));
    }
    steps.push((10, Action::Run(Job::Push)));
    // What was refused then is tried again.
    steps.push((millis(random, 61_000, 66_000), Action::Run(Job::Push)));
    for _ in 0..random.between(1, 4) {
        let decide = Action::Decide {
            which: small(random, 250),
            winner: *random.pick(&[Side::Source, Side::Target]),
        };
        steps.push((millis(random, 1, 400), decide));
    }
    let step = |(gap, action)| Step { gap, action };
    steps.into_iter().map(step).collect()
}

/// Something that rarely comes together by chance: edits of one cell on both sides, workers that die while they write
/// to the source, items that go and come back between two looks.
fn scene(random: &mut Random, rows: u8) -> Vec<Step> {
    let push = Action::Run(Job::Push);
    let soon = |random: &mut Random| millis(random, 1_500, 6_000);
    let item = small(random, 250);
    let steps = match random.below(7) {
        // Both sides change the same few cells before anybody looks.
        0 => {
            let mut steps = vec![(10, push.clone())];
            for _ in 0..random.between(2, 5) {
                steps.push((soon(random), edit(random)));
                steps.push((millis(random, 1, 1_500), update(random, rows)));
            }
            steps.push((10, push));
            steps
        }
        // A worker dies somewhere between the record of its write and the end of its transaction.
        1 => vec![
            (10, edit(random)),
            (10, edit(random)),
            (10, push.clone()),
            (0, kill(random)),
            (soon(random), edit(random)),
            (10, push),
        ],
        // An item goes, and is back before or after the other side followed.
        2 => vec![
            (10, push.clone()),
            (soon(random), Action::Remove { item }),
            (millis(random, 10, 90_000), push.clone()),
            (millis(random, 10, 400_000), push.clone()),
            (soon(random), Action::Restore { item: 0 }),
            (10, push),
        ],
        // New items, some of them at the moment at which the worker looks.
        3 => vec![
            (10, add(random, rows)),
            (10, push.clone()),
            (millis(random, 1, 900), add(random, rows)),
            (0, kill(random)),
            (soon(random), push),
        ],
        // A write to the list lands late, after a person came to the same item.
        4 => vec![
            (10, push.clone()),
            (soon(random), update(random, rows)),
            (
                10,
                Action::Adrift {
                    millis: millis(random, 2_500, 24_000),
                },
            ),
            (10, push.clone()),
            (soon(random), edit(random)),
            (10, push.clone()),
            (millis(random, 5_000, 25_000), push),
        ],
        // The list loses the worker's place in its changes while somebody works there.
        5 => vec![
            (10, push.clone()),
            (
                soon(random),
                Action::LosePlace {
                    token: random.permille(500),
                },
            ),
            (10, edit(random)),
            (10, Action::Remove { item }),
            (10, push.clone()),
            (soon(random), push),
        ],
        // A row is copied in the grid, and the copy is edited.
        _ => vec![
            (10, push.clone()),
            (
                soon(random),
                Action::Copy {
                    item,
                    key: random.permille(700),
                },
            ),
            (10, push.clone()),
            (soon(random), edit(random)),
            (10, push),
        ],
    };
    let step = |(gap, action)| Step { gap, action };
    steps.into_iter().map(step).collect()
}

fn add(random: &mut Random, rows: u8) -> Action {
    let values = values(random);
    if random.permille(500) {
        Action::Add { values }
    } else {
        Action::AddKeyed {
            row: small(random, rows),
            values,
        }
    }
}

fn action(random: &mut Random, rows: u8) -> Action {
    let item = small(random, 250);
    match random.below(1_000) {
        0..200 => commit(random, rows),
        200..400 => Action::Run(Job::Push),
        400..430 => Action::Run(Job::FullPush),
        430..440 => Action::Run(Job::Repair),
        440..450 => Action::Run(Job::Verify),
        450..455 => Action::Run(Job::Plan),
        455..465 => Action::Run(Job::ApprovedPush),
        465..470 => Action::Run(Job::FreshPush),
        470..550 => kill(random),
        550..585 => Action::Freeze {
            polls: stop_after(random),
        },
        585..615 => Action::Thaw,
        615..625 => Action::MemoryOutage {
            millis: millis(random, 50, 20_000),
        },
        625..632 => Action::SourceRestart,
        632..800 => edit(random),
        800..840 => add(random, rows),
        840..875 => Action::Remove { item },
        875..895 => Action::Restore { item },
        895..910 => Action::Copy {
            item,
            key: random.permille(500),
        },
        910..922 => Action::EditKey {
            item,
            text: random.permille(400),
        },
        922..937 => Action::Touch { item },
        937..943 => Action::Hide { item },
        943..952 => Action::Show,
        952..980 => Action::Decide {
            which: item,
            winner: *random.pick(&[Side::Source, Side::Target]),
        },
        980..985 => Action::LosePlace {
            token: random.permille(500),
        },
        _ => Action::Wait,
    }
}
