//! What a search measures next: which commits would tell most, how often, and on which host.

use super::{LEAST, Located, MOST_RUNS, Need, Next, Part, Probe, SURE, State};

impl State<'_> {
    /// What one part needs next.
    fn need(&self, part: &Part) -> Need {
        let measurable =
            |index: &usize| self.search.candidates[*index].measurable || *index == part.high;
        let mut best: Option<Located> = None;
        let mut splits = Vec::new();
        let (mut low, mut passed) = (part.low, 0.0);
        for high in (part.low + 1..=part.high).filter(measurable) {
            let own = &part.posterior[low - part.low..high - part.low];
            let mass: f64 = own.iter().sum();
            if best.is_none_or(|known| mass > known.probability) {
                let (at, most) =
                    own.iter()
                        .enumerate()
                        .fold((0, 0.0), |(at, most), (index, one)| {
                            if *one > most {
                                (index, *one)
                            } else {
                                (at, most)
                            }
                        });
                let culprit = (most >= SURE * mass).then_some(low + 1 + at);
                best = Some(Located {
                    low,
                    high,
                    culprit,
                    probability: mass,
                    change: part.change,
                });
            }
            passed += mass;
            splits.push((high, passed));
            low = high;
        }
        match best {
            Some(located) if located.probability >= SURE => self.checked(located),
            _ => self.halve(&splits, part.high),
        }
    }

    /// A located change, when both its sides were measured often enough to say so.
    fn checked(&self, located: Located) -> Need {
        let missing = |index: usize| self.checks.saturating_sub(self.count(index, None));
        let wanted: Vec<(usize, usize)> = [located.high, located.low]
            .into_iter()
            .filter(|index| missing(*index) > 0)
            .map(|index| (index, missing(index)))
            .collect();
        if wanted.is_empty() {
            return Need::Nothing(located);
        }
        self.free(wanted)
    }

    /// The commits that split what is left most evenly, best first.
    fn halve(&self, splits: &[(usize, f64)], high: usize) -> Need {
        let within = |passed: f64| passed.min(1.0 - passed);
        let mut wanted: Vec<(f64, usize)> = splits
            .iter()
            .filter(|(index, passed)| *index < high && within(*passed) >= LEAST)
            .filter(|(index, _)| self.count(*index, None) < MOST_RUNS)
            .map(|(index, passed)| (within(*passed), *index))
            .collect();
        wanted.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let runs = |index: usize| match self.count(index, None) {
            0 => self.runs,
            _ => self.runs.div_ceil(2),
        };
        let wanted: Vec<(usize, usize)> = wanted
            .into_iter()
            .map(|(_, index)| (index, runs(index)))
            .collect();
        if wanted.is_empty() {
            return Need::Nobody;
        }
        self.free(wanted)
    }

    /// Without what is being measured already.
    fn free(&self, mut wanted: Vec<(usize, usize)>) -> Need {
        wanted.retain(|(index, _)| !self.search.busy.contains(index));
        if wanted.is_empty() {
            Need::Patience
        } else {
            Need::Runs(wanted)
        }
    }

    /// Puts the parts' needs together.
    pub(super) fn next(&self, parts: &[Part], ends: Vec<Probe>) -> Next {
        let needs: Vec<Need> = parts.iter().map(|part| self.need(part)).collect();
        let located: Vec<Located> = needs
            .iter()
            .filter_map(|need| match need {
                Need::Nothing(located) => Some(*located),
                Need::Runs(_) | Need::Patience | Need::Nobody => None,
            })
            .collect();
        if located.len() == needs.len() {
            return Next::Found(located);
        }
        let waits = needs
            .iter()
            .any(|need| matches!(need, Need::Patience | Need::Runs(_)));
        if !waits && self.search.busy.is_empty() {
            return Next::Stuck;
        }
        let open: Vec<&Vec<(usize, usize)>> = needs
            .iter()
            .filter_map(|need| match need {
                Need::Runs(wanted) => Some(wanted),
                Need::Nothing(_) | Need::Patience | Need::Nobody => None,
            })
            .collect();
        Next::Measure(self.share(&open, &ends))
    }

    /// Gives each idle host something of its own: its ends if they are missing, else commits that lie apart.
    fn share(&self, open: &[&Vec<(usize, usize)>], ends: &[Probe]) -> Vec<Probe> {
        let mut probes = Vec::new();
        let idle: Vec<usize> = (0..self.search.hosts.len())
            .filter(|host| self.search.hosts[*host].idle)
            .collect();
        let mut taken: Vec<usize> = self.search.busy.to_vec();
        let mut turn = 0;
        for host in idle {
            let own: Vec<Probe> = ends
                .iter()
                .copied()
                .filter(|probe| probe.host == host)
                .collect();
            if !own.is_empty() {
                probes.extend(own);
                continue;
            }
            let Some(wanted) = open.get(turn % open.len().max(1)) else {
                continue;
            };
            turn += 1;
            // Beside what another host measures, the commit that lies farthest from it among the useful half.
            let useful = &wanted[..wanted.len().div_ceil(2)];
            let distance = |index: usize| taken.iter().map(|one| one.abs_diff(index)).min();
            let chosen = if taken.is_empty() {
                wanted.first()
            } else {
                useful
                    .iter()
                    .max_by_key(|(index, _)| distance(*index))
                    .filter(|(index, _)| distance(*index) != Some(0))
            };
            if let Some((index, runs)) = chosen {
                taken.push(*index);
                probes.push(Probe {
                    host,
                    index: *index,
                    runs: *runs,
                });
            }
        }
        probes
    }
}
