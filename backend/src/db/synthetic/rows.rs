//! Rows of measurements in the binary form of COPY: text took the server longer to read than the rows to store.
//!
//! The form: PostgreSQL's manual, COPY, "Binary Format"; of arrays: `array_send` in its source (dimensions, whether there are nulls, the elements'
//! type, then for each dimension its length and first index).

use chrono::{DateTime, Utc};

use crate::domain::summary::Summary;
use crate::domain::synthetic::PROCESSES;

/// What takes the rows.
pub(super) const COPY: &str = "COPY measurement (measured_at, series_id, run_id, commit_id, environment_id, position, sample_count, median, mean, mad, \
    min, max, interval_low, interval_high, sample_values, sample_process, sample_warmup) FROM STDIN (FORMAT binary)";

/// Columns of a row.
const COLUMNS: i16 = 17;
/// Types of array elements, by their numbers in `pg_type`.
const BOOLEAN: i32 = 16;
const SMALLINT: i32 = 21;
const DOUBLE: i32 = 701;
/// Seconds from 1970 to 2000, where Postgres begins to count.
const BEFORE_2000: i64 = 946_684_800;

/// What comes before the first row; with room for so many bytes.
pub(super) fn begin(room: usize) -> Vec<u8> {
    let mut sent = Vec::with_capacity(room + 4096);
    sent.extend_from_slice(b"PGCOPY\n\xff\r\n\0");
    sent.extend_from_slice(&[0; 8]);
    sent
}

/// What comes after the last one.
pub(super) fn end(sent: &mut Vec<u8>) {
    sent.extend_from_slice(&(-1_i16).to_be_bytes());
}

/// Where a measurement belongs.
pub(super) struct Row {
    /// When it was measured.
    pub(super) at: DateTime<Utc>,
    /// Keys.
    pub(super) series: i64,
    pub(super) run: i64,
    pub(super) commit: i64,
    /// Place of the commit on the branch.
    pub(super) position: i32,
}

impl Row {
    /// Appends it; its environment is the first.
    pub(super) fn write(&self, samples: &[f64; 5], summary: &Summary, sent: &mut Vec<u8>) {
        sent.extend_from_slice(&COLUMNS.to_be_bytes());
        let micros = self.at.timestamp_micros() - BEFORE_2000 * 1_000_000;
        for number in [micros, self.series, self.run, self.commit, 1] {
            field(sent, number.to_be_bytes());
        }
        field(sent, self.position.to_be_bytes());
        let count = i32::try_from(summary.count).unwrap_or(i32::MAX);
        field(sent, count.to_be_bytes());
        for value in [
            summary.median,
            summary.mean,
            summary.mad,
            summary.min,
            summary.max,
            summary.interval_low,
            summary.interval_high,
        ] {
            field(sent, value.to_be_bytes());
        }
        array(sent, DOUBLE, samples.map(f64::to_be_bytes));
        array(sent, SMALLINT, PROCESSES.map(i16::to_be_bytes));
        array(sent, BOOLEAN, [[0_u8]; 5]);
    }
}

/// A value after its length.
fn field<const BYTES: usize>(sent: &mut Vec<u8>, value: [u8; BYTES]) {
    let length = i32::try_from(BYTES).unwrap_or(i32::MAX);
    sent.extend_from_slice(&length.to_be_bytes());
    sent.extend_from_slice(&value);
}

/// A list that counts from 1, without nulls.
fn array<const COUNT: usize, const BYTES: usize>(
    sent: &mut Vec<u8>,
    kind: i32,
    values: [[u8; BYTES]; COUNT],
) {
    let (count, each) = (
        i32::try_from(COUNT).unwrap_or(i32::MAX),
        i32::try_from(BYTES + 4).unwrap_or(i32::MAX),
    );
    let head = [20 + count * each, 1, 0, kind, count, 1];
    sent.extend(head.iter().flat_map(|number| number.to_be_bytes()));
    for value in values {
        field(sent, value);
    }
}
