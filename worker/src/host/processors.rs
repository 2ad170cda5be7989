//! Sets of processors as the kernel writes them: lists (`0-2,5`) and masks of hexadecimal words (`ff,00000001`).

use std::collections::BTreeSet;
use std::fmt;

/// More than any kernel counts; a longer list is no list of processors.
const MOST: u32 = 8_192;

/// A set of processors by their number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProcessorSet(BTreeSet<u32>);

impl ProcessorSet {
    /// Reads a list such as `0-2,5`; nothing is the empty set. `None`: it is no list.
    pub fn from_list(text: &str) -> Option<Self> {
        let mut set = BTreeSet::new();
        for part in text.trim().split(',').filter(|part| !part.is_empty()) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
            if first > last || last >= MOST {
                return None;
            }
            set.extend(first..=last);
        }
        Some(Self(set))
    }

    /// Reads a mask such as `ff,00000001`: words of 32 bits, the highest first. `None`: it is no mask.
    pub fn from_mask(text: &str) -> Option<Self> {
        let mut set = BTreeSet::new();
        for (place, word) in text.trim().rsplit(',').enumerate() {
            let word = u32::from_str_radix(word, 16).ok()?;
            let base = u32::try_from(place).ok()? * 32;
            set.extend(
                (0..32)
                    .filter(|bit| word >> bit & 1 == 1)
                    .map(|bit| base + bit),
            );
        }
        Some(Self(set))
    }

    /// The mask that [`Self::from_mask`] reads.
    pub fn to_mask(&self) -> String {
        let words = self.0.last().map_or(1, |last| last / 32 + 1);
        let word = |place: u32| {
            let bits = self.0.range(place * 32..place * 32 + 32);
            bits.fold(0_u32, |word, bit| word | 1 << (bit % 32))
        };
        let words: Vec<String> = (0..words)
            .rev()
            .map(|place| format!("{:08x}", word(place)))
            .collect();
        words.join(",")
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each of them, the lowest first.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.iter().copied()
    }

    /// Whether all of `others` are in it.
    pub fn has_all(&self, others: &Self) -> bool {
        others.0.is_subset(&self.0)
    }

    /// Those of it that are in `others` too.
    pub fn common(&self, others: &Self) -> Self {
        Self(self.0.intersection(&others.0).copied().collect())
    }

    /// Those of it that are not in `others`.
    pub fn without(&self, others: &Self) -> Self {
        Self(self.0.difference(&others.0).copied().collect())
    }
}

impl fmt::Display for ProcessorSet {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut stretches: Vec<(u32, u32)> = Vec::new();
        for one in self.iter() {
            match stretches.last_mut() {
                Some((_, last)) if *last + 1 == one => *last = one,
                _ => stretches.push((one, one)),
            }
        }
        for (index, (first, last)) in stretches.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            if first == last {
                write!(out, "{comma}{first}")?;
            } else {
                write!(out, "{comma}{first}-{last}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_masks_are_read_and_written() {
        let set = ProcessorSet::from_list("0-2,5,40\n").unwrap();
        assert_eq!(set.to_string(), "0-2,5,40");
        assert_eq!(set.to_mask(), "00000100,00000027");
        assert_eq!(ProcessorSet::from_mask(&set.to_mask()).unwrap(), set);
        assert_eq!(ProcessorSet::from_mask("3\n").unwrap().to_string(), "0-1");
        assert!(ProcessorSet::from_list("\n").unwrap().is_empty());
        for wrong in ["a", "3-1", "1-", "0-99999999"] {
            assert_eq!(ProcessorSet::from_list(wrong), None, "{wrong}");
        }
        assert_eq!(ProcessorSet::from_mask("xyz"), None);
        assert_eq!(ProcessorSet::default().to_mask(), "00000000");
    }

    #[test]
    fn sets_are_compared() {
        let list = |text| ProcessorSet::from_list(text).unwrap();
        assert!(list("0-3").has_all(&list("1,2")) && !list("0-3").has_all(&list("4")));
        assert_eq!(list("0-3").without(&list("1")).to_string(), "0,2-3");
        assert_eq!(list("0-3").common(&list("3-9")).to_string(), "3");
    }
}
