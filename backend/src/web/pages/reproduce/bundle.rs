//! The bundle of one point: everything in one archive.

use std::collections::BTreeMap;

use actix_web::web;
use serde_json::Value;

use super::{Known, everything};
use crate::archive::{self, File};
use crate::context::Context;
use crate::db::reproduce::Measured;
use crate::domain::reproduce::quote::file_name;
use crate::domain::reproduce::{Subject, readme, script};
use crate::web::error::Error;
use crate::web::format;

/// Largest bundle before it is compressed, in bytes.
const LARGEST: usize = 64 << 20;
/// A raw file or a profile that unpacks to more than this is left out.
const LARGEST_PART: u64 = 24 << 20;

/// Name of the bundle's file without its ending, and of the folder in it.
pub(super) fn name(subject: &Subject) -> String {
    format!(
        "speedwell-run-{}-{}",
        subject.run_id,
        file_name(&subject.benchmark)
    )
}

/// Files with a word on each, and what is missing.
#[derive(Default)]
struct Contents {
    files: Vec<File>,
    words: Vec<(String, &'static str)>,
    notes: Vec<String>,
}

impl Contents {
    fn add(&mut self, path: &str, what: &'static str, bytes: Vec<u8>) {
        self.words.push((path.to_owned(), what));
        self.files.push(File {
            path: path.to_owned(),
            bytes,
            executable: path.ends_with(".sh"),
        });
    }
}

/// Makes the bundle.
pub(super) async fn pack(context: &Context, mut known: Known) -> Result<Vec<u8>, Error> {
    let mut contents = Contents::default();
    add_parts(context, &mut known, &mut contents).await?;
    let subject = &known.subject;
    let json = |value: &Value| serde_json::to_vec_pretty(value).map_err(anyhow::Error::from);
    contents.add(
        "reproduce.sh",
        "repeats it; a POSIX shell script",
        script::script(subject).into_bytes(),
    );
    contents.add(
        "run.json",
        "every fact: build, environment, host, measurements, lock",
        json(&everything(&known))?,
    );
    contents.add(
        "samples.csv",
        "every sample in the order taken, with its process, warm-ups marked",
        samples(&known.measured).into_bytes(),
    );
    let none = known
        .measured
        .iter()
        .all(|one| one.measurement.sample_values.is_empty());
    if none && !known.measured.is_empty() {
        let why = "samples.csv: the samples are no longer kept, only the summaries in run.json";
        contents.notes.push(why.to_owned());
    }
    let lock = serde_json::to_value(&known.origin.lock.0).map_err(anyhow::Error::from)?;
    contents.add(
        "suite.lock",
        "every package of the suite with the SHA-256 of its files, as JSON",
        json(&lock)?,
    );
    if let Some(raw) = unpacked(
        context,
        &known.run.raw_artefact,
        &mut contents.notes,
        "the raw file",
    )
    .await?
    {
        let own = only(&raw, &subject.benchmark);
        contents.add("pyperf.json", "the same timings for `pyperf`", json(&own)?);
    }
    if let Some(profile) = &known.profile {
        let stacks = unpacked(
            context,
            &profile.artefact,
            &mut contents.notes,
            "the profile",
        )
        .await?;
        if let Some(stacks) = stacks {
            let what = "where its instructions or its time went, by call stack";
            contents.add("profile.json", what, json(&stacks)?);
        }
    }
    let page = format!(
        "{}/runs/{}/reproduce/{}",
        context.config.public_url(),
        subject.run_id,
        format::encode(&subject.benchmark)
    );
    let text = readme(subject, &page, &contents.words, &contents.notes);
    contents.add("README.md", "this", text.into_bytes());
    let size: usize = contents.files.iter().map(|file| file.bytes.len()).sum();
    if size > LARGEST {
        return Err(Error::TooLarge(format!(
            "This bundle would hold {size} bytes, more than {LARGEST}."
        )));
    }
    let (folder, files) = (name(subject), contents.files);
    let moment = u64::try_from(known.run.finished_at.timestamp()).unwrap_or(0);
    let packed = web::block(move || archive::pack(&folder, moment, &files)).await;
    Ok(packed.map_err(anyhow::Error::from)??)
}

/// Adds the texts that the benchmark is made of. One that was never sent makes the script say so.
async fn add_parts(
    context: &Context,
    known: &mut Known,
    contents: &mut Contents,
) -> Result<(), Error> {
    let Ok(parts) = known.subject.parts.clone() else {
        return Ok(());
    };
    // The same text may be there under two names.
    let files: BTreeMap<&String, &String> = parts
        .files
        .iter()
        .map(|(path, hash)| (path, hash))
        .collect();
    for (path, sha256) in files {
        match context.artefacts.get(sha256).await? {
            Some(bytes) => contents.add(path, part_words(path), bytes.into()),
            None => {
                let why = format!(
                    "{path} (sha256 {sha256}) was never sent: it is larger than a source may be, or its worker is old."
                );
                contents.notes.push(why.clone());
                known.subject.parts = Err(why);
            }
        }
    }
    Ok(())
}

fn part_words(path: &str) -> &'static str {
    match path.split('/').next() {
        Some("harness") => "the harness, as it was",
        Some("requirements") => "the lock of what the benchmark imports",
        Some(_) | None => "the benchmark's own file",
    }
}

/// Compressed JSON of the store; nothing, with a note, when it is not there or too large.
async fn unpacked(
    context: &Context,
    sha256: &str,
    notes: &mut Vec<String>,
    what: &str,
) -> Result<Option<Value>, Error> {
    let Some(packed) = context.artefacts.get(sha256).await? else {
        notes.push(format!("{what}: it is no longer stored"));
        return Ok(None);
    };
    let read = web::block(move || -> anyhow::Result<Option<Value>> {
        let mut bytes = Vec::new();
        let decoder = zstd::Decoder::new(packed.as_ref())?;
        std::io::Read::read_to_end(
            &mut std::io::Read::take(decoder, LARGEST_PART + 1),
            &mut bytes,
        )?;
        if bytes.len() as u64 > LARGEST_PART {
            return Ok(None);
        }
        Ok(Some(serde_json::from_slice(&bytes)?))
    });
    let value = read.await.map_err(anyhow::Error::from)??;
    if value.is_none() {
        notes.push(format!("{what}: it is larger than {LARGEST_PART} bytes"));
    }
    Ok(value)
}

/// A pyperf file with one of its benchmarks.
fn only(raw: &Value, benchmark: &str) -> Value {
    let mut raw = raw.clone();
    if let Some(benchmarks) = raw.get_mut("benchmarks").and_then(Value::as_array_mut) {
        benchmarks
            .retain(|one| one.pointer("/metadata/name").and_then(Value::as_str) == Some(benchmark));
    }
    raw
}

/// Every sample as a line.
fn samples(measured: &[Measured]) -> String {
    let mut text = "metric,counter_source,process,index,warmup,value\n".to_owned();
    for one in measured {
        let one = &one.measurement;
        let samples = one.sample_values.iter().zip(&one.sample_process);
        for (index, ((value, process), warmup)) in samples.zip(&one.sample_warmup).enumerate() {
            let warmup = u8::from(*warmup);
            text.push_str(&format!(
                "{},{},{process},{index},{warmup},{value:e}\n",
                one.metric, one.counter_source
            ));
        }
    }
    text
}
