//! Addresses of comparisons: the state of a page is in them, and links change one part of it.

use speedwell_wire::{CounterSource, Metric};

use super::LETTERS;
use crate::domain::subject::Subject;
use crate::web::format;

/// The query of a comparison's address.
#[derive(Debug, Clone, PartialEq, Default)]
pub(in crate::web) struct Address {
    /// Names and values in order.
    pairs: Vec<(String, String)>,
}

impl Address {
    /// Of subjects, the base first.
    pub(in crate::web) fn of(subjects: &[Subject]) -> Self {
        let each = LETTERS.iter().zip(subjects);
        Self {
            pairs: each
                .map(|(letter, subject)| ((*letter).to_owned(), subject.to_string()))
                .collect(),
        }
    }

    /// With a parameter set anew; an empty value takes it out.
    pub(in crate::web) fn with(&self, name: &str, value: &str) -> Self {
        let mut pairs = self.pairs.clone();
        pairs.retain(|(key, _)| key != name);
        if !value.is_empty() {
            pairs.push((name.to_owned(), value.to_owned()));
        }
        Self { pairs }
    }

    /// With metric and source.
    pub(in crate::web) fn with_metric(
        &self,
        metric: Option<Metric>,
        source: Option<CounterSource>,
    ) -> Self {
        self.with("metric", metric.map_or("", Metric::as_str))
            .with("source", source.map_or("", CounterSource::as_str))
    }

    /// Names and values, for a form's hidden fields.
    pub(in crate::web) fn pairs(&self) -> &[(String, String)] {
        &self.pairs
    }

    /// Without some names, for a form that has fields of these.
    pub(in crate::web) fn without(&self, names: &[&str]) -> Vec<(String, String)> {
        let own = self.pairs.iter();
        own.filter(|(name, _)| !names.contains(&name.as_str()))
            .cloned()
            .collect()
    }

    /// `a=cpython-2.7@v2.7.10&b=…`, encoded.
    pub(in crate::web) fn query(&self) -> String {
        let each = self.pairs.iter().map(|(name, value)| {
            // An at sign is a plain character of a query, and easier to read so.
            format!("{name}={}", format::encode(value).replace("%40", "@"))
        });
        each.collect::<Vec<_>>().join("&")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_part_changes_and_the_rest_stays() {
        let subjects = ["a@v1", "b~\"lab\"&x=1"].map(|text| text.parse().unwrap());
        let address = Address::of(&subjects).with_metric(Some(Metric::WallTime), None);
        let query = "a=a@v1&b=b~%22lab%22%26x%3D1&metric=wall_time";
        assert_eq!(address.query(), query);
        let changed = address.with("metric", "ipc").with("sort", "-b");
        assert!(changed.query().ends_with("&metric=ipc&sort=-b"));
        assert_eq!(changed.with("sort", "").with("metric", "").pairs().len(), 2);
        assert_eq!(changed.without(&["a", "metric"]).len(), 2);
    }
}
