//! What is wrong with a document, and where.

use std::fmt;

/// A place in a text, both counted from 1; columns count characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

impl Position {
    /// The very beginning, used where a document has no text of its own.
    pub const START: Position = Position { line: 1, column: 1 };
}

/// The kind of a problem. Each has a stable code and a section in `docs/errors/manifest.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProblemCode {
    /// The text is neither YAML nor JSON.
    Syntax,
    /// The text is larger, deeper or longer than a configuration can be.
    TooLarge,
    /// A part of YAML that is not accepted here: anchors, aliases, merge keys.
    YamlFeature,
    /// `apiVersion` or `kind` is unknown.
    UnknownKind,
    /// A key that nothing reads.
    UnknownKey,
    /// A key that stands twice in one mapping.
    DuplicateKey,
    /// A key that must be there.
    MissingKey,
    /// Text where a number is wanted, and the like.
    WrongType,
    /// The right type, but not an allowed value.
    InvalidValue,
    /// Two keys that exclude or need each other.
    Contradiction,
    /// Meant for a later version.
    OpensLater,
    /// One kind and name described twice.
    DuplicateDocument,
    /// A document refers to one that is neither stored nor given.
    UnknownReference,
}

impl ProblemCode {
    /// Every code, for documentation and tests.
    pub const ALL: [ProblemCode; 13] = [
        ProblemCode::Syntax,
        ProblemCode::TooLarge,
        ProblemCode::YamlFeature,
        ProblemCode::UnknownKind,
        ProblemCode::UnknownKey,
        ProblemCode::DuplicateKey,
        ProblemCode::MissingKey,
        ProblemCode::WrongType,
        ProblemCode::InvalidValue,
        ProblemCode::Contradiction,
        ProblemCode::OpensLater,
        ProblemCode::DuplicateDocument,
        ProblemCode::UnknownReference,
    ];

    /// The stable code, `manifest.…`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            ProblemCode::Syntax => "manifest.syntax",
            ProblemCode::TooLarge => "manifest.too_large",
            ProblemCode::YamlFeature => "manifest.yaml_feature",
            ProblemCode::UnknownKind => "manifest.unknown_kind",
            ProblemCode::UnknownKey => "manifest.unknown_key",
            ProblemCode::DuplicateKey => "manifest.duplicate_key",
            ProblemCode::MissingKey => "manifest.missing_key",
            ProblemCode::WrongType => "manifest.wrong_type",
            ProblemCode::InvalidValue => "manifest.invalid_value",
            ProblemCode::Contradiction => "manifest.contradiction",
            ProblemCode::OpensLater => "manifest.opens_later",
            ProblemCode::DuplicateDocument => "manifest.duplicate_document",
            ProblemCode::UnknownReference => "manifest.unknown_reference",
        }
    }
}

impl fmt::Display for ProblemCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One thing wrong with a text, for a person to put right. It never repeats the value of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Name of the file, or of whatever the text came from.
    pub file: String,
    /// Where it is.
    pub position: Position,
    /// Its kind.
    pub code: ProblemCode,
    /// What was found.
    pub message: String,
    /// What is allowed, or what to do.
    pub help: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Position { line, column } = self.position;
        write!(
            f,
            "{}:{line}:{column}: {} → {} [{}]",
            self.file, self.message, self.help, self.code
        )
    }
}

impl std::error::Error for Problem {}
