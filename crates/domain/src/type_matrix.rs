//! The one table of types: for each PostgreSQL type the list column it becomes by default, what a cell shows there,
//! what is lost on the way and how to lose nothing, what is refused row by row, and which other kinds it may be
//! mapped to.
//!
//! [`crate::derive`] takes its defaults from here, definitions that ask for a kind a type cannot fill are refused
//! from here, `docs/types.md` is generated from here, and the examples are held against [`crate::convert`] by a test.

use std::fmt::Write as _;

use crate::facet::{Facet, FacetKind, SINGLE_LINE_MAX};
use crate::pg_type::PgType;

/// Whether every value of a type can be told from its list cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fidelity {
    /// Every value that is not refused.
    Lossless,
    /// Not every one.
    Loses {
        /// What cannot be told from the list.
        what: &'static str,
        /// How nothing is lost; absent where no kind of column keeps it.
        alternative: Option<&'static str>,
    },
}

/// A cell and what its default list column holds for it.
#[derive(Clone, Copy, Debug)]
pub struct Example {
    /// Text that PostgreSQL prints under the session settings.
    pub raw: &'static str,
    /// JSON in the list; absent where the cell is empty.
    pub json: Option<&'static str>,
}

/// What holds for some types of PostgreSQL.
#[derive(Clone, Copy)]
pub struct TypeRow {
    /// Their names, for people, in Markdown.
    pub types: &'static str,
    /// The default list column, for people: the word documents use, and its settings.
    pub column: &'static str,
    /// What a cell shows, for people.
    pub form: &'static str,
    /// What may be entered in the list where the source follows it, for people.
    pub back: &'static str,
    /// Codes under which an entry is refused before PostgreSQL is asked.
    pub unwritable: &'static [&'static str],
    /// What is lost.
    pub fidelity: Fidelity,
    /// Codes under which single values are refused in the default column.
    pub refused: &'static [&'static str],
    /// Kinds a definition may ask for beside `text` and `multiline`, which take every type.
    pub kinds: &'static [FacetKind],
    /// Values and their forms in the default column.
    pub examples: &'static [Example],
    covers: fn(&PgType) -> bool,
    default: fn(&PgType) -> Facet,
}

impl TypeRow {
    /// Whether a definition may map these types to such a column.
    #[must_use]
    pub fn takes(&self, kind: FacetKind) -> bool {
        matches!(kind, FacetKind::Text | FacetKind::MultiLine) || self.kinds.contains(&kind)
    }

    /// The words of all kinds a definition may ask for, defaults included.
    #[must_use]
    pub fn words(&self) -> Vec<&'static str> {
        [FacetKind::Text, FacetKind::MultiLine]
            .iter()
            .chain(self.kinds)
            .map(|kind| kind.word())
            .collect()
    }
}

/// The row of a type. Every type has one.
#[must_use]
pub fn row_of(pg_type: &PgType) -> &'static TypeRow {
    // The last row covers everything.
    MATRIX
        .iter()
        .find(|row| (row.covers)(pg_type))
        .unwrap_or(&MATRIX[MATRIX.len() - 1])
}

/// The list column a type becomes where a definition does not say otherwise: the one that loses nothing where a
/// list has one.
#[must_use]
pub fn default_facet(pg_type: &PgType) -> Facet {
    (row_of(pg_type).default)(pg_type)
}

/// What is lost of a type in a column of this kind, be it the default or one that a definition asked for.
#[must_use]
pub fn fidelity(pg_type: &PgType, kind: FacetKind) -> Fidelity {
    let row = row_of(pg_type);
    match kind {
        FacetKind::MultiChoice => SEVERAL,
        _ if kind == default_facet(pg_type).kind() => row.fidelity,
        // Text keeps everything but the difference of nothing and an empty text, where a type has such a text.
        _ if row.fidelity == EMPTY => EMPTY,
        _ => Fidelity::Lossless,
    }
}

/// What a person who edits such a column in a list may not see of the source's value; `None`: nothing that counts.
///
/// An empty text and NULL read alike, and PostgreSQL itself holds −0 and 0 for equal: neither is anything to lose.
#[must_use]
pub fn unseen_in_list(pg_type: &PgType, kind: FacetKind) -> Option<&'static str> {
    match fidelity(pg_type, kind) {
        lost @ Fidelity::Loses { what, .. } if lost != EMPTY && lost != SIGN_OF_ZERO => Some(what),
        _ => None,
    }
}

/// Every row, in the order of the documentation.
#[must_use]
pub fn rows() -> &'static [TypeRow] {
    MATRIX
}

/// Why texts cannot be the choices of a column; `None` if they can. An enum with such a label becomes text.
#[must_use]
pub fn unfit_choice(choices: &[String]) -> Option<&'static str> {
    let unfit = |reason, is: &dyn Fn(&String) -> bool| choices.iter().any(is).then_some(reason);
    unfit("a choice cannot be empty", &|text| text.is_empty())
        .or_else(|| {
            unfit("a choice has at most 255 characters", &|text| {
                text.encode_utf16().count() > SINGLE_LINE_MAX as usize
            })
        })
        .or_else(|| {
            unfit(
                "a choice cannot hold control characters or line breaks",
                &|text| text.contains(|c: char| crate::convert::refused_character(c) || c.is_control()),
            )
        })
        .or_else(|| {
            unfit("a choice cannot begin or end with a blank", &|text| {
                text.trim() != text
            })
        })
        .or_else(|| {
            // SharePoint keeps several choices in one text with this between them.
            unfit("a choice cannot hold `;#`", &|text| text.contains(";#"))
        })
}

const LINE: Facet = Facet::Text {
    max_length: SINGLE_LINE_MAX,
};

fn choice_or_text(pg_type: &PgType) -> Facet {
    match unfit_choice(pg_type.labels()) {
        None => Facet::Choice {
            choices: pg_type.labels().to_vec(),
        },
        Some(_) => LINE,
    }
}

fn several_or_text(pg_type: &PgType) -> Facet {
    match unfit_choice(pg_type.labels()) {
        None => Facet::MultiChoice {
            choices: pg_type.labels().to_vec(),
        },
        Some(_) => Facet::MultiLine,
    }
}

/// `numeric` whose every value a double shows digit by digit.
fn is_short_numeric(pg_type: &PgType) -> bool {
    matches!(pg_type, PgType::Numeric { precision: Some(precision), .. } if *precision <= 15)
}

/// Digits, sign, point, a leading zero, and the zeros of a negative scale.
fn wide_numeric(pg_type: &PgType) -> Facet {
    match pg_type {
        PgType::Numeric {
            precision: Some(precision),
            scale,
        } => {
            let scale = scale.unwrap_or(0);
            let zeros = u32::from(scale.min(0).unsigned_abs());
            let behind = u32::try_from(scale.max(0)).unwrap_or(0);
            if u32::from(*precision).max(behind) + zeros + 3 > SINGLE_LINE_MAX {
                Facet::MultiLine
            } else {
                LINE
            }
        }
        _ => LINE,
    }
}

fn text_of(pg_type: &PgType) -> Facet {
    match pg_type {
        PgType::Varchar { length: Some(length) } | PgType::Char { length: Some(length) }
            if *length <= SINGLE_LINE_MAX =>
        {
            Facet::Text { max_length: *length }
        }
        _ => Facet::MultiLine,
    }
}

fn is_short_text(pg_type: &PgType) -> bool {
    matches!(text_of(pg_type), Facet::Text { .. })
}

/// Whether it is one of these built-in types, by the name PostgreSQL prints with an empty search path. A type of
/// that name in another schema prints with its schema.
fn named(pg_type: &PgType, names: &[&str]) -> bool {
    matches!(pg_type, PgType::Other { name } if names.contains(&name.as_str()))
}

/// Whether it is a type of an extension, in whatever schema that was installed.
fn extension(pg_type: &PgType, names: &[&str]) -> bool {
    matches!(pg_type, PgType::Other { name } if names.contains(&name.rsplit('.').next().unwrap_or(name)))
}

const EMPTY: Fidelity = Fidelity::Loses {
    what: "an empty text and NULL are one: an empty cell",
    alternative: None,
};
const SEVERAL: Fidelity = Fidelity::Loses {
    what: "order and repetition; an empty array and NULL are one: an empty cell",
    alternative: Some("multiline"),
};
const SIGN_OF_ZERO: Fidelity = Fidelity::Loses {
    what: "the sign of zero",
    alternative: Some("text"),
};
const FRACTION: Fidelity = Fidelity::Loses {
    what: "fractions of a second, which are cut off",
    alternative: Some("text"),
};
const TEXTS: &[&str] = &["value.too_long", "value.control_character"];
const DATES: &[&str] = &["value.date_range"];
const OF_TYPE: &str = "pull.not_of_type";
const WHOLE: &str = "pull.not_whole";
const RANGE: &str = "pull.out_of_range";
const LABEL: &str = "pull.not_a_label";
const CHARACTER: &str = "pull.character";
const LONG: &[&str] = &["pull.too_long", CHARACTER];
const CHOICE: &[FacetKind] = &[FacetKind::Choice];

const fn shown(raw: &'static str, json: &'static str) -> Example {
    Example {
        raw,
        json: Some(json),
    }
}

const fn empty(raw: &'static str) -> Example {
    Example { raw, json: None }
}

const MATRIX: &[TypeRow] = &[
    TypeRow {
        types: "`boolean`",
        column: "`boolean`",
        form: "yes or no; NULL is an empty cell, which people may read as no",
        back: "yes or no; in a text column `true`, `yes`, `t`, `false`, `no`, `f`",
        unwritable: &[OF_TYPE],
        fidelity: Fidelity::Lossless,
        refused: &[],
        kinds: &[FacetKind::Boolean, FacetKind::Choice],
        examples: &[shown("t", "true"), shown("f", "false")],
        covers: |t| matches!(t, PgType::Bool),
        default: |_| Facet::Boolean,
    },
    TypeRow {
        types: "`smallint`, `integer`",
        column: "`number` without decimals",
        form: "the number",
        back: "a whole number in the type's range",
        unwritable: &[WHOLE, RANGE],
        fidelity: Fidelity::Lossless,
        refused: &[],
        kinds: &[FacetKind::Number, FacetKind::Choice],
        examples: &[shown("-32768", "-32768"), shown("2147483647", "2147483647")],
        covers: |t| matches!(t, PgType::Int2 | PgType::Int4),
        default: |_| Facet::Number { decimals: Some(0) },
    },
    TypeRow {
        types: "`bigint`",
        column: "`number` without decimals",
        form: "the number; beyond ±2^53 a list would change it, and it is refused; `type: text` takes every value",
        back: "a whole number in the type's range",
        unwritable: &[WHOLE, RANGE],
        fidelity: Fidelity::Lossless,
        refused: &["value.imprecise"],
        kinds: &[FacetKind::Number, FacetKind::Choice],
        examples: &[shown("9007199254740992", "9007199254740992")],
        covers: |t| matches!(t, PgType::Int8),
        default: |_| Facet::Number { decimals: Some(0) },
    },
    TypeRow {
        types: "`real`, `double precision`",
        column: "`number`",
        form: "the number; a `real` as the shortest decimal that stands for it",
        back: "a number; a `real` is rounded to its own digits, and the list shows them",
        unwritable: &[RANGE],
        fidelity: SIGN_OF_ZERO,
        refused: &["value.not_finite"],
        kinds: &[FacetKind::Number],
        examples: &[shown("0.1", "0.1"), shown("-0", "0"), shown("1e+300", "1e300")],
        covers: |t| matches!(t, PgType::Float4 | PgType::Float8),
        default: |_| Facet::Number { decimals: None },
    },
    TypeRow {
        types: "`numeric(p,s)` up to 15 digits",
        column: "`number` with s decimals, from 6 on automatic",
        form: "the number; zeros at the end are not kept, the column shows s decimals",
        back: "a number of so many digits; what is behind the scale is rounded, and the list shows that",
        unwritable: &[RANGE],
        fidelity: Fidelity::Lossless,
        refused: &["value.not_finite"],
        kinds: &[FacetKind::Number, FacetKind::Choice],
        examples: &[shown("1234.50", "1234.5")],
        covers: is_short_numeric,
        default: |t| Facet::Number {
            decimals: match t {
                PgType::Numeric { scale, .. } => scale
                    .and_then(|scale| u8::try_from(scale).ok())
                    .filter(|scale| *scale <= 5),
                _ => None,
            },
        },
    },
    TypeRow {
        types: "`numeric` wider or unlimited",
        column: "`text`; `multiline` from 250 digits on",
        form: "every digit as PostgreSQL prints it; as `type: number` a value that a double would change is refused",
        back: "digits with a point, `NaN`, `Infinity`; the list then shows it as PostgreSQL prints it",
        unwritable: &[OF_TYPE],
        fidelity: Fidelity::Lossless,
        refused: &["value.too_long"],
        kinds: &[FacetKind::Number, FacetKind::Choice],
        examples: &[
            shown(
                "123456789012345678901234567890.10",
                "\"123456789012345678901234567890.10\"",
            ),
            shown("NaN", "\"NaN\""),
        ],
        covers: |t| matches!(t, PgType::Numeric { .. }),
        default: wide_numeric,
    },
    TypeRow {
        types: "`money`",
        column: "`number` with 2 decimals",
        form: "the amount without a currency sign, with the decimals of the database's `lc_monetary`; an amount that a double would change is refused",
        back: "an amount; what is behind the decimals is rounded",
        unwritable: &[OF_TYPE],
        fidelity: Fidelity::Lossless,
        refused: &["value.imprecise"],
        kinds: &[FacetKind::Number],
        examples: &[shown("-1234.50", "-1234.5")],
        covers: |t| matches!(t, PgType::Money),
        default: |_| Facet::Number { decimals: Some(2) },
    },
    TypeRow {
        types: "`varchar(n)`, `char(n)` up to 255",
        column: "`text` of n characters",
        form: "the text; the blanks that fill up a `char(n)` mean nothing and are left out",
        back: "a text of at most n characters",
        unwritable: LONG,
        fidelity: EMPTY,
        refused: TEXTS,
        kinds: CHOICE,
        examples: &[shown("Zoë  ", "\"Zoë  \""), empty("")],
        covers: |t| matches!(t, PgType::Varchar { .. } | PgType::Char { .. }) && is_short_text(t),
        default: text_of,
    },
    TypeRow {
        types: "`text`, longer and unlimited `varchar` and `char`",
        column: "`multiline`",
        form: "the text, line breaks included",
        back: "a text",
        unwritable: LONG,
        fidelity: EMPTY,
        refused: TEXTS,
        kinds: CHOICE,
        examples: &[shown("a\nb", "\"a\\nb\""), empty("")],
        covers: |t| matches!(t, PgType::Text | PgType::Varchar { .. } | PgType::Char { .. }),
        default: text_of,
    },
    TypeRow {
        types: "`name`, `\"char\"`",
        column: "`text`",
        form: "the text",
        back: "a text",
        unwritable: &[CHARACTER],
        fidelity: EMPTY,
        refused: &["value.control_character"],
        kinds: CHOICE,
        examples: &[shown("pg_class", "\"pg_class\"")],
        covers: |t| named(t, &["name", "\"char\""]),
        default: |_| LINE,
    },
    TypeRow {
        types: "`uuid`",
        column: "`text` of 36 characters",
        form: "small letters and hyphens",
        back: "a uuid in any spelling; the list then shows small letters and hyphens",
        unwritable: &[OF_TYPE],
        fidelity: Fidelity::Lossless,
        refused: &[],
        kinds: CHOICE,
        examples: &[shown(
            "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
            "\"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11\"",
        )],
        covers: |t| matches!(t, PgType::Uuid),
        default: |_| Facet::Text { max_length: 36 },
    },
    TypeRow {
        types: "`date`",
        column: "`date`",
        form: "the day, kept as the site's midnight, so the [time zone of the site](configuration.md#syncdefinition) must be known",
        back: "the day, as the site's clock shows it; in a text column `2024-02-29`, `infinity`",
        unwritable: &[OF_TYPE],
        fidelity: Fidelity::Lossless,
        refused: DATES,
        kinds: &[FacetKind::DateOnly],
        examples: &[
            shown("2024-02-29", "\"2024-02-28T23:00:00Z\""),
            shown("2024-07-01", "\"2024-06-30T22:00:00Z\""),
        ],
        covers: |t| matches!(t, PgType::Date),
        default: |_| Facet::DateOnly,
    },
    TypeRow {
        types: "`timestamp`",
        column: "`datetime`",
        form: "the time, taken as UTC",
        back: "the time, taken as UTC; in a text column `2024-02-29 12:00:00`, without a zone",
        unwritable: &[OF_TYPE],
        fidelity: FRACTION,
        refused: DATES,
        kinds: &[FacetKind::DateTime],
        examples: &[shown("2024-02-29 12:00:00.987654", "\"2024-02-29T12:00:00Z\"")],
        covers: |t| matches!(t, PgType::Timestamp),
        default: |_| Facet::DateTime,
    },
    TypeRow {
        types: "`timestamptz`",
        column: "`datetime`",
        form: "the instant",
        back: "the instant; in a text column `2024-02-29 12:00:00+02`, UTC where it has no zone",
        unwritable: &[OF_TYPE],
        fidelity: FRACTION,
        refused: DATES,
        kinds: &[FacetKind::DateTime],
        examples: &[shown("2024-02-29 12:00:00.987654+00", "\"2024-02-29T12:00:00Z\"")],
        covers: |t| matches!(t, PgType::TimestampTz),
        default: |_| Facet::DateTime,
    },
    TypeRow {
        types: "`time`, `timetz`",
        column: "`text`",
        form: "hours, minutes, seconds and what is behind them",
        back: "`04:05:06`; a `timetz` as PostgreSQL takes it",
        unwritable: &[OF_TYPE],
        fidelity: Fidelity::Lossless,
        refused: &[],
        kinds: &[],
        examples: &[
            shown("24:00:00", "\"24:00:00\""),
            shown("04:05:06.789-08", "\"04:05:06.789-08\""),
        ],
        covers: |t| named(t, &["time without time zone", "time with time zone"]),
        default: |_| LINE,
    },
    TypeRow {
        types: "`interval`",
        column: "`text`",
        form: "ISO 8601",
        back: "whatever PostgreSQL takes for one; the list then shows ISO 8601",
        unwritable: &[],
        fidelity: Fidelity::Lossless,
        refused: &[],
        kinds: &[],
        examples: &[shown("P1Y2M3DT4H5M6.7S", "\"P1Y2M3DT4H5M6.7S\"")],
        covers: |t| named(t, &["interval"]),
        default: |_| LINE,
    },
    TypeRow {
        types: "`bytea`",
        column: "`multiline`",
        form: "`\\x` and two hexadecimal digits a byte, so at most 31,998 bytes",
        back: "`\\x` and two hexadecimal digits a byte",
        unwritable: &[OF_TYPE],
        fidelity: Fidelity::Lossless,
        refused: &["value.too_long"],
        kinds: &[],
        examples: &[shown("\\x00ff", "\"\\\\x00ff\""), shown("\\x", "\"\\\\x\"")],
        covers: |t| named(t, &["bytea"]),
        default: |_| Facet::MultiLine,
    },
    TypeRow {
        types: "`json`, `jsonb`",
        column: "`multiline`",
        form: "`json` as it was written, `jsonb` as PostgreSQL prints it",
        back: "valid JSON; `jsonb` is then shown as PostgreSQL prints it",
        unwritable: &[OF_TYPE],
        fidelity: Fidelity::Lossless,
        refused: TEXTS,
        kinds: &[],
        examples: &[shown("{\"a\": [1, null]}", "\"{\\\"a\\\": [1, null]}\"")],
        covers: |t| named(t, &["json", "jsonb"]),
        default: |_| Facet::MultiLine,
    },
    TypeRow {
        types: "enums",
        column: "`choice` with the labels; `text` where a label cannot be a choice",
        form: "the label",
        back: "a label",
        unwritable: &[LABEL],
        fidelity: Fidelity::Lossless,
        refused: &["value.not_a_choice"],
        kinds: CHOICE,
        examples: &[shown("open", "\"open\"")],
        covers: |t| matches!(t, PgType::Enum { .. }),
        default: choice_or_text,
    },
    TypeRow {
        types: "arrays of an enum",
        column: "`multichoice` with the labels; `multiline` where a label cannot be a choice",
        form: "the labels, in the order of the choices",
        back: "labels, each once, in the order of the choices; in a text column as PostgreSQL writes arrays",
        unwritable: &[LABEL],
        fidelity: SEVERAL,
        refused: &["value.not_a_choice", "value.array_shape"],
        kinds: &[FacetKind::MultiChoice],
        examples: &[shown("{open,idea,open}", "[\"idea\",\"open\"]"), empty("{}")],
        covers: |t| matches!(t, PgType::Array { element, .. } if matches!(**element, PgType::Enum { .. })),
        default: several_or_text,
    },
    TypeRow {
        types: "other arrays, also of many dimensions",
        column: "`multiline`",
        form: "as PostgreSQL writes arrays; with `type: {kind: multichoice, choices: [..]}` as several choices, which loses what arrays of an enum lose",
        back: "an array as PostgreSQL writes it",
        unwritable: &[CHARACTER],
        fidelity: Fidelity::Lossless,
        refused: TEXTS,
        kinds: &[FacetKind::MultiChoice],
        examples: &[
            shown("{a,\"b, c\",NULL}", "\"{a,\\\"b, c\\\",NULL}\""),
            shown("{}", "\"{}\""),
        ],
        covers: |t| matches!(t, PgType::Array { .. }),
        default: |_| Facet::MultiLine,
    },
    TypeRow {
        types: "`inet`, `cidr`, `macaddr`, `macaddr8`",
        column: "`text`",
        form: "the address; `inet` of a single host with its `/32` or `/128`",
        back: "an address as PostgreSQL takes it",
        unwritable: &[],
        fidelity: Fidelity::Lossless,
        refused: &[],
        kinds: CHOICE,
        examples: &[shown("192.168.0.1/24", "\"192.168.0.1/24\"")],
        covers: |t| named(t, &["inet", "cidr", "macaddr", "macaddr8"]),
        default: |_| LINE,
    },
    TypeRow {
        types: "`int4range`, `int8range`, `daterange`, `tsrange`, `tstzrange`",
        column: "`text`",
        form: "as PostgreSQL prints it",
        back: "a range as PostgreSQL takes it",
        unwritable: &[],
        fidelity: Fidelity::Lossless,
        refused: &[],
        kinds: &[],
        examples: &[shown("[1,10)", "\"[1,10)\""), shown("empty", "\"empty\"")],
        covers: |t| {
            named(
                t,
                &["int4range", "int8range", "daterange", "tsrange", "tstzrange"],
            )
        },
        default: |_| LINE,
    },
    TypeRow {
        types: "`oid`, `xid`, `xid8`, `cid`, `tid`, `pg_lsn`",
        column: "`text`",
        form: "as PostgreSQL prints it",
        back: "as PostgreSQL takes it",
        unwritable: &[],
        fidelity: Fidelity::Lossless,
        refused: &[],
        kinds: CHOICE,
        examples: &[
            shown("4294967295", "\"4294967295\""),
            shown("16/B374D848", "\"16/B374D848\""),
        ],
        covers: |t| named(t, &["oid", "xid", "xid8", "cid", "tid", "pg_lsn"]),
        default: |_| LINE,
    },
    TypeRow {
        types: "`point`, `line`, `lseg`, `box`, `circle`",
        column: "`text`",
        form: "as PostgreSQL prints it",
        back: "as PostgreSQL takes it",
        unwritable: &[],
        fidelity: Fidelity::Lossless,
        refused: &[],
        kinds: &[],
        examples: &[shown("(1.5,-2)", "\"(1.5,-2)\"")],
        covers: |t| named(t, &["point", "line", "lseg", "box", "circle"]),
        default: |_| LINE,
    },
    TypeRow {
        types: "`bit`, `varbit`, `tsvector`, `tsquery`, `citext`, `hstore`, `ltree`",
        column: "`multiline`",
        form: "as PostgreSQL prints it",
        back: "as PostgreSQL takes it",
        unwritable: &[],
        fidelity: EMPTY,
        refused: TEXTS,
        kinds: CHOICE,
        examples: &[
            shown("0101", "\"0101\""),
            shown("\"a\"=>NULL", "\"\\\"a\\\"=>NULL\""),
        ],
        covers: |t| {
            named(t, &["\"bit\"", "bit", "bit varying", "tsvector", "tsquery"])
                || extension(t, &["citext", "hstore", "ltree"])
        },
        default: |_| Facet::MultiLine,
    },
    TypeRow {
        types: "any other type: `xml`, `numrange`, multiranges, `path`, `polygon`, `reg*`, snapshots, composites, types of extensions",
        column: "`multiline`",
        form: "as PostgreSQL prints it; names of the catalog with their schema",
        back: "as PostgreSQL takes it",
        unwritable: &[],
        fidelity: EMPTY,
        refused: TEXTS,
        kinds: CHOICE,
        examples: &[shown("(1,\"a b\",)", "\"(1,\\\"a b\\\",)\"")],
        covers: |_| true,
        default: |_| Facet::MultiLine,
    },
];

/// `docs/types.md`.
#[must_use]
pub fn documentation() -> String {
    let mut page = String::from(HEAD);
    for row in MATRIX {
        let refused: Vec<String> = row.refused.iter().map(|code| format!("`{code}`")).collect();
        let lost = match row.fidelity {
            Fidelity::Lossless => "–".to_owned(),
            Fidelity::Loses {
                what,
                alternative: Some(kind),
            } => format!("{what}; `type: {kind}` loses nothing"),
            Fidelity::Loses {
                what,
                alternative: None,
            } => format!("{what}; no list column keeps them apart"),
        };
        let words: Vec<String> = row.words().iter().map(|word| format!("`{word}`")).collect();
        let refused = if refused.is_empty() {
            "–".to_owned()
        } else {
            refused.join(", ")
        };
        // Writing to a String cannot fail.
        let _ = writeln!(
            page,
            "| {} | {} | {} | {lost} | {refused} | {} |",
            row.types,
            row.column,
            row.form,
            words.join(", ")
        );
    }
    page.push_str(BACK);
    for row in MATRIX {
        let codes: Vec<String> = row.unwritable.iter().map(|code| format!("`{code}`")).collect();
        let codes = if codes.is_empty() {
            "–".to_owned()
        } else {
            codes.join(", ")
        };
        let _ = writeln!(page, "| {} | {} | {codes} |", row.types, row.back);
    }
    page.push_str(MIDDLE);
    for row in MATRIX {
        for example in row.examples {
            let shown = example
                .json
                .map_or_else(|| "empty".to_owned(), |json| format!("`{json}`"));
            let raw = match example.raw {
                "" => "the empty text".to_owned(),
                raw => format!("`{}`", raw.replace('\n', "⏎")),
            };
            let _ = writeln!(page, "| {} | {raw} | {shown} |", row.types);
        }
    }
    page
}

const HEAD: &str = "# Types

What a column of each PostgreSQL type becomes in a list, and what a cell shows there. This page is generated from the
table that the product itself goes by (`make docs-types`), and a test holds it to that.

Beside what the table says:

* A domain is treated as the type it rests on. NULL is an empty cell for every type.
* Text is what PostgreSQL prints with the settings of our sessions: ISO dates, UTC, ISO 8601 intervals, hexadecimal
  `bytea`, floating point numbers with all their digits, names of the catalog with their schema.
* Lengths are counted as SharePoint counts them: a character outside the basic plane, such as most emoji, is two. One
  line holds 255, many lines hold 63,999. A longer value is refused, never cut.
* SharePoint may trim blanks at the ends of a text; whether it does is not documented. What it answers to our write is
  taken as agreed, so it causes no further write, but verification shows the difference.
* A value that has no place is refused before a request is spent: its row waits in quarantine, with column, cause and
  fix ([codes](errors/value.md)), and all others go on.

`type:` of a [field](configuration.md#fields) chooses another kind; the last column names what each type may become.
Any other combination is refused when the definition is applied.

| PostgreSQL | list column | a cell shows | lost | refused, row by row | may become |
|---|---|---|---|---|---|
";

const BACK: &str = "
## The way back
Where a field's [direction](configuration.md#fields) is `pull` or `both`, an entry in the list becomes the column's
value:

* A cleared cell becomes NULL. Where the column takes no NULL it becomes the empty text or the empty array, for types
  that have one; other types refuse it.
* An entry that PostgreSQL spells otherwise (a uuid in capitals, `1.5` in a `numeric(30,2)` that is text) is written as
  it was typed, and the list gets PostgreSQL's spelling back: one write each way. What PostgreSQL prints the same way
  costs nothing on the way back.
* Words that PostgreSQL would take for a moment (`now`, `tomorrow`) and dates that can be read in two ways are refused.
* Where a type loses something on the way to the list, `direction: both` has to be asked for (`lossy: allow`), and a
  row whose present value the list does not show whole is not overwritten from there: it waits for a person.
* An entry that has no place is refused before PostgreSQL is asked: its row waits in quarantine, with column, cause and
  fix ([codes](errors/pull.md)). What PostgreSQL itself refuses (constraints, a range that ends before it begins) is
  told the same way.

| PostgreSQL | what may be entered | refused before PostgreSQL is asked |
|---|---|---|
";

const MIDDLE: &str = "
## Examples
By default columns, for a site in Berlin.

| PostgreSQL | value | in the list |
|---|---|---|
";

#[cfg(test)]
#[path = "type_matrix_tests.rs"]
mod tests;
