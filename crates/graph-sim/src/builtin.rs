//! The columns every generic list has from the beginning.

use serde_json::json;

use crate::column::Column;
use crate::facet::Kind;
use crate::guid::Guid;

/// The place of `Title`, the only built-in column with values of its own.
pub(crate) const TITLE_SLOT: u16 = 0;
/// The first place for columns made later; the built-in ones lie below.
pub(crate) const FIRST_FREE_SLOT: u16 = 100;

/// (name, display name, fixed id or 0, facet, read-only)
type Row = (&'static str, &'static str, u128, &'static str, bool);

/// `Title` is the first, so that its place is [`TITLE_SLOT`]. Where SharePoint's fixed id is not publicly known
/// to us (0), one is derived from the name; it is the same in every list all the same.
const ROWS: [Row; 24] = [
    (
        "Title",
        "Title",
        0xfa564e0f_0c70_4ab9_b863_0177e6ddd247,
        "text",
        false,
    ),
    ("ID", "ID", 0x1d22ea11_1e32_424e_89ab_9fedbadb6ce1, "", true),
    (
        "ContentType",
        "Content Type",
        0xc042a256_787d_4a6f_8a8a_cf6ab767f12d,
        "",
        false,
    ),
    (
        "Modified",
        "Modified",
        0x28cf69c5_fa48_462a_b5cd_27b6f9d2bd5f,
        "dateTime",
        true,
    ),
    (
        "Created",
        "Created",
        0x8c06beca_0777_48f7_91c7_6da68bc07b69,
        "dateTime",
        true,
    ),
    (
        "Author",
        "Created By",
        0x1df5e554_ec7e_46a6_901d_d85a3881cb18,
        "personOrGroup",
        true,
    ),
    (
        "Editor",
        "Modified By",
        0xd31655d1_1d5b_4511_95a1_7a09e9b75bf2,
        "personOrGroup",
        true,
    ),
    (
        "_UIVersionString",
        "Version",
        0xdce8262a_3ae9_45aa_aab4_83bd75fb738a,
        "text",
        true,
    ),
    (
        "Attachments",
        "Attachments",
        0x67df98f4_9dec_48ff_a553_29bece9c5bf4,
        "",
        false,
    ),
    ("Edit", "Edit", 0x503f1caa_358e_4918_9094_4a2cdc4bc034, "", true),
    (
        "LinkTitleNoMenu",
        "Title",
        0xbc91a437_52e7_49e1_8c4e_4698904b2b6d,
        "",
        true,
    ),
    (
        "LinkTitle",
        "Title",
        0x82642ec8_ef9b_478f_acf9_31f7d45fbc31,
        "",
        true,
    ),
    (
        "DocIcon",
        "Type",
        0x081c6e4c_5c14_4f20_b23e_1a71ceb6a67c,
        "",
        true,
    ),
    (
        "ItemChildCount",
        "Item Child Count",
        0xb824e17e_a1b3_426e_aecf_f0184d900485,
        "lookup",
        true,
    ),
    (
        "FolderChildCount",
        "Folder Child Count",
        0x960ff01f_2b6d_4f1b_9c3f_e19ad8927341,
        "lookup",
        true,
    ),
    ("_ComplianceFlags", "Label setting", 0, "lookup", true),
    ("_ComplianceTag", "Retention label", 0, "lookup", true),
    (
        "_ComplianceTagWrittenTime",
        "Retention label Applied",
        0,
        "lookup",
        true,
    ),
    ("_ComplianceTagUserId", "Label applied by", 0, "lookup", true),
    ("_IsRecord", "Item is a Record", 0, "", true),
    ("_ColorTag", "Color Tag", 0, "text", true),
    (
        "AppAuthor",
        "App Created By",
        0x6bfaba20_36bf_44b5_a1b2_eb6346d49716,
        "lookup",
        true,
    ),
    (
        "AppEditor",
        "App Modified By",
        0xe08400f3_c779_4ed2_a18c_ab7f34caa318,
        "lookup",
        true,
    ),
    ("ComplianceAssetId", "Compliance Asset Id", 0, "text", true),
];

fn fixed_id(name: &str, bits: u128) -> Guid {
    if bits != 0 {
        return Guid::from_bits(bits);
    }
    let low = crate::random::hash_text(name);
    Guid::from_random((u128::from(crate::random::mix(low)) << 64) | u128::from(low))
}

/// The built-in columns of a new generic list, in the order the service lists them.
pub(crate) fn columns() -> Vec<Column> {
    let mut columns: Vec<Column> = ROWS
        .iter()
        .enumerate()
        .map(|(at, (name, display, bits, facet, read_only))| {
            let settings = match *facet {
                "lookup" => json!({ "columnName": name.trim_start_matches('_') }),
                _ => json!({}),
            };
            let kind = if facet.is_empty() {
                None
            } else {
                Kind::parse(facet, &settings).ok()
            };
            Column {
                id: fixed_id(name, *bits),
                name: (*name).to_owned(),
                display_name: (*display).to_owned(),
                description: String::new(),
                group: if *name == "ContentType" {
                    "_Hidden"
                } else {
                    "Custom Columns"
                }
                .to_owned(),
                hidden: false,
                indexed: false,
                unique: false,
                required: *name == "Title",
                read_only: *read_only,
                builtin: true,
                kind: kind.unwrap_or(Kind::Bare),
                default: None,
                slot: TITLE_SLOT + at as u16,
            }
        })
        .collect();
    // The service lists ID and ContentType before Title.
    columns[0..3].rotate_left(1);
    columns
}

#[cfg(test)]
mod tests {
    use super::{FIRST_FREE_SLOT, TITLE_SLOT, columns};

    #[test]
    fn a_generic_list_has_the_twenty_four_recorded_columns() {
        let columns = columns();
        let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
        assert_eq!(names[..5], ["ID", "ContentType", "Title", "Modified", "Created"]);
        assert_eq!(names.len(), 24);
        let title = columns.iter().find(|column| column.name == "Title").unwrap();
        assert!(title.required && !title.read_only && title.slot == TITLE_SLOT);
        assert_eq!(title.id.to_string(), "fa564e0f-0c70-4ab9-b863-0177e6ddd247");
        assert!(columns.iter().all(|column| column.slot < FIRST_FREE_SLOT));
        let mut ids: Vec<_> = columns.iter().map(|column| column.id).collect();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 24, "two built-in columns share an id");
    }
}
