//! Series like a benchmark's, with steps at known places; the same seed gives the same series for ever.

use std::f64::consts::TAU;

/// Pseudo-random numbers (SplitMix64, Steele et al. 2014).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        let mut random = Self(seed.wrapping_mul(0x1234_5678_9abc_def1));
        for _ in 0..4 {
            random.next();
        }
        random
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// 0 to 1, without 1.
    pub fn uniform(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub fn below(&mut self, limit: usize) -> usize {
        (self.uniform() * limit as f64) as usize
    }

    fn chance(&mut self, probability: f64) -> bool {
        self.uniform() < probability
    }

    /// Mean 0, deviation 1 (Box and Muller).
    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (TAU * self.uniform()).cos()
    }
}

/// Kinds of noise, relative to the level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Normal, 0.5 %.
    NormalHalf,
    /// Normal, 1 %.
    Normal1,
    /// Normal, 2 %.
    Normal2,
    /// Skewed to the right (log-normal, shape 0.8), deviation 1.3 %.
    Skewed,
    /// Normal 1 %, and one point in fifty 20 % higher.
    Outliers,
    /// Two modes 3 % apart, each point on its own, 0.5 % about them.
    Modes,
    /// Normal 1 % on a trend of 3 % in 1000 points and a wave of 0.5 %.
    Drift,
    /// Each point remembers 0.6 of the one before, 1 %.
    Correlated,
    /// Normal 1 %, and now and then three to six points 8 % higher.
    Bursts,
    /// Normal of a deviation that changes.
    Changing,
    /// Two modes that stay for twelve points on average.
    Sticky,
    /// Student's t with three degrees of freedom, 1 %.
    HeavyTails,
    /// Counts of instructions: they repeat to a millionth, and one commit in three moves them for good, by 0.03 %.
    Counts,
}

impl Family {
    pub const CORE: [Self; 7] = [
        Self::NormalHalf,
        Self::Normal1,
        Self::Normal2,
        Self::Skewed,
        Self::Outliers,
        Self::Modes,
        Self::Drift,
    ];
    pub const FURTHER: [Self; 5] = [
        Self::Correlated,
        Self::Bursts,
        Self::Changing,
        Self::Sticky,
        Self::HeavyTails,
    ];

    /// A series without steps about 1.
    pub fn around_one(self, count: usize, random: &mut Random) -> Vec<f64> {
        self.noise(count, random)
            .iter()
            .map(|one| 1.0 + one)
            .collect()
    }

    fn noise(self, count: usize, random: &mut Random) -> Vec<f64> {
        let normal = |deviation: f64, random: &mut Random| -> Vec<f64> {
            (0..count).map(|_| deviation * random.normal()).collect()
        };
        match self {
            Self::NormalHalf => normal(0.005, random),
            Self::Normal1 => normal(0.01, random),
            Self::Normal2 => normal(0.02, random),
            Self::Skewed => {
                let shape: f64 = 0.8;
                let variance = shape * shape;
                let deviation = (variance.exp() - 1.0).sqrt() * (variance / 2.0).exp();
                let one = |normal: f64| ((shape * normal).exp() - 1.0) * 0.013 / deviation;
                (0..count).map(|_| one(random.normal())).collect()
            }
            Self::Outliers => {
                let one = |random: &mut Random| {
                    0.01 * random.normal() + if random.chance(0.02) { 0.2 } else { 0.0 }
                };
                (0..count).map(|_| one(random)).collect()
            }
            Self::Modes => {
                let share = 0.3 + 0.4 * random.uniform();
                let one = |random: &mut Random| {
                    0.005 * random.normal() + if random.chance(share) { 0.03 } else { 0.0 }
                };
                (0..count).map(|_| one(random)).collect()
            }
            Self::Drift => drift(normal(0.01, random), random),
            Self::Correlated => {
                let mut last = 0.01 * random.normal();
                let mut one = |random: &mut Random| {
                    last = 0.6 * last + 0.008 * random.normal();
                    last
                };
                (0..count).map(|_| one(random)).collect()
            }
            Self::Bursts => bursts(normal(0.01, random), random),
            Self::Changing => {
                let mut deviation = 0.01;
                let mut one = |index: usize| {
                    if index.is_multiple_of(150) {
                        deviation = 0.004 + 0.016 * random.uniform();
                    }
                    deviation * random.normal()
                };
                (0..count).map(&mut one).collect()
            }
            Self::Sticky => {
                let mut upper = false;
                let mut one = |random: &mut Random| {
                    upper ^= random.chance(1.0 / 12.0);
                    0.005 * random.normal() + if upper { 0.03 } else { 0.0 }
                };
                (0..count).map(|_| one(random)).collect()
            }
            Self::Counts => {
                let mut level = 0.0;
                let mut one = |random: &mut Random| {
                    if random.chance(1.0 / 3.0) {
                        level += 3e-4 * random.normal();
                    }
                    level + 1e-6 * random.normal()
                };
                (0..count).map(|_| one(random)).collect()
            }
            Self::HeavyTails => {
                let one = |random: &mut Random| {
                    let squares: f64 = (0..3).map(|_| random.normal().powi(2)).sum();
                    0.01 * random.normal() / (squares / 3.0).sqrt()
                };
                (0..count).map(|_| one(random)).collect()
            }
        }
    }
}

fn drift(mut noise: Vec<f64>, random: &mut Random) -> Vec<f64> {
    let trend = if random.chance(0.5) { 0.03 } else { -0.03 } / 1_000.0;
    let (period, phase) = (150.0 + 350.0 * random.uniform(), TAU * random.uniform());
    for (index, one) in noise.iter_mut().enumerate() {
        let index = index as f64;
        *one += trend * index + 0.005 * (index / period * TAU + phase).sin();
    }
    noise
}

fn bursts(mut noise: Vec<f64>, random: &mut Random) -> Vec<f64> {
    for _ in 0..noise.len() / 200 {
        let length = 3 + random.below(4);
        let from = random.below(noise.len() - length);
        noise[from..from + length]
            .iter_mut()
            .for_each(|one| *one += 0.08);
    }
    noise
}

/// A series with its truth: the first points of new levels.
pub struct Series {
    pub values: Vec<f64>,
    pub steps: Vec<usize>,
}

impl Series {
    /// One or two steps in 100 points, six in 1,000, fifteen in more, each up or down; none when `step` is 0.
    pub fn new(family: Family, step: f64, count: usize, seed: u64) -> Self {
        let key = (family as u64) << 40 | (count as u64) << 20 | (step * 1e4) as u64;
        let mut random = Random::new(seed ^ key << 8);
        let noise = family.noise(count, &mut random);
        let steps = match count {
            _ if step == 0.0 => Vec::new(),
            0..=100 => places(count, 1 + random.below(2), &mut random),
            101..=1_000 => places(count, 6, &mut random),
            _ => places(count, 15, &mut random),
        };
        let mut level = 10_f64.powf(-2.0 + 4.0 * random.uniform());
        let values = noise.iter().enumerate().map(|(index, one)| {
            if steps.binary_search(&index).is_ok() {
                level *= if random.chance(0.5) {
                    1.0 + step
                } else {
                    1.0 / (1.0 + step)
                };
            }
            level * (1.0 + one)
        });
        Self {
            values: values.collect(),
            steps,
        }
    }
}

/// Places with a third of the even distance between them, and from the ends.
fn places(count: usize, steps: usize, random: &mut Random) -> Vec<usize> {
    let apart = (count / (steps + 1) / 3).max(8);
    let mut places: Vec<usize> = Vec::new();
    while places.len() < steps {
        let place = apart + random.below(count - 2 * apart);
        if places.iter().all(|other| other.abs_diff(place) >= apart) {
            places.push(place);
        }
    }
    places.sort_unstable();
    places
}
