//! Switchable mistakes for the drill that proves the simulation: only where everything is built with
//! `--cfg sabotage`, in a target folder of its own. The product holds none of them, not even their names.

/// Whether the mistake of this name is to be made. In a build without `--cfg sabotage` this is `false` and the name
/// is nowhere.
#[cfg(not(sabotage))]
#[macro_export]
macro_rules! sabotaged {
    ($name:literal) => {
        false
    };
}

/// Whether the mistake of this name is to be made.
#[cfg(sabotage)]
#[macro_export]
macro_rules! sabotaged {
    ($name:literal) => {
        $crate::sabotage::is_armed(concat!("sabotage: ", $name))
    };
}

#[cfg(sabotage)]
mod armed {
    use std::cell::RefCell;

    thread_local! {
        static ARMED: RefCell<Option<String>> = const { RefCell::new(None) };
    }

    /// Arms one mistake in this thread, or none.
    pub fn arm(name: Option<&str>) {
        ARMED.with_borrow_mut(|armed| *armed = name.map(|name| format!("sabotage: {name}")));
    }

    /// Whether this one is armed in this thread.
    #[must_use]
    pub fn is_armed(name: &str) -> bool {
        ARMED.with_borrow(|armed| armed.as_deref() == Some(name))
    }
}

#[cfg(sabotage)]
pub use armed::{arm, is_armed};
