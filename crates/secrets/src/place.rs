//! Where a sealed text belongs. It is not stored with the text; whoever opens it must name the same place.

/// Associated data: a row and column, or a workspace, definition and subject. Parts are length-prefixed, so
/// that no two different places have the same bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place(Vec<u8>);

impl Place {
    /// Begins with what kind of thing is sealed, usually the table and column.
    #[must_use]
    pub fn new(kind: &str) -> Self {
        Self(Vec::with_capacity(64)).with(kind.as_bytes())
    }

    /// Adds a part.
    #[must_use]
    pub fn with(mut self, part: impl AsRef<[u8]>) -> Self {
        let part = part.as_ref();
        self.0.extend_from_slice(&(part.len() as u64).to_be_bytes());
        self.0.extend_from_slice(part);
        self
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_never_run_into_each_other() {
        assert_ne!(Place::new("a").with("bc"), Place::new("ab").with("c"));
        assert_ne!(Place::new("a").with(""), Place::new("a"));
    }
}
