//! Flame graphs of profiles, drawn by inferno: of one, or of what changed from one to another.

use inferno::flamegraph::color::{BackgroundColor, Color};
use inferno::{differential, flamegraph};
use speedwell_wire::ProfileReport;

/// A flame graph.
#[derive(Debug, Clone, Copy)]
pub struct Flame<'a> {
    /// What it shows.
    pub title: &'a str,
    /// The profile whose stacks are drawn.
    pub profile: &'a ProfileReport,
    /// With it, colours say what changed since: red for more instructions, blue for fewer.
    pub before: Option<&'a ProfileReport>,
    /// Whether it searches and zooms by a script of its own; without, it is a picture.
    pub interactive: bool,
}

/// Draws it as SVG. Names are escaped by inferno.
pub fn draw(flame: Flame<'_>) -> std::io::Result<Vec<u8>> {
    let mut options = flamegraph::Options::default();
    options.title = flame.title.to_owned();
    options.count_name = "instructions".to_owned();
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
        None => fold(flame.profile),
        Some(before) => {
            let mut both = Vec::new();
            differential::from_readers(
                differential::Options::default(),
                fold(before).as_bytes(),
                fold(flame.profile).as_bytes(),
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

/// One line for each stack: its functions and the instructions of one loop.
fn fold(profile: &ProfileReport) -> String {
    let mut told = 0.0;
    let mut lines = String::new();
    for stack in &profile.stacks {
        told += stack.count;
        lines.push_str(&format!("{} {:.0}\n", stack.frames, stack.count.max(1.0)));
    }
    let rest = profile.total - told;
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
        }
    }

    fn text(before: Option<&ProfileReport>, interactive: bool) -> String {
        let flame = Flame {
            title: "a & b",
            profile: &profile(50.0),
            before,
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
        };
        let flame = Flame {
            title: "nothing",
            profile: &empty,
            before: None,
            interactive: false,
        };
        // Inferno draws a picture that says so, and reports an error beside it.
        assert!(draw(flame).is_err());
    }
}
