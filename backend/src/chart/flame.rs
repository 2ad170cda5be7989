//! Flame graphs of profiles, drawn by inferno: of one, or of what changed from one to another.

use inferno::flamegraph::Palette;
use inferno::flamegraph::color::{BackgroundColor, Color, MultiPalette};
use inferno::{differential, flamegraph};
use speedwell_wire::ProfileReport;

/// A flame graph.
#[derive(Debug, Clone, Copy)]
pub struct Flame<'a> {
    /// What it shows.
    pub title: &'a str,
    /// The profile whose stacks are drawn.
    pub profile: &'a ProfileReport,
    /// What its counts are.
    pub noun: &'a str,
    /// With it, colours say what changed since: red for more, blue for less; and by how much its counts are multiplied, so
    /// that they compare.
    pub before: Option<(&'a ProfileReport, f64)>,
    /// Whether it searches and zooms by a script of its own; without, it is a picture.
    pub interactive: bool,
}

/// Draws it as SVG. Names are escaped by inferno.
pub fn draw(flame: Flame<'_>) -> std::io::Result<Vec<u8>> {
    let mut options = flamegraph::Options::default();
    options.title = flame.title.to_owned();
    options.count_name = flame.noun.to_owned();
    // What ends with `_[k]` is orange, with `_[j]` blue, what holds `::` yellow, all else red.
    options.colors = Palette::Multi(MultiPalette::Js);
    options.no_javascript = !flame.interactive;
    options.image_width = Some(1_200);
    options.min_width = 0.1;
    options.bgcolors = Some(BackgroundColor::Flat(Color {
        // Darker than the near white of what has not changed.
        r: 224,
        g: 224,
        b: 220,
    }));
    options.deterministic = true;
    let lines = match flame.before {
        None => fold(flame.profile, 1.0),
        Some((before, factor)) => {
            let mut both = Vec::new();
            differential::from_readers(
                differential::Options::default(),
                fold(before, factor).as_bytes(),
                fold(flame.profile, 1.0).as_bytes(),
                &mut both,
            )?;
            String::from_utf8_lossy(&both).into_owned()
        }
    };
    let mut svg = Vec::new();
    flamegraph::from_lines(&mut options, lines.lines(), &mut svg)?;
    Ok(if flame.interactive {
        svg
    } else {
        without_script(&svg)
    })
}

/// A picture runs nothing, and what inferno keeps of its script without JavaScript is of no use. Names cannot hold `<script`:
/// they are escaped.
fn without_script(svg: &[u8]) -> Vec<u8> {
    let svg = String::from_utf8_lossy(svg).replace(" onload=\"init(evt)\"", "");
    let picture = match (svg.find("<script"), svg.find("</script>")) {
        (Some(begin), Some(end)) if begin < end => {
            format!("{}{}", &svg[..begin], &svg[end + "</script>".len()..])
        }
        _ => svg,
    };
    picture.into_bytes()
}

/// One line for each stack: its functions and its count, times a factor.
fn fold(profile: &ProfileReport, factor: f64) -> String {
    let mut told = 0.0;
    let mut lines = String::new();
    for stack in &profile.stacks {
        told += stack.count;
        let count = (stack.count * factor).max(1.0);
        lines.push_str(&format!("{} {count:.0}\n", stack.frames));
    }
    let rest = (profile.total - told) * factor;
    if rest >= 1.0 {
        lines.push_str(&format!("[small stacks] {rest:.0}\n"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use speedwell_wire::{ProfileStack, ProfileTool};

    fn profile(adds: f64) -> ProfileReport {
        let stack = |frames: &str, count| ProfileStack {
            frames: frames.to_owned(),
            object: "python".to_owned(),
            count,
        };
        ProfileReport {
            tool: ProfileTool::Callgrind,
            total: adds + 100.0,
            stacks: vec![stack("main;eval;<add>", adds), stack("main;eval", 90.0)],
            build_ids: std::collections::BTreeMap::new(),
        }
    }

    fn text(before: Option<&ProfileReport>, interactive: bool) -> String {
        let flame = Flame {
            title: "a & b",
            profile: &profile(50.0),
            noun: "instructions",
            before: before.map(|before| (before, 1.0)),
            interactive,
        };
        String::from_utf8(draw(flame).unwrap()).unwrap()
    }

    #[test]
    fn a_flame_graph_shows_each_function_and_what_is_too_small() {
        let svg = text(None, false);
        for words in [
            "&lt;add&gt; (50 instructions",
            "a &amp; b",
            "[small stacks]",
        ] {
            assert!(svg.contains(words), "{words}: {svg}");
        }
        assert!(!svg.contains("<script") && !svg.contains("onload"), "{svg}");
        assert!(text(None, true).contains("<script"));
    }

    #[test]
    fn a_difference_names_what_changed() {
        let svg = text(Some(&profile(20.0)), false);
        // 30 of 150 instructions are new.
        let words = "&lt;add&gt; (50 instructions, 33.33%; +20.00%)";
        assert!(svg.contains(words), "{svg}");
    }

    #[test]
    fn an_empty_profile_is_a_picture_too() {
        let empty = ProfileReport {
            tool: ProfileTool::Callgrind,
            total: 0.0,
            stacks: Vec::new(),
            build_ids: std::collections::BTreeMap::new(),
        };
        let flame = Flame {
            title: "nothing",
            profile: &empty,
            noun: "instructions",
            before: None,
            interactive: false,
        };
        // Inferno draws a picture that says so, and reports an error beside it.
        assert!(draw(flame).is_err());
    }
}
