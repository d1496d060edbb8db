//! One table in a Parquet file: rows are gathered by column, and written out in groups, so that memory is bounded.

use std::io;
use std::path::Path;
use std::sync::Arc;

use parquet::basic::Compression;
use parquet::column::writer::{ColumnWriter, ColumnWriterImpl};
use parquet::data_type::{ByteArray, DataType};
use parquet::errors::{ParquetError, Result};
use parquet::file::properties::{WriterProperties, WriterVersion};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::Type;

use super::column::{TableColumn, Values};
use crate::report::TOOL;
use crate::report::output::Output;

/// Rows that are written out together: of attempts 10 to 30 MB in memory. Readers skip and share work by such groups.
const GROUP: usize = 32_768;

/// A table that rows are added to.
pub(super) struct ParquetTable<T> {
    columns: Vec<(TableColumn<T>, Gathered)>,
    rows: usize,
    writer: SerializedFileWriter<Output>,
}

/// The values of one column in the rows that are not written out yet. Levels are those of Parquet: a value that is there
/// has definition level 1, what continues a list has repetition level 1.
struct Gathered {
    values: GatheredValues,
    definition: Vec<i16>,
    repetition: Vec<i16>,
}

enum GatheredValues {
    Bytes(Vec<ByteArray>),
    Int64(Vec<i64>),
    Int32(Vec<i32>),
    Bool(Vec<bool>),
}

impl Gathered {
    fn new<T>(values: &Values<T>) -> Self {
        let values = match values {
            Values::Text(_) | Values::Texts(_) => GatheredValues::Bytes(Vec::new()),
            Values::Integer(_) | Values::Integers(_) | Values::Time(_) => GatheredValues::Int64(Vec::new()),
            Values::Port(_) => GatheredValues::Int32(Vec::new()),
            Values::Bool(_) => GatheredValues::Bool(Vec::new()),
        };
        Self { values, definition: Vec::new(), repetition: Vec::new() }
    }

    /// Adds the values of one row: none is null, or an empty list.
    fn add<V>(&mut self, values: impl IntoIterator<Item = V>, mut push: impl FnMut(&mut GatheredValues, V)) {
        let mut before = 0;
        for value in values {
            push(&mut self.values, value);
            self.definition.push(1);
            self.repetition.push(before);
            before = 1;
        }
        if before == 0 {
            self.definition.push(0);
            self.repetition.push(0);
        }
    }

    fn take<T>(&mut self, values: &Values<T>, row: &T) {
        match values {
            Values::Text(get) => self.add(get(row), bytes),
            Values::Texts(get) => self.add(get(row), bytes),
            Values::Integer(get) => self.add(get(row), int64),
            Values::Integers(get) => self.add(get(row), int64),
            Values::Time(get) => self.add(get(row).map(|time| time.as_nanos()), int64),
            Values::Port(get) => self.add(get(row), |values, port| {
                if let GatheredValues::Int32(values) = values {
                    values.push(port.into());
                }
            }),
            Values::Bool(get) => self.add(get(row), |values, is| {
                if let GatheredValues::Bool(values) = values {
                    values.push(is);
                }
            }),
        }
    }

    /// Writes everything out, and is empty then.
    fn write(&mut self, column: &mut ColumnWriter<'_>) -> Result<()> {
        let levels = (&self.definition, &self.repetition);
        match (column, &mut self.values) {
            (ColumnWriter::ByteArrayColumnWriter(out), GatheredValues::Bytes(values)) => {
                put(out, values, levels)
            }
            (ColumnWriter::Int64ColumnWriter(out), GatheredValues::Int64(values)) => put(out, values, levels),
            (ColumnWriter::Int32ColumnWriter(out), GatheredValues::Int32(values)) => put(out, values, levels),
            (ColumnWriter::BoolColumnWriter(out), GatheredValues::Bool(values)) => put(out, values, levels),
            _ => Err(ParquetError::General("a column has another type than its schema".to_owned())),
        }?;
        self.definition.clear();
        self.repetition.clear();
        Ok(())
    }
}

fn bytes(values: &mut GatheredValues, value: ByteArray) {
    if let GatheredValues::Bytes(values) = values {
        values.push(value);
    }
}

fn int64(values: &mut GatheredValues, value: i64) {
    if let GatheredValues::Int64(values) = values {
        values.push(value);
    }
}

/// Columns that are no lists ignore repetition levels.
fn put<D: DataType>(
    out: &mut ColumnWriterImpl<'_, D>,
    values: &mut Vec<D::T>,
    (definition, repetition): (&Vec<i16>, &Vec<i16>),
) -> Result<()> {
    let is_list = out.get_descriptor().max_rep_level() > 0;
    out.write_batch(values, Some(definition), is_list.then_some(repetition))?;
    values.clear();
    Ok(())
}

impl<T> ParquetTable<T> {
    /// An empty table, in a file that takes its place when it is finished.
    pub(super) fn create(path: &Path, name: &str, columns: Vec<TableColumn<T>>) -> io::Result<Self> {
        let file = Output::file(path)?;
        let writer = Self::begin(file, name, &columns).map_err(io_error)?;
        let gathered = |column: TableColumn<T>| {
            let gathered = Gathered::new(&column.values);
            (column, gathered)
        };
        Ok(Self { columns: columns.into_iter().map(gathered).collect(), rows: 0, writer })
    }

    fn begin(file: Output, name: &str, columns: &[TableColumn<T>]) -> Result<SerializedFileWriter<Output>> {
        let fields = columns.iter().map(TableColumn::schema).collect::<Result<Vec<_>>>()?;
        let schema = Type::group_type_builder(name).with_fields(fields).build()?;
        let properties = WriterProperties::builder()
            // DuckDB, Spark and pandas all read it.
            .set_writer_version(WriterVersion::PARQUET_1_0)
            .set_compression(Compression::ZSTD(Default::default()))
            .set_created_by(TOOL.to_owned());
        SerializedFileWriter::new(file, Arc::new(schema), Arc::new(properties.build()))
    }

    /// The name of the new file, if it has one, while it has not taken its place.
    pub(super) fn unfinished(&self) -> Option<&Path> {
        self.writer.inner().unfinished()
    }

    /// Adds a row.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub(super) fn add(&mut self, row: &T) -> io::Result<()> {
        for (column, gathered) in &mut self.columns {
            gathered.take(&column.values, row);
        }
        self.rows += 1;
        if self.rows >= GROUP { self.write_group().map_err(io_error) } else { Ok(()) }
    }

    fn write_group(&mut self) -> Result<()> {
        let mut group = self.writer.next_row_group()?;
        for (_, gathered) in &mut self.columns {
            if let Some(mut column) = group.next_column()? {
                gathered.write(column.untyped())?;
                column.close()?;
            }
        }
        group.close()?;
        self.rows = 0;
        Ok(())
    }

    /// Writes what is left, and puts the file in its place.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub(super) fn finish(mut self) -> io::Result<()> {
        if self.rows > 0 {
            self.write_group().map_err(io_error)?;
        }
        self.writer.into_inner().map_err(io_error)?.commit()
    }
}

/// Keeps an error of the file as it is.
fn io_error(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(inner) => match inner.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(other) => io::Error::other(other),
        },
        other => io::Error::other(other),
    }
}
