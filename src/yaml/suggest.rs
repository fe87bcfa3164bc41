//! "Did you mean": the nearest of the known words.

/// The known word that a slip of the finger turns into `word`, if there is one.
pub fn closest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if 64 < word.chars().count() {
        return None;
    }
    let folded = fold(word);
    let allowed = (folded.len() / 3).clamp(1, 3);
    known
        .into_iter()
        .map(|candidate| (distance(&folded, &fold(candidate)), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

fn fold(word: &str) -> Vec<char> {
    word.chars().map(|c| if c == '-' { '_' } else { c.to_ascii_lowercase() }).collect()
}

/// How many characters were left out, added, replaced or swapped with their neighbour (Damerau-Levenshtein, in the
/// plain form that never touches a character twice).
pub(super) fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let differs = usize::from(a[i - 1] != b[j - 1]);
            let mut best = (row[j - 1] + 1).min(last[j] + 1).min(last[j - 1] + differs);
            if 1 < i && 1 < j && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognised_and_other_words_are_not() {
        for (word, want) in [
            ("windw", Some("window")),
            ("widnow", Some("window")),
            ("Window", Some("window")),
            ("new-ip", Some("new_ip")),
            ("unused_four", Some("unused_for")),
            ("banana", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(closest(word, ["window", "new_ip", "unused_for"]), want, "{word}");
        }
    }
}
