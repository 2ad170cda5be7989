//! Columns in, a Parquet file out: for notebooks, pyarrow, DuckDB and whatever else reads it.

use std::sync::Arc;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use parquet::basic::{Compression, LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::Type;

/// Rows of one group: readers take a group at a time into memory.
const GROUP: usize = 100_000;

/// One column; all have the same length.
#[derive(Debug, Clone, PartialEq)]
pub enum Column {
    /// UTF-8.
    Text(Vec<String>),
    /// UTF-8, or nothing.
    SomeText(Vec<Option<String>>),
    /// 64 bits, signed.
    Integer(Vec<i64>),
    /// 64 bits, signed, or nothing.
    SomeInteger(Vec<Option<i64>>),
    /// 64 bits, IEEE 754.
    Number(Vec<f64>),
    /// 64 bits, IEEE 754, or nothing.
    SomeNumber(Vec<Option<f64>>),
    /// Microseconds of UTC.
    Moment(Vec<DateTime<Utc>>),
}

impl Column {
    fn len(&self) -> usize {
        match self {
            Self::Text(values) => values.len(),
            Self::SomeText(values) => values.len(),
            Self::Integer(values) => values.len(),
            Self::SomeInteger(values) => values.len(),
            Self::Number(values) => values.len(),
            Self::SomeNumber(values) => values.len(),
            Self::Moment(values) => values.len(),
        }
    }

    /// How it is stored, what that means, and whether it may be missing. The older of Parquet's two words for a moment does not say UTC, and
    /// DuckDB would take it for a local time.
    fn kind(&self) -> (Physical, Option<LogicalType>, Repetition) {
        let (physical, meaning) = match self {
            Self::Text(_) | Self::SomeText(_) => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
            Self::Integer(_) | Self::SomeInteger(_) => (Physical::INT64, None),
            Self::Number(_) | Self::SomeNumber(_) => (Physical::DOUBLE, None),
            Self::Moment(_) => {
                let moment = LogicalType::timestamp(true, TimeUnit::MICROS);
                (Physical::INT64, Some(moment))
            }
        };
        let repetition = match self {
            Self::Text(_) | Self::Integer(_) | Self::Number(_) | Self::Moment(_) => {
                Repetition::REQUIRED
            }
            Self::SomeText(_) | Self::SomeInteger(_) | Self::SomeNumber(_) => Repetition::OPTIONAL,
        };
        (physical, meaning, repetition)
    }

    /// Writes the rows of one group.
    fn write(
        &self,
        into: &mut SerializedColumnWriter<'_>,
        rows: std::ops::Range<usize>,
    ) -> anyhow::Result<()> {
        let bytes = |text: &String| ByteArray::from(text.as_str());
        match self {
            Self::Text(all) => {
                let values: Vec<ByteArray> = part(all, rows)?.iter().map(bytes).collect();
                into.typed::<ByteArrayType>()
                    .write_batch(&values, None, None)?;
            }
            Self::SomeText(all) => {
                let some = part(all, rows)?;
                let values: Vec<ByteArray> = some.iter().flatten().map(bytes).collect();
                into.typed::<ByteArrayType>()
                    .write_batch(&values, Some(&levels(some)), None)?;
            }
            Self::Integer(all) => {
                into.typed::<Int64Type>()
                    .write_batch(part(all, rows)?, None, None)?;
            }
            Self::SomeInteger(all) => {
                let some = part(all, rows)?;
                let values: Vec<i64> = some.iter().flatten().copied().collect();
                into.typed::<Int64Type>()
                    .write_batch(&values, Some(&levels(some)), None)?;
            }
            Self::Number(all) => {
                into.typed::<DoubleType>()
                    .write_batch(part(all, rows)?, None, None)?;
            }
            Self::SomeNumber(all) => {
                let some = part(all, rows)?;
                let values: Vec<f64> = some.iter().flatten().copied().collect();
                into.typed::<DoubleType>()
                    .write_batch(&values, Some(&levels(some)), None)?;
            }
            Self::Moment(all) => {
                let moments = part(all, rows)?.iter();
                let values: Vec<i64> = moments.map(DateTime::timestamp_micros).collect();
                into.typed::<Int64Type>().write_batch(&values, None, None)?;
            }
        }
        Ok(())
    }
}

fn part<T>(all: &[T], rows: std::ops::Range<usize>) -> anyhow::Result<&[T]> {
    all.get(rows).context("columns of different lengths")
}

/// Parquet's definition levels: which values are there.
fn levels<T>(values: &[Option<T>]) -> Vec<i16> {
    values.iter().map(|one| i16::from(one.is_some())).collect()
}

/// Writes a file, compressed by Snappy, which every reader knows.
///
/// # Errors
/// When the columns are not of one length.
pub fn parquet(columns: &[(&str, Column)]) -> anyhow::Result<Vec<u8>> {
    let fields = columns.iter().map(|(name, column)| {
        let (physical, meaning, repetition) = column.kind();
        let field = Type::primitive_type_builder(name, physical)
            .with_logical_type(meaning)
            .with_repetition(repetition)
            .build()?;
        Ok(Arc::new(field))
    });
    let fields = fields.collect::<anyhow::Result<Vec<_>>>()?;
    let schema = Type::group_type_builder("series")
        .with_fields(fields)
        .build()?;
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .build();
    let mut bytes = Vec::new();
    let mut file = SerializedFileWriter::new(&mut bytes, Arc::new(schema), Arc::new(properties))?;
    let rows = columns.first().map_or(0, |(_, column)| column.len());
    anyhow::ensure!(
        columns.iter().all(|(_, column)| column.len() == rows),
        "columns of different lengths"
    );
    let mut begin = 0;
    while begin < rows {
        let end = rows.min(begin + GROUP);
        let mut group = file.next_row_group()?;
        for (name, column) in columns {
            let mut writer = group
                .next_column()?
                .with_context(|| format!("no room for the column {name}"))?;
            column.write(&mut writer, begin..end)?;
            writer.close()?;
        }
        group.close()?;
        begin = end;
    }
    file.close()?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use parquet::file::reader::{FileReader as _, SerializedFileReader};
    use parquet::record::RowAccessor as _;

    use super::*;

    #[test]
    fn what_was_written_is_read_back() {
        let at = DateTime::from_timestamp(1_700_000_000, 5_000).unwrap();
        let rows = GROUP + 3;
        let columns = [
            ("text", Column::Text(vec!["é".to_owned(); rows])),
            (
                "some",
                Column::SomeText(
                    (0..rows)
                        .map(|row| (row % 2 == 0).then(|| row.to_string()))
                        .collect(),
                ),
            ),
            ("number", Column::Number(vec![0.1; rows])),
            ("maybe", Column::SomeNumber(vec![None; rows])),
            ("integer", Column::Integer((0..).take(rows).collect())),
            ("moment", Column::Moment(vec![at; rows])),
        ];
        let bytes = parquet(&columns).unwrap();
        let reader = SerializedFileReader::new(bytes::Bytes::from(bytes)).unwrap();
        assert_eq!(reader.metadata().num_row_groups(), 2);
        let mut count = 0;
        for (index, row) in reader.get_row_iter(None).unwrap().enumerate() {
            let row = row.unwrap();
            count += 1;
            if index == GROUP + 2 {
                assert_eq!(row.get_string(0).unwrap(), "é");
                assert_eq!(row.get_string(1).unwrap(), &index.to_string());
                assert_eq!(row.get_double(2).unwrap(), 0.1);
                assert!(row.get_double(3).is_err(), "it is null");
                assert_eq!(row.get_long(4).unwrap(), i64::try_from(index).unwrap());
                assert_eq!(row.get_timestamp_micros(5).unwrap(), at.timestamp_micros());
            }
        }
        assert_eq!(count, rows);
        assert!(
            parquet(&[
                ("a", Column::Integer(vec![1])),
                ("b", Column::Integer(vec![]))
            ])
            .is_err()
        );
        assert!(parquet(&[]).is_ok());
    }
}
