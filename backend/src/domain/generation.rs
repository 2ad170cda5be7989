//! Generations of processors: which one a host's is, and since when it has been sold.
//!
//! The table is data (`assets/processors.toml`), which names its sources.

use std::sync::LazyLock;

use serde::Deserialize;

/// A generation of server processors.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Generation {
    /// Its name.
    pub name: String,
    /// Year in which the first of them were launched.
    pub year: u16,
    vendor: String,
    family: u32,
    models: Vec<u32>,
    steppings: Option<(u32, u32)>,
}

#[derive(Debug, Deserialize)]
struct Table {
    generation: Vec<Generation>,
}

fn table() -> &'static [Generation] {
    static TABLE: LazyLock<Vec<Generation>> = LazyLock::new(|| {
        // The file is part of the program and read by a test; without it no generation would be known.
        toml::from_str::<Table>(include_str!("../../assets/processors.toml"))
            .map(|table| table.generation)
            .unwrap_or_default()
    });
    &TABLE
}

/// The generation of a processor by its signature, `vendor family/model/stepping` (see
/// [`speedwell_wire::EnvironmentFacts::cpu_signature`]); absent: not in the table.
pub fn generation(signature: &str) -> Option<&'static Generation> {
    let (vendor, numbers) = signature.split_once(' ')?;
    let mut numbers = numbers.split('/').map(str::parse::<u32>);
    let (family, model) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    let stepping = numbers.next().and_then(Result::ok).unwrap_or(0);
    table().iter().find(|one| {
        let fits = one
            .steppings
            .is_none_or(|(from, to)| (from..=to).contains(&stepping));
        one.vendor == vendor && one.family == family && one.models.contains(&model) && fits
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_read_and_steppings_tell_generations_apart() {
        assert!(table().len() > 15);
        let name = |signature: &str| generation(signature).map(|one| one.name.as_str());
        assert_eq!(name("GenuineIntel 6/85/4"), Some("Skylake-SP"));
        assert_eq!(name("GenuineIntel 6/85/7"), Some("Cascade Lake"));
        assert_eq!(name("GenuineIntel 6/143/8"), Some("Sapphire Rapids"));
        assert_eq!(name("AuthenticAMD 25/1/1"), Some("Milan (Zen 3)"));
        for odd in [
            "",
            "GenuineIntel",
            "GenuineIntel 6",
            "GenuineIntel x/y/z",
            "Other 6/85/7",
            "GenuineIntel 6/9999/1",
        ] {
            assert_eq!(name(odd), None, "{odd}");
        }
        let years: Vec<u16> = table()
            .iter()
            .filter(|one| one.vendor == "GenuineIntel")
            .map(|one| one.year)
            .collect();
        assert!(
            years.is_sorted(),
            "a later generation is launched later: {years:?}"
        );
    }
}
