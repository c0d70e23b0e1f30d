//! "Did you mean …?"

/// At most this many suggestions.
const SUGGESTIONS: usize = 3;

/// The candidates that look most like `wanted`, nearest first; none where nothing is near.
pub(crate) fn nearest<'a>(wanted: &str, candidates: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let folded = wanted.to_lowercase();
    let limit = folded.chars().count() / 3 + 1;
    let mut ranked: Vec<(usize, &str)> = candidates
        .into_iter()
        .map(|candidate| {
            let other = candidate.to_lowercase();
            let contained = folded.len() >= 3 && (other.contains(&folded) || folded.contains(&other));
            let distance = distance(&folded, &other);
            (if contained { distance.min(limit) } else { distance }, candidate)
        })
        .filter(|(distance, _)| *distance <= limit)
        .collect();
    ranked.sort();
    ranked
        .into_iter()
        .take(SUGGESTIONS)
        .map(|(_, candidate)| candidate)
        .collect()
}

/// The sentence to append to a cause, with a leading blank; empty where there is nothing to suggest.
pub(crate) fn did_you_mean<'a>(wanted: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    let near: Vec<String> = nearest(wanted, candidates)
        .iter()
        .map(|name| format!("`{name}`"))
        .collect();
    if near.is_empty() {
        String::new()
    } else {
        format!("; did you mean {}?", near.join(" or "))
    }
}

/// Levenshtein's distance in characters.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_recognised_and_nonsense_is_not() {
        let names = ["projects", "people", "Project", "tasks"];
        assert_eq!(nearest("project", names), ["Project", "projects"]);
        assert_eq!(nearest("poeple", names), ["people"]);
        assert!(nearest("invoices", names).is_empty());
    }

    #[test]
    fn the_sentence_is_empty_without_suggestions() {
        assert_eq!(did_you_mean("x", ["people"]), "");
        assert_eq!(did_you_mean("task", ["tasks"]), "; did you mean `tasks`?");
    }
}
