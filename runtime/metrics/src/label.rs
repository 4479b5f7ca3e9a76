//! Which of a container's labels become labels of its series.

use std::collections::BTreeMap;

/// How many labels of one container become labels of its series.
pub(crate) const MOST_LABELS: usize = 32;
/// The longest value in bytes.
const LONGEST_VALUE: usize = 256;
/// What dashboards group by, and so never left out.
const ALWAYS: [&str; 2] = ["com.docker.compose.project", "com.docker.compose.service"];

/// Which labels are exported. The default is all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LabelChoice(Option<Vec<String>>);

impl LabelChoice {
    /// Only these, and those of compose; one that ends in `*` is all that begin so.
    pub fn only(names: Vec<String>) -> Self {
        Self(Some(names))
    }

    /// The chosen labels under their names in the exposition, and how many wanted ones are cut.
    pub(crate) fn choose(&self, labels: &BTreeMap<String, String>) -> (BTreeMap<String, String>, usize) {
        let wanted = labels.iter().filter(|(name, _)| self.wants(name));
        // Those that are always there come first.
        let (first, others): (Vec<_>, Vec<_>) = wanted.partition(|(name, _)| ALWAYS.contains(&name.as_str()));
        let count = first.len() + others.len();
        let exported = |(name, value): (&String, &String)| {
            (format!("container_label_{}", sanitize(name)), cut(value).to_owned())
        };
        let chosen = first.into_iter().chain(others).take(MOST_LABELS).map(exported).collect();
        (chosen, count.saturating_sub(MOST_LABELS))
    }

    fn wants(&self, name: &str) -> bool {
        let matches = |pattern: &String| match pattern.strip_suffix('*') {
            Some(beginning) => name.starts_with(beginning),
            None => name == pattern,
        };
        ALWAYS.contains(&name) || self.0.as_ref().is_none_or(|patterns| patterns.iter().any(matches))
    }
}

/// Replaces what a label name may not hold, as cAdvisor does: `com.docker.compose.project` becomes
/// `com_docker_compose_project`.
pub fn sanitize(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

/// At most [`LONGEST_VALUE`] bytes, whole characters.
fn cut(value: &str) -> &str {
    let end = (0..=LONGEST_VALUE.min(value.len())).rev().find(|end| value.is_char_boundary(*end));
    &value[..end.unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(names: &[&str]) -> BTreeMap<String, String> {
        names.iter().map(|name| ((*name).to_owned(), "v".to_owned())).collect()
    }

    #[test]
    fn a_list_names_whole_labels_and_beginnings_and_those_of_compose_are_kept() {
        let all = labels(&["a", "b", "org.x.one", "org.x.two", ALWAYS[0]]);
        let choice = LabelChoice::only(vec!["b".into(), "org.x.*".into()]);
        let chosen: Vec<String> = choice.choose(&all).0.into_keys().collect();
        let expected = ["b", "com_docker_compose_project", "org_x_one", "org_x_two"];
        assert_eq!(chosen, expected.map(|name| format!("container_label_{name}")));
        assert_eq!(LabelChoice::default().choose(&all).0.len(), 5);
    }

    #[test]
    fn too_many_labels_and_too_long_ones_are_cut_and_counted() {
        let names: Vec<String> = (0..40).map(|at| format!("a{at:02}")).collect();
        let mut many: BTreeMap<_, _> = names.into_iter().map(|name| (name, "ä".repeat(200))).collect();
        many.insert(ALWAYS[1].to_owned(), "web".to_owned());
        let (chosen, cut) = LabelChoice::default().choose(&many);
        assert_eq!((chosen.len(), cut), (MOST_LABELS, 9));
        assert_eq!(chosen["container_label_com_docker_compose_service"], "web");
        assert_eq!(chosen["container_label_a00"].len(), LONGEST_VALUE);
    }
}
