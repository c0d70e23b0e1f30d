//! "Did you mean …?"

/// The candidate nearest to what was written, if it is near enough to be a slip of the keyboard.
pub(crate) fn nearest<'a>(written: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Longer texts are no slips, and the comparison takes time in proportion to their product.
    if written.len() > 64 {
        return None;
    }
    let folded = fold(written);
    candidates
        .into_iter()
        .map(|candidate| (distance(&folded, &fold(candidate)), candidate))
        .filter(|(distance, candidate)| *distance * 3 <= candidate.chars().count().max(3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Case and separators are the commonest slips of all: `page_rows`, `PageRows` and `pageRows` are near.
fn fold(text: &str) -> Vec<char> {
    text.chars()
        .filter(|c| !matches!(c, '_' | '-' | ' '))
        .flat_map(char::to_lowercase)
        .collect()
}

/// Edits (insert, remove, replace, swap neighbours) that turn one into the other.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1; b.len() + 1];
        for (j, y) in b.iter().enumerate() {
            let mut best = (last[j] + usize::from(x != y))
                .min(last[j + 1] + 1)
                .min(row[j] + 1);
            if i > 0 && j > 0 && a[i - 1] == *y && *x == b[j - 1] {
                best = best.min(before[j - 1] + 1);
            }
            row[j + 1] = best;
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognised_and_a_different_word_is_not() {
        let keys = ["source", "target", "fields", "watermark", "timeZone"];
        for (written, expected) in [
            ("sorce", Some("source")),
            ("feilds", Some("fields")),
            ("time_zone", Some("timeZone")),
            ("WATERMARK", Some("watermark")),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(nearest(written, keys), expected, "{written}");
        }
    }

    #[test]
    fn a_very_long_word_is_not_compared() {
        assert_eq!(nearest(&"source".repeat(100_000), ["source"]), None);
    }
}
