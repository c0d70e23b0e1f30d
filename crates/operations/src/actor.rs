//! Who does something.

/// Who asked for an operation, as the audit trail names them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    name: String,
}

impl Actor {
    /// The person at this machine's command line.
    #[must_use]
    pub fn command_line(user: &str) -> Self {
        let user: String = user.chars().filter(|c| !c.is_control()).take(100).collect();
        Self {
            name: format!("cli:{}", if user.is_empty() { "unknown" } else { &user }),
        }
    }

    /// How the audit trail names them.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}
