//! The y axis of a panel: where values lie, and which stand beside it.

use super::Panel;

/// The y axis: values become places, which are their logarithms on a logarithmic one.
pub(super) struct Scale {
    log: bool,
    pub(super) low: f64,
    pub(super) high: f64,
}

impl Scale {
    pub(super) fn of(panel: &Panel) -> Self {
        let points = panel
            .lines
            .iter()
            .flat_map(|line| line.stretches.iter().flatten());
        let ends = points.flat_map(|point| [point.value, point.low, point.high]);
        let ends = ends.chain(panel.level).filter(|value| value.is_finite());
        let (least, most) = ends.fold((f64::INFINITY, f64::NEG_INFINITY), |found, value| {
            (found.0.min(value), found.1.max(value))
        });
        let log = panel.log && least > 0.0;
        let place = |value: f64| if log { value.log10() } else { value };
        let (low, high) = air(place(least), place(most));
        // No air below zero where nothing is: it would show times that cannot be.
        let low = if !log && least >= 0.0 {
            low.max(0.0)
        } else {
            low
        };
        Self { log, low, high }
    }

    pub(super) fn place(&self, value: f64) -> f64 {
        if self.log {
            value.max(f64::MIN_POSITIVE).log10()
        } else {
            value
        }
    }

    /// Values for the axis: round, five or so.
    pub(super) fn ticks(&self) -> Vec<f64> {
        if !self.log {
            return round_values(self.low, self.high);
        }
        let (low, high) = (10_f64.powf(self.low), 10_f64.powf(self.high));
        if high / low < 8.0 {
            return round_values(low, high)
                .into_iter()
                .filter(|value| *value > 0.0)
                .collect();
        }
        let factors: &[f64] = if self.high - self.low > 4.0 {
            &[1.0]
        } else {
            &[1.0, 2.0, 5.0]
        };
        let decades = (self.low.floor() as i32)..=(self.high.ceil() as i32);
        let step = usize::try_from((decades.end() - decades.start()) / 8 + 1).unwrap_or(1);
        let values = decades.step_by(step).flat_map(|decade| {
            factors
                .iter()
                .map(move |factor| factor * 10_f64.powi(decade))
        });
        values
            .filter(|value| (low..=high).contains(value))
            .collect()
    }
}

fn air(low: f64, high: f64) -> (f64, f64) {
    if !(low.is_finite() && high.is_finite()) {
        return (0.0, 1.0);
    }
    let space = ((high - low) * 0.08).max(high.abs() * 0.005);
    let space = if space > 0.0 && space.is_finite() {
        space
    } else {
        0.5
    };
    (low - space, high + space)
}

fn round_values(low: f64, high: f64) -> Vec<f64> {
    let raw = (high - low) / 5.0;
    if !(raw.is_finite() && raw > 0.0) {
        return Vec::new();
    }
    let power = 10_f64.powf(raw.log10().floor());
    let factor = [1.0, 2.0, 5.0]
        .into_iter()
        .find(|factor| factor * power >= raw * 0.99);
    let step = factor.unwrap_or(10.0) * power;
    let first = (low / step).ceil();
    let values = (0..12).map(|index| (first + f64::from(index)) * step);
    values.take_while(|value| *value <= high).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axis_values_are_round() {
        assert_eq!(round_values(0.0, 10.0), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert_eq!(round_values(1.0, 1.0), Vec::<f64>::new());
        let scale = Scale {
            log: true,
            low: 0.0,
            high: 2.0,
        };
        assert_eq!(scale.ticks(), [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0]);
    }
}
