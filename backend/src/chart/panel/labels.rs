//! Names at the ends of a panel's lines.

use super::scale::Scale;
use super::{BOTTOM, Panel, RIGHT, TOP, Trend};
use crate::chart::PALETTE;
use crate::chart::draw::{Area, escape, push};

/// Pixels between two labels.
const LINE_HEIGHT: i32 = 15;
/// Letters of a label.
const LABEL: usize = 21;

/// Names at the ends of the lines, moved apart where they would lie on each other.
pub(super) fn labels(panel: &Panel, scale: &Scale, area: &Area<'_, '_>, text: &mut String) {
    let last = |line: &Trend| {
        line.stretches
            .iter()
            .flatten()
            .rev()
            .find(|point| point.value.is_finite())
            .cloned()
    };
    let mut places: Vec<(i32, i32, &Trend)> = Vec::new();
    for line in &panel.lines {
        if let Some(point) = last(line) {
            let (x, y) = area.backend_coord(&(point.x, scale.place(point.value)));
            places.push((x, y, line));
        }
    }
    places.sort_by_key(|place| place.1);
    let wanted: Vec<i32> = places.iter().map(|place| place.1).collect();
    let lowest = i32::try_from(panel.height - BOTTOM).unwrap_or(i32::MAX);
    let ys = apart(&wanted, i32::try_from(TOP).unwrap_or(0), lowest);
    let left = i32::try_from(panel.width - RIGHT).unwrap_or(0) + 22;
    for ((x, from, line), y) in places.into_iter().zip(ys) {
        let colour = line.colour % PALETTE;
        push(
            text,
            format_args!(
                "<path d=\"M{},{from} L{},{y} L{},{y}\" class=\"leader s{colour}\"/>",
                x + 3,
                left - 10,
                left - 3
            ),
        );
        push(
            text,
            format_args!(
                "<text x=\"{left}\" y=\"{}\" class=\"line-name t{colour}\"><title>{}</title>{}</text>",
                y + 4,
                escape(&line.name),
                escape(&shortened(&line.name))
            ),
        );
    }
}

fn shortened(name: &str) -> String {
    if name.chars().count() <= LABEL {
        return name.to_owned();
    }
    name.chars().take(LABEL - 1).chain(['…']).collect()
}

/// Places at least a line apart, near the wanted ones (rising), within the two ends as long as there is room.
fn apart(wanted: &[i32], top: i32, bottom: i32) -> Vec<i32> {
    let mut placed: Vec<i32> = Vec::with_capacity(wanted.len());
    for y in wanted {
        let least = placed.last().map_or(top, |last| last + LINE_HEIGHT);
        placed.push((*y).max(least));
    }
    let mut most = bottom;
    for y in placed.iter_mut().rev() {
        *y = (*y).min(most);
        most = *y - LINE_HEIGHT;
    }
    placed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_moved_apart_but_stay_inside() {
        assert_eq!(apart(&[50, 50, 52], 10, 200), [50, 65, 80]);
        assert_eq!(apart(&[190, 195, 199], 10, 200), [170, 185, 200]);
        assert_eq!(apart(&[], 10, 200), Vec::<i32>::new());
    }
}
