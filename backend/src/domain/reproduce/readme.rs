//! `README.md` of a bundle: what was measured, how to repeat it, and what is in the folder.

use super::Subject;
use super::quote::one_line;

/// A duration in a unit that leaves a few digits before the point.
fn seconds(value: f64) -> String {
    let units = [(1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns")];
    let fits = units.iter().find(|(scale, _)| value.abs() >= *scale);
    let (scale, unit) = fits.copied().unwrap_or((1e-9, "ns"));
    format!("{:.3} {unit}", value / scale)
}

/// The text. `notes` say what was left out and why.
pub fn readme(subject: &Subject, page: &str, files: &[(String, &str)], notes: &[String]) -> String {
    let benchmark = one_line(&subject.benchmark);
    let runtime = one_line(&subject.runtime);
    let mut text = format!(
        "# {benchmark} on {runtime}, run {}\n\nOne measurement of Speedwell, with everything that is known of how it came about, and a script \
         that repeats it.\nIts page: {page}\n\n",
        subject.run_id
    );
    text.push_str(&match &subject.ours {
        Ok(ours) => format!(
            "Measured on {}: median {}, 95 % interval of the median {} to {}, from {} values of {} \
             process(es), each after {} warm-up(s).\n",
            one_line(&subject.host),
            seconds(ours.median),
            seconds(ours.low),
            seconds(ours.high),
            ours.count,
            ours.processes,
            ours.warmups
        ),
        Err(why) => format!("{}\n", one_line(why)),
    });
    let source = if subject.url.is_empty() {
        "The interpreter was not built: it is a program that was there, or came from packages.\n"
            .to_owned()
    } else {
        format!(
            "Source: {} at commit {}.\n",
            one_line(&subject.url),
            one_line(&subject.commit)
        )
    };
    text.push_str(&source);
    text.push_str(
        "\n## To repeat it\n\n```\nsh reproduce.sh\n```\n\nIt makes everything in the folder `work` beside it, runs the benchmark as the run \
         did, and prints your median beside\nours. It runs the interpreter's build and the benchmark as you: read it first, as you would any script. \
         With an\ninterpreter that you have already, nothing is built:\n\n```\nINTERPRETER=/usr/bin/python3 sh reproduce.sh\n```\n\n\
         Another machine gives another number. What should agree is the ratio between two commits: repeat the bundle of each on\nthe \
         same machine, a few times in turn.\n",
    );
    if let Err(why) = &subject.parts {
        text.push_str(&format!(
            "\nThe script makes the interpreter but cannot run the benchmark: {}\n",
            one_line(why)
        ));
    }
    text.push_str("\n## What is here\n\n");
    for (path, what) in files {
        text.push_str(&format!("- `{path}`: {what}\n"));
    }
    if !notes.is_empty() {
        text.push_str("\n## What is not here\n\n");
        for note in notes {
            text.push_str(&format!("- {}\n", one_line(note)));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::seconds;

    #[test]
    fn durations_have_a_fitting_unit() {
        assert_eq!(seconds(0.004_767_8), "4.768 ms");
        assert_eq!(seconds(12.0), "12.000 s");
        assert_eq!(seconds(4.2e-8), "42.000 ns");
        assert_eq!(seconds(0.0), "0.000 ns");
        assert_eq!(seconds(f64::NAN), "NaN ns");
    }
}
